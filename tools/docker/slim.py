"""Take out of a virtual environment what Swarm never loads: `python slim.py /opt/swarm`.

Runs in the build stage of the Dockerfile, so it knows the standard library alone. Every pattern
must match something: where a release moved it, the build fails and somebody looks again.
"""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

UNUSED = (
    # The web pages of litellm's proxy server, which is never started.
    "litellm/proxy/_experimental/out",
    "litellm/proxy/swagger",
    "litellm/proxy/_lazy_openapi_snapshot.json",
    # Serves text recognition and transcription, and the rest only where LITELLM_RUST is set.
    "litellm/rust_bridge/_native*.so",
    # The binding for PyPy; CPython has the other one.
    "zstandard/_cffi*.so",
    # For programs in C, for schemas in Schematron, and for trees that look like Python objects.
    "lxml/includes",
    "lxml/objectify*.so",
    "lxml/isoschematron",
    "sqlalchemy/testing",
    "*/tests",
    # For type checkers and compilers.
    "**/*.pyi",
    "**/*.pyx",
    # Lists of files for programs that uninstall; nothing here does.
    "*.dist-info/RECORD",
    # The proxy's own command line, word lists and a client's models.
    "litellm/proxy/client",
    "litellm/proxy/guardrails/content_filter_data",
    "litellm/proxy/common_utils/codex_bundled_models_*.json",
)
# What needs a package that is not there cannot be loaded anyway: the proxy's own server.
UNLOADABLE = "litellm/proxy/**/*.py"
_SERVER = re.compile(r"^(?:from|import) +(?:fastapi|litellm\.proxy\.proxy_server)\b", re.MULTILINE)
# botocore describes every service of one cloud; models are reached through these.
SERVICES = "botocore/data"
SERVICES_KEPT = ("bedrock*", "sagemaker-runtime", "sso*", "sts")


def unused(library: Path) -> Iterator[Path]:
    """Give the files and folders to remove.

    Raises:
        ValueError: A pattern matches nothing.
    """
    for pattern in UNUSED:
        yield from _matching(library, pattern)
    if (library / "fastapi").exists():
        raise ValueError("fastapi is installed now: what is unloadable must be looked at again")
    for path in _matching(library, UNLOADABLE):
        if _SERVER.search(path.read_text(encoding="utf-8")):
            yield path
    kept = {path for name in SERVICES_KEPT for path in _matching(library, f"{SERVICES}/{name}")}
    for path in _matching(library, f"{SERVICES}/*/"):
        if path not in kept:
            yield path


def _matching(library: Path, pattern: str) -> list[Path]:
    found = list(library.glob(pattern))
    if not found:
        raise ValueError(f"{pattern} matches nothing any more")
    return found


def main() -> None:
    """Remove what is unused, and take what only debuggers read out of the libraries."""
    for library in Path(sys.argv[1]).glob("lib/python3*/site-packages"):
        for path in list(unused(library)):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
        # Not those in `*.libs`: their makers moved their parts about, and they do not survive it.
        found = [str(p) for p in library.rglob("*.so") if ".libs" not in str(p)]
        subprocess.run(["strip", "--strip-unneeded", *found], check=True)  # noqa: S603, S607


if __name__ == "__main__":
    main()
