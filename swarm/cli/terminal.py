"""Write to the terminal, or to whoever reads the pipe."""

import json
import sys
from typing import Any, TextIO

from swarm.core.errors import ConfigError
from swarm.core.text import clean_text


class ReaderGoneError(Exception):
    """Say that nobody reads the output any more, which is no fault."""


def say(text: str = "") -> None:
    """Write lines to standard output.

    Control signs are taken out: a model's text could otherwise steer the terminal.

    Raises:
        ReaderGoneError: The other end of the pipe is closed.
        ConfigError: The output cannot be written, for example on a full disk.
    """
    _write(sys.stdout, clean_text(text) + "\n")


def tell(text: str) -> None:
    """Write lines to standard error, where what is said beside a document belongs."""
    _write(sys.stderr, clean_text(text) + "\n")


def show_json(value: Any) -> None:
    """Write one JSON document to standard output."""
    encoding = (getattr(sys.stdout, "encoding", None) or "utf-8").lower()
    is_ascii = not encoding.startswith("utf")
    _write(sys.stdout, json.dumps(value, ensure_ascii=is_ascii, indent=2) + "\n")


def is_lively() -> bool:
    """Say whether standard output is a terminal that can redraw."""
    return sys.stdout is not None and sys.stdout.isatty()


def _write(stream: TextIO | None, text: str) -> None:
    if stream is None:
        return
    encoding = getattr(stream, "encoding", None) or "utf-8"
    try:
        stream.write(text.encode(encoding, "replace").decode(encoding))
        stream.flush()
    except BrokenPipeError as error:
        raise ReaderGoneError from error
    except OSError as error:
        raise ConfigError(f"The output cannot be written: {error.strerror}.") from error
