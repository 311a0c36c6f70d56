"""Print the part of a lock file that an image needs: standard input to standard output.

    python locked.py pyproject.toml --extras mcp postgres --drop hf-xet <requirements.lock

Runs in the build stage of the Dockerfile, so it knows the standard library alone. What it prints
has the same versions and hashes; packages that only another extra has brought are gone.
"""

import argparse
import re
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path

_PIN = re.compile(r"^([A-Za-z0-9][\w.-]*)")
_PARENT = re.compile(r"^ {4}#\s+(?:via\s+)?(\S.*)$")
_OURS = "swarm (pyproject.toml"


def split(lock: str) -> dict[str, str]:
    """Return the text of each package's entry by its normalised name, in the lock's order."""
    entries: dict[str, list[str]] = {}
    name = ""
    for line in lock.splitlines():
        if found := _PIN.match(line):
            name = normal(found[1])
        if name:
            entries.setdefault(name, []).append(line)
    return {name: "\n".join(lines) for name, lines in entries.items()}


def parents(entry: str) -> set[str]:
    """Return who asked for a package, by the comments at its entry."""
    found = {match[1] for line in entry.splitlines() if (match := _PARENT.match(line))}
    return {name if name.startswith(_OURS) else normal(name) for name in found if name != "via"}


def kept(lock: str, *, asked: Iterable[str], dropped: Iterable[str] = ()) -> str:
    """Return the entries of the packages asked for, and of all that those brought along.

    Args:
        lock: The text of a lock file, with its `# via` comments.
        asked: Names that the project itself wants.
        dropped: Names left out although something else declares them.

    Raises:
        ValueError: A package asked for is not in the lock.
    """
    entries = split(lock)
    above = {name: parents(text) for name, text in entries.items()}
    gone = {normal(name) for name in dropped}
    found = {normal(name) for name in asked} - gone
    if missing := found - entries.keys():
        raise ValueError(f"not in the lock: {', '.join(sorted(missing))}")
    while more := {n for n, p in above.items() if n not in found | gone and p & found}:
        found |= more
    return "\n".join(text for name, text in entries.items() if name in found) + "\n"


def wanted(pyproject: str, *, extras: Iterable[str]) -> set[str]:
    """Return the names that the project's tables ask for, with those of some extras.

    Raises:
        ValueError: There is no such extra.
    """
    project = tomllib.loads(pyproject)["project"]
    offered = project.get("optional-dependencies", {})
    lines = list(project["dependencies"])
    for name in extras:
        if name not in offered:
            raise ValueError(f"there is no extra {name!r}")
        lines += offered[name]
    return {normal(match[1]) for line in lines if (match := _PIN.match(line))}


def normal(name: str) -> str:
    """Return a package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def main() -> None:
    """Read the arguments and a lock, and print what is kept of it."""
    parser = argparse.ArgumentParser(description="Print the part of a lock that is needed.")
    parser.add_argument("pyproject", type=Path)
    parser.add_argument("--extras", nargs="*", default=[], metavar="EXTRA")
    parser.add_argument("--drop", nargs="*", default=[], metavar="PACKAGE")
    words = parser.parse_args()
    asked = wanted(words.pyproject.read_text(encoding="utf-8"), extras=words.extras)
    sys.stdout.write(kept(sys.stdin.read(), asked=asked, dropped=words.drop))


if __name__ == "__main__":
    main()
