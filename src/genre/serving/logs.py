"""A line of JSON for each thing that happens: for programs to read, and without anything personal."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Final

_PLAIN: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}
_QUIET: Final = ("httpx", "httpx2", "alembic", "sqlalchemy", "matplotlib", "sentence_transformers", "transformers")


class JsonLines(logging.Formatter):
    """Writes time, level, logger, message and whatever else a record has."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **{name: value for name, value in vars(record).items() if name not in _PLAIN},
        }
        if record.exc_info and record.exc_info[0] is not None:
            # What an error says may hold what somebody has sent; where it happened does not.
            frames = []
            trace = record.exc_info[2]
            while trace is not None:
                code = trace.tb_frame.f_code
                frames.append(f"{code.co_filename.rpartition('/')[2]}:{trace.tb_lineno} {code.co_name}")
                trace = trace.tb_next
            line |= {"error": record.exc_info[0].__name__, "trace": frames}
        return json.dumps(line, ensure_ascii=False, default=str)


def write_json_lines(level: str = "INFO") -> None:
    """Let everything that is logged come to standard error as lines of JSON."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
