"""Where logs go: warnings to standard error, everything to a file in the company's folder.

Text where a person reads standard error, one JSON document per line where a program does. Traces
go to the file alone: they help nobody at the door.
"""

import logging
import os
import sys
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

import structlog

from swarm.cli.lazy import load
from swarm.core.errors import SwarmError

FILE = Path("logs") / "swarm.log"
MAX_BYTES = 5_000_000
LOUD = ("dbos",)
"""Libraries that write to standard error by themselves unless their logger has a handler."""
KEPT = 3
"""Old files kept, each of up to `MAX_BYTES`."""


@contextmanager
def configured(*, is_verbose: bool) -> Iterator[None]:
    """Send logs to standard error from warnings on, or from infos on where `is_verbose`."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.add_logger_name,
            structlog.stdlib.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setLevel(logging.INFO if is_verbose else logging.WARNING)
    is_text = sys.stderr is not None and sys.stderr.isatty()
    handler.setFormatter(_formatter(is_text=is_text, has_traces=False))
    root = logging.getLogger()
    # What libraries say below a warning is theirs; our own infos go to the file.
    ours, was = logging.getLogger("swarm"), (root.level, logging.raiseExceptions)
    logging.raiseExceptions = False
    root.setLevel(logging.WARNING)
    ours.setLevel(logging.INFO)
    root.addHandler(handler)
    for name in LOUD:
        logging.getLogger(name).handlers[:] = [logging.NullHandler()]
    try:
        yield
    finally:
        root.removeHandler(handler)
        ours.setLevel(logging.NOTSET)
        root.setLevel(was[0])
        logging.raiseExceptions = was[1]
        structlog.reset_defaults()


@contextmanager
def kept_in(home: Path) -> Iterator[None]:
    """Send logs to the company's file too, as long as its folder can be written."""
    try:
        path = _path(home)
    except OSError:
        yield
        return
    handler = RotatingFileHandler(
        path, maxBytes=MAX_BYTES, backupCount=KEPT, encoding="utf-8", delay=True
    )
    handler.setFormatter(_formatter(is_text=False, has_traces=True))
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
        handler.close()


def record_crash(error: BaseException) -> Path:
    """Write an error with its trace to the company's log, or beside it where there is none.

    Returns:
        The file that now holds it.
    """
    record = logging.LogRecord(
        "swarm.cli", logging.CRITICAL, "", 0, "a command broke", None, _info(error)
    )
    line = _formatter(is_text=False, has_traces=True).format(record) + "\n"
    try:
        path = _path(load("swarm.settings:load")().home)
        with path.open("a", encoding="utf-8") as file:
            file.write(line)
    except (OSError, SwarmError):
        descriptor, name = tempfile.mkstemp(prefix="swarm-", suffix=".log")
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(line)
        return Path(name)
    return path


def _path(home: Path) -> Path:
    """Return the log of a home, with its folder made for its owner's eyes only."""
    path = home / FILE
    if not home.is_dir():
        raise FileNotFoundError(home)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    path.touch(mode=0o600)
    return path


def _info(error: BaseException) -> Any:
    return (type(error), error, error.__traceback__)


def _formatter(*, is_text: bool, has_traces: bool) -> logging.Formatter:
    renderer: Any = (
        structlog.dev.ConsoleRenderer(colors=False, sort_keys=False)
        if is_text
        else structlog.processors.JSONRenderer(ensure_ascii=False, default=str)
    )
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            structlog.stdlib.add_logger_name,
            structlog.stdlib.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
        ],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            _with_trace if has_traces else _with_name_of_error,
            renderer,
        ],
        keep_exc_info=False,
        keep_stack_info=False,
    )


def _with_trace(_: Any, __: str, event: Any) -> Any:
    error = _error_of(event)
    if error is not None:
        event["error"] = _named(error)
        event["trace"] = "".join(traceback.format_exception(error))
    return event


def _with_name_of_error(_: Any, __: str, event: Any) -> Any:
    error = _error_of(event)
    if error is not None:
        event["error"] = _named(error)
    return event


def _error_of(event: Any) -> BaseException | None:
    """Take the exception out of a log event, in whichever form it was handed over."""
    found = event.pop("exc_info", None)
    if found is True:
        found = sys.exc_info()
    error = found[1] if isinstance(found, tuple) else found
    return error if isinstance(error, BaseException) else None


def _named(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
