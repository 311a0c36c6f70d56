"""Read a PDF in a process of its own: whatever the file does to its reader, it does it here.

Run as a script, not imported: the file comes on standard input, one JSON document goes out. It
imports nothing of the company.
"""

import io
import json
import logging
import sys
from contextlib import suppress
from typing import Any

MEMORY_BYTES = 768 * 1024 * 1024
CPU_S = 10
_OPEN_FILES = 64


def _bound() -> None:
    """Take away from this process what a hostile file could use up."""
    with suppress(ImportError):
        import resource

        wanted = {
            resource.RLIMIT_AS: MEMORY_BYTES,
            resource.RLIMIT_CPU: CPU_S,
            resource.RLIMIT_NOFILE: _OPEN_FILES,
            resource.RLIMIT_FSIZE: 0,
            resource.RLIMIT_CORE: 0,
        }
        for kind, most in wanted.items():
            # Not every system knows every limit; those it knows still hold.
            with suppress(ValueError, OSError):
                resource.setrlimit(kind, (most, most))


def read(content: bytes, *, pages: int, signs: int) -> dict[str, Any]:
    """Return `pages`, how many there are, and `texts`, those of the first of them; or `error`."""
    from pypdf import PdfReader

    reader = PdfReader(io.BytesIO(content), strict=False)
    if reader.is_encrypted and not reader.decrypt(""):
        return {"error": "it is locked with a password"}
    count = len(reader.pages)
    texts: list[str] = []
    left = signs
    for page in reader.pages[: min(pages, count)]:
        if left <= 0:
            break
        text = page.extract_text()[:left]
        left -= len(text)
        texts.append(text)
    return {"pages": count, "texts": texts}


def main() -> None:
    """Read standard input; the arguments are the most pages and the most characters of text."""
    logging.disable(logging.CRITICAL)
    _bound()
    content = sys.stdin.buffer.read()
    try:
        found = read(content, pages=int(sys.argv[1]), signs=int(sys.argv[2]))
    except (Exception, RecursionError) as error:  # noqa: BLE001  # the outermost loop of this process
        found = {"error": f"it is damaged ({type(error).__name__})"}
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
