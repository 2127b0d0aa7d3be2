"""The names of the columns that mean something to Genre."""

from __future__ import annotations

from typing import Final

USER_ID: Final = "user_id"
ITEM_ID: Final = "item_id"
TIMESTAMP: Final = "timestamp"
"""Seconds since 1970, UTC."""
POSITION: Final = "position"
"""In interactions, an event's place in its user's own order; in impressions, the place on the page from 0."""
EVENT: Final = "event"
"""What happened: a click, a purchase, ..."""
VALUE: Final = "value"
"""How much of it: a rating, a duration, a quantity."""
LIST_ID: Final = "list_id"
"""In impressions, which items were shown together."""
CLICKED: Final = "clicked"
PROPENSITY: Final = "propensity"
"""Probability with which the item was shown."""
