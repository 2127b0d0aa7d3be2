"""Tasks of EleutherAI's lm-eval, by name, for whoever has it installed."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec

from genre.core.errors import ConfigError, DependencyError
from genre.language.decoding import LoadedModel

_SCORES = ("acc_norm,none", "acc,none", "exact_match,none")


def lm_eval_scores(loaded: LoadedModel, tasks: Sequence[str], *, limit: int | None = None) -> dict[str, float]:
    """Return the accuracy on each task, of answers normalised by length where the task has that.

    Args:
        loaded: The model.
        tasks: Names that lm-eval knows, such as `hellaswag`; their data must be on this machine or within reach.
        limit: Questions of each task at most.

    Raises:
        ConfigError: A task has no accuracy.
        DependencyError: lm-eval is not installed.
    """
    if find_spec("lm_eval") is None:
        raise DependencyError(
            f"needs the library 'lm_eval' for {', '.join(tasks)}, which is not installed",
            place="writing.lm_eval",
            remedy="Install it with `pip install lm-eval`, or leave the setting out.",
        )
    import lm_eval
    from lm_eval.models.huggingface import HFLM

    model = HFLM(pretrained=loaded.model, tokenizer=loaded.tokenizer, max_length=loaded.context)
    results = lm_eval.simple_evaluate(model=model, tasks=list(tasks), limit=limit)["results"]
    found = {}
    for task in tasks:
        score = next((name for name in _SCORES if name in results[task]), None)
        if score is None:
            raise ConfigError(
                f"{task!r} has none of {', '.join(_SCORES)}, but {', '.join(results[task])}",
                place="writing.lm_eval",
                remedy="Choose a task that is judged by accuracy.",
            )
        found[task] = float(results[task][score])
    return found
