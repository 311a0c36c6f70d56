"""The words of a PDF, read by another process within bounds of time and memory."""

import json
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from swarm.core.errors import InvalidInput
from swarm.core.text import clean_text

MAX_BYTES = 10 * 1024 * 1024
MAX_PAGES = 200
"""Most pages of which the text is read."""
MAX_SIGNS = 500_000
"""Most characters of one file."""
WAIT_S = 30.0
"""Longest wait for the process, in seconds; it stops itself after a third of that at work."""
_CHILD = Path(__file__).with_name("pdf_child.py")


@dataclass(frozen=True, slots=True)
class Pdf:
    """What a PDF holds."""

    pages: int
    texts: tuple[str, ...]
    """Of each page, in order, as far as it was read; empty for a page that is a picture."""


def is_readable() -> bool:
    """Return whether the extra `pdf` is installed."""
    return find_spec("pypdf") is not None


def read_pdf(content: bytes, *, pages: int = MAX_PAGES) -> Pdf:
    """Return the pages of a PDF; blocks for as long as that takes.

    Raises:
        InvalidInput: It is too large, damaged or locked, or costs too much time or memory.
    """
    if len(content) > MAX_BYTES:
        raise InvalidInput(f"it has more than {MAX_BYTES // 1024**2} MiB")
    try:
        ended = subprocess.run(  # noqa: S603  # our own interpreter and our own file
            # Isolated: nothing of the environment or of the folder it stands in is imported.
            [sys.executable, "-I", str(_CHILD), str(pages), str(MAX_SIGNS)],
            input=content,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={},
            timeout=WAIT_S,
            check=False,
        )
        found = json.loads(ended.stdout) if ended.returncode == 0 else {}
    except subprocess.TimeoutExpired as error:
        raise InvalidInput(f"reading it took more than {WAIT_S:.0f} seconds") from error
    except ValueError:
        found = {}
    if "error" in found:
        raise InvalidInput(str(found["error"]))
    if "pages" not in found:
        raise InvalidInput("reading it took more time or memory than it may")
    return Pdf(int(found["pages"]), tuple(clean_text(text) for text in found["texts"]))
