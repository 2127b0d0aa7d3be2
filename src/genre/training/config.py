"""How a model is trained, apart from what is trained. Needs no torch, so that a config file can be read without."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from genre.core.config import Config

CHECKPOINT_FILE = "checkpoint.safetensors"
"""Where a training that was interrupted goes on; of no use once the model is saved."""


class TrainingConfig(Config):
    """Settings of the training loop."""

    epochs: int = Field(default=200, ge=1)
    """Passes over the data at most; early stopping ends it sooner."""
    batch_size: int = Field(default=256, ge=1)
    """Sequences, or pairs, of a step."""
    accumulate: int = Field(default=1, ge=1)
    """Parts that the `batch_size` sequences of a step are worked through in: the same result in less memory."""
    optimizer: Literal["adamw", "adam", "sgd"] = "adamw"
    """SGD has momentum 0.9."""
    learning_rate: float = Field(default=1e-3, gt=0)
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    """How the learning rate falls after the warm-up, to 0 at the last epoch. Constant suits early stopping, where the
    last epoch is not known beforehand."""
    warm_up_steps: int = Field(default=0, ge=0)
    """Steps in which the learning rate rises from 0."""
    weight_decay: float = Field(default=0.0, ge=0)
    """Decoupled for AdamW (Loshchilov and Hutter, ICLR 2019), L2 for the others."""
    l1: float = Field(default=0.0, ge=0)
    """Weight of the sum of all weights' magnitudes, which draws those that do not matter to 0."""
    layer_decay: float = Field(default=1.0, gt=0, le=1)
    """Factor of the learning rate from one layer to the one below it, for models that have layers of their own: what is
    far from the output is general, and should change less (Howard and Ruder, ACL 2018)."""
    unfreeze_every: int | None = Field(default=None, ge=1)
    """Epochs after which one layer more learns, from the output down; none lets all learn at once (ibid.)."""
    layers: int | None = Field(default=None, ge=1)
    """Layers that learn, counted from the output down, for models that have layers of their own: those below stay as
    they were when training began. None lets all learn."""
    adversarial: float = Field(default=0.0, ge=0)
    """Length by which vectors of items or tokens are moved in the direction that hurts most, to learn from that too;
    twice the time (FGM: Miyato et al., ICLR 2017)."""
    clip_norm: float | None = Field(default=None, gt=0)
    """Longest gradient, all parameters together."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """Of the model. The loss over the items is multiplied in bfloat16 wherever that is faster, in either case."""
    validate_every: int = Field(default=1, ge=1)
    """Epochs between two looks at the validation events."""
    patience: int | None = Field(default=10, ge=1)
    """Looks without a better value after which training stops; none trains to the end and still keeps the best."""
    patience_steps: int = Field(default=200, ge=0)
    """Steps without a better value that it also takes for that. Ten passes through the log of some hundred people are
    ten steps, after which nothing has been learned yet."""
    average: int = Field(default=1, ge=1)
    """Best checkpoints whose weights are averaged, if the average validates better than the best one alone (Wortsman et
    al.: Model Soups, ICML 2022). Each takes the memory of the model once."""
    checkpoint_seconds: float = Field(default=60.0, ge=0)
    """Seconds of work that a kill may cost: how often all that is needed to go on is written down."""
    tracker: Literal["tensorboard", "wandb", "none"] = "tensorboard"
    """Who is told loss, learning rate and validation, in runs that keep a directory."""


class UpdatingConfig(Config):
    """How a network that has learned learns on from new events, with old ones beside them."""

    epochs: int = Field(default=2, ge=1)
    """Passes over the new events and what is replayed beside them; the learning rate falls to 0 in their course."""
    learning_rate: float | None = Field(default=None, gt=0)
    """At the beginning; that of the training where it is not given."""
    context: int = Field(default=10, ge=1)
    """Likes before the first new one of a user that are read with it, and learned again: the more, the slower."""
    replay: float = Field(default=1.0, ge=0)
    """Old histories that are learned again, for each with new events: without any, what is not among the newest events
    is forgotten."""

    def of(self, training: TrainingConfig) -> TrainingConfig:
        """Return how to train on, for a network that was trained in this way."""
        changes = {
            "epochs": self.epochs,
            "learning_rate": self.learning_rate or training.learning_rate,
            "schedule": "linear",
            "warm_up_steps": 0,
            "unfreeze_every": None,
            "patience": None,
            "average": 1,
            "tracker": "none",
        }
        return training.model_copy(update=changes)
