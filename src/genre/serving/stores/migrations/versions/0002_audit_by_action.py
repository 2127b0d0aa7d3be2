"""An index on the audit log: the last erasure is looked for again and again, and items may change often."""

from __future__ import annotations

from typing import Final

from alembic import op

revision: Final = "0002"
down_revision: Final = "0001"


def upgrade() -> None:
    """Make the index."""
    op.create_index("audit_by_action", "audit", ["scenario", "action", "number"])
