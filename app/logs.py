"""Log lines: a fixed sentence for people, ``action=`` and ids for machines. Never a text, never a secret.

Lines go to standard error: coloured on a terminal, JSON elsewhere. Lines of libraries (uvicorn, alembic)
come out in the same form.
"""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from structlog.typing import EventDict, Processor

_CHATTY = (
    "alembic",
    "faiss",
    "httpcore",
    "httpx",
    "openai",
    "sentence_transformers",
    "transformers",
    "uvicorn",
    "watchfiles",
)


_SHARED: list[Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    # A plain trace: the pretty one prints local variables, and those hold documents and questions.
    structlog.processors.format_exc_info,
]
#: One list for the life of the process: loggers keep the list that they met first, also when logs are configured anew.
_PROCESSORS: list[Processor] = [*_SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter]


def _of_a_library(_logger: object, _method: str, line: EventDict) -> EventDict:
    """Give a library's line the key that all lines have."""
    line.setdefault("action", "library")
    return line


def configure(level: str) -> None:
    """Send log lines of at least *level* to standard error."""
    if sys.stderr.isatty():
        renderer: Processor = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    else:
        renderer = structlog.processors.JSONRenderer(ensure_ascii=False)
    structlog.configure(
        processors=_PROCESSORS,
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    to_stderr = logging.StreamHandler(sys.stderr)
    to_stderr.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*_SHARED, _of_a_library],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [to_stderr]
    root.setLevel(level.upper())
    # Libraries that tell what they do line by line: their warnings are enough.
    for name in _CHATTY:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
