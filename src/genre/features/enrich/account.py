"""What enrichment did and what it took: an account of each stage, and every item or user without an answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

UNREADABLE: Final = "nothing to read"
FORM: Final = "not valid by the schema"
CUT: Final = "cut off at max_tokens"
FAILED: Final = "no answer"
BUDGET: Final = "no budget left"


@dataclass(frozen=True)
class Drop:
    """An item or a user that stays as it was."""

    stage: str
    id: str
    reason: str
    detail: str
    """In the words that a second prompt would show, or the generator's error."""


@dataclass
class StageAccount:
    """What one stage did."""

    stage: str
    method: str
    subjects: int
    """Items or users."""
    asked: int = 0
    """Prompts that a generator has answered now, second tries included."""
    from_store: int = 0
    """Prompts whose answers had been kept."""
    accepted: int = 0
    repaired: int = 0
    """Of the accepted, those that a second try has saved."""
    dropped: Counter[str] = field(default_factory=Counter)
    """Items or users without an answer, by reason."""
    left_out: int = 0
    """Clauses left out of prompts, since they could pass for orders to the model."""
    masked: int = 0
    """Pieces of personal data masked before texts left this machine."""
    prompt_tokens: int = 0
    """Of all answers, also those that had been kept."""
    completion_tokens: int = 0
    cost: float | None = None
    """What all answers cost, also those that had been kept; none where no price is stated."""
    seconds: float = 0.0
    stopped: str | None = None
    """The setting of the budget that has stopped this stage."""

    def to_dict(self) -> dict[str, Any]:
        """Return the account as plain values, ready for JSON."""
        return asdict(self) | {"dropped": dict(self.dropped), "seconds": round(self.seconds, 3)}


def in_words(account: Mapping[str, Any]) -> str:
    """Return what `to_dict` of a stage's account returned, in one line."""
    parts = [f"{account['accepted']:,} of {account['subjects']:,} accepted"]
    if account["repaired"]:
        parts.append(f"{account['repaired']:,} of them at the second try")
    parts += [f"{count:,} dropped: {reason}" for reason, count in account["dropped"].items()]
    if account["method"] == "llm":
        tokens = account["prompt_tokens"] + account["completion_tokens"]
        parts.append(f"{account['asked']:,} asked, {account['from_store']:,} from the store, {tokens:,} tokens")
    if account["cost"] is not None:
        parts.append(f"cost {account['cost']:.4f}")
    if account["stopped"]:
        parts.append(f"stopped by `{account['stopped']}`")
    return "; ".join(parts)
