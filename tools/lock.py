"""Write the lock files and check them against `pyproject.toml`.

`make lock` runs `write`, `make test` runs `check`. Three files are kept, each complete in itself:

- `requirements-build.lock`: what installs the project itself (`uv`, `hatchling`).
- `requirements.lock`: what Swarm runs on, the extras `local` (the embedded model), `mcp`,
  `metrics` and `postgres` included.
- `requirements-dev.lock`: both of these and what checks the code.

A lock names packages, versions and sha256 sums, and never an index: where packages come from is the
installer's business, what they must be is the project's.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
import sysconfig
import tempfile
import tomllib
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT: Final = Path(__file__).resolve().parent.parent
OLDEST_PYTHON: Final = "3.11"
EXTRAS: Final = ("local", "mcp", "metrics", "postgres")
"""Those that an installation by lock holds."""
# A malicious release is usually found and withdrawn within days: let others find it.
QUARANTINE: Final = timedelta(days=7)
# Releases that carried malware. A lock with one of them is refused whatever its hashes say.
DENIED: Final = {"litellm": frozenset({"1.82.7", "1.82.8", "1.107.0"})}
# A `.pth` file runs at each start of Python, which is how litellm 1.82.8 stole credentials.
PTH_EXPECTED: Final = frozenset(
    {"_editable_impl_swarm.pth", "_virtualenv.pth", "distutils-precedence.pth"}
)

_CONSTRAINTS: Final = "decided-by-the-widest.txt"
_PIN: Final = re.compile(
    r"^(?P<name>[A-Za-z0-9][\w.-]*)(?:\[[\w.,-]+\])?==(?P<version>[^\s;]+)(?:\s*;\s*(?P<marker>[^\\]+?))?\s*\\?$"
)
_HASH: Final = re.compile(r"--hash=sha256:([0-9a-f]{64})\b")
_INDEX: Final = re.compile(
    r"://|(?:^|\s)(?:-i|-f|--(?:extra-)?index-url|--find-links|--trusted-host)\b|\bpypi\b|@ ", re.I
)


@dataclass(frozen=True)
class Lock:
    """One lock file: which requirements of `pyproject.toml` it must hold."""

    path: str
    runtime: bool
    """Whether it holds the dependencies of `[project]` and of the extras in `EXTRAS`."""
    group: str | None
    """The dependency group it holds, with the groups that one includes."""


@dataclass(frozen=True)
class Pin:
    """One package as locked."""

    name: str
    version: str
    hashes: frozenset[str]
    """sha256 sums, hexadecimal, of every file of this version that may be installed."""
    marker: str = field(default="", compare=False)
    """Where it is installed, in the words of a requirement; empty is everywhere."""


DEV_LOCK: Final = Lock("requirements-dev.lock", runtime=True, group="dev")
# The widest comes first: it decides the versions that the others repeat.
LOCKS: Final = (
    DEV_LOCK,
    Lock("requirements.lock", runtime=True, group=None),
    Lock("requirements-build.lock", runtime=False, group="build"),
)


def read_project(path: Path = ROOT / "pyproject.toml") -> dict[str, Any]:
    """Read `pyproject.toml` as tables."""
    return tomllib.loads(path.read_text(encoding="utf-8"))


def fingerprint(project: dict[str, Any]) -> str:
    """Sum up what a lock depends on: sha256, hexadecimal, of the dependency tables alone.

    Order, comments and every other table do not count, so only a change that may change the locks
    makes them stale.
    """
    tables = {
        "python": project["project"]["requires-python"],
        "dependencies": sorted(project["project"]["dependencies"]),
        "extras": project["project"].get("optional-dependencies", {}),
        "groups": project.get("dependency-groups", {}),
        "build": sorted(project["build-system"]["requires"]),
    }
    return hashlib.sha256(json.dumps(tables, sort_keys=True).encode()).hexdigest()


def requirements(project: dict[str, Any], lock: Lock) -> list[Requirement]:
    """List what `lock` must hold by name, the included groups written out."""
    lines: list[str] = []
    if lock.runtime:
        lines += project["project"]["dependencies"]
        extras = project["project"]["optional-dependencies"]
        lines += [line for name in EXTRAS for line in extras[name]]
    if lock.group is not None:
        lines += _group(project["dependency-groups"], lock.group)
    if lock.group == "build":
        lines += project["build-system"]["requires"]
    return [Requirement(line) for line in lines]


def pins(text: str) -> list[Pin]:
    """Read the pins of a lock file's text, in its order.

    A package can appear twice, each time with a marker of its own.
    """
    found: list[Pin] = []
    for block in re.split(r"\n(?=[A-Za-z0-9])", text):
        match = _PIN.match(block.split("\n", 1)[0])
        if match is not None:
            name = canonicalize_name(match["name"])
            sums = frozenset(_HASH.findall(block))
            found.append(Pin(name, match["version"], sums, match["marker"] or ""))
    return found


def problems(project: dict[str, Any], lock: Lock, text: str) -> list[str]:
    """Say what is wrong with a lock file's text, one sentence each; nothing wrong, no sentence."""
    return [
        *_stale(project, lock, text),
        *_unpinned(lock, text),
        *_unsatisfied(project, lock, text),
        *(
            f"{lock.path}: {pin.name} {pin.version} carried malware; pin another version"
            for pin in pins(text)
            if pin.version in DENIED.get(pin.name, ())
        ),
    ]


def differences(text: str, wider: str) -> list[str]:
    """Say which pins of a lock's text the wider lock does not repeat with the same hashes."""
    known = set(pins(wider))
    return [
        f"{pin.name} {pin.version} is not what {DEV_LOCK.path} says"
        for pin in pins(text)
        if pin not in known
    ]


def unexpected_pth(site_packages: Path) -> list[str]:
    """Name the `.pth` files of a folder of packages that no package of the locks puts there."""
    return sorted(p.name for p in site_packages.glob("*.pth") if p.name not in PTH_EXPECTED)


def check(root: Path = ROOT) -> list[str]:
    """Say what is wrong with the locks of a checkout and with the running environment."""
    project = read_project(root / "pyproject.toml")
    texts = {lock: (root / lock.path).read_text(encoding="utf-8") for lock in LOCKS}
    found = [line for lock, text in texts.items() for line in problems(project, lock, text)]
    for lock, text in texts.items():
        found += [f"{lock.path}: {line}" for line in differences(text, texts[DEV_LOCK])]
    site_packages = Path(sysconfig.get_path("purelib"))
    found += [f"unexpected {name} in the environment" for name in unexpected_pth(site_packages)]
    return found


def write(root: Path = ROOT, *, upgrade: bool = False) -> None:
    """Resolve all locks again and write them, keeping the pins that still fit.

    Nothing released in the last seven days is taken. The files are replaced only after all of them
    resolved.

    Args:
        root: The checkout. `.venv/bin/uv` of it resolves.
        upgrade: Take the newest allowed versions instead of keeping pins.

    Raises:
        subprocess.CalledProcessError: Nothing fits; uv has said why on stderr.
    """
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    newest = (today - QUARANTINE).strftime("%Y-%m-%dT%H:%M:%SZ")
    head = _header(fingerprint(read_project(root / "pyproject.toml")), newest)
    bodies: dict[Lock, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        decided = Path(folder) / _CONSTRAINTS
        for lock in LOCKS:
            old = root / lock.path
            keep = old.read_text(encoding="utf-8") if old.exists() and not upgrade else ""
            out = Path(folder) / lock.path
            out.write_text(keep, encoding="utf-8")
            constraint = [] if lock is DEV_LOCK else ["--constraint", str(decided)]
            _resolve(root, lock, out, newest=newest, extra=constraint)
            bodies[lock] = out.read_text(encoding="utf-8")
            if lock is DEV_LOCK:
                decided.write_text(_constraints(pins(bodies[lock])), encoding="utf-8")
    for lock, body in bodies.items():
        (root / lock.path).write_text(head + _without_constraint(body), encoding="utf-8")


def _resolve(root: Path, lock: Lock, out: Path, *, newest: str, extra: list[str]) -> None:
    sources = ["pyproject.toml"] if lock.runtime else []
    sources += [word for name in EXTRAS for word in ("--extra", name)] if lock.runtime else []
    if lock.group is not None:
        sources += ["--group", f"pyproject.toml:{lock.group}"]
    command = [str(root / ".venv/bin/uv"), "pip", "compile", "--quiet", "--no-header"]
    command += ["--universal", "--python-version", OLDEST_PYTHON, "--exclude-newer", newest]
    command += ["--generate-hashes", "--no-emit-index-url", "--no-emit-find-links"]
    # pip counts `name[extra]` as unpinned where the lock says only `name`.
    command += ["--no-strip-extras", *sources, *extra, "--output-file", str(out)]
    subprocess.run(command, cwd=root, check=True, stdout=subprocess.DEVNULL)  # noqa: S603 - our own words


def _constraints(found: list[Pin]) -> str:
    lines = (f"{p.name}=={p.version}" + (f" ; {p.marker}" if p.marker else "") for p in found)
    return "".join(f"{line}\n" for line in lines)


def _without_constraint(body: str) -> str:
    """Drop the remarks on the constraint file: it lies in a folder of another name each time."""
    kept = "".join(line for line in body.splitlines(True) if _CONSTRAINTS not in line)
    return re.sub(r"# via\n    #   (\S.*\n)(?!    #   )", r"# via \1", kept)


def _header(tables: str, newest: str) -> str:
    return (
        f"# Written by `make lock`; nothing newer than {newest}.\n"
        f"# Dependency tables of pyproject.toml, sha256: {tables}\n"
    )


def _stale(project: dict[str, Any], lock: Lock, text: str) -> list[str]:
    line = f"# Dependency tables of pyproject.toml, sha256: {fingerprint(project)}"
    if line in text.splitlines():
        return []
    return [f"{lock.path}: pyproject.toml has changed since; run `make lock`"]


def _unpinned(lock: Lock, text: str) -> list[str]:
    found = [f"{lock.path}: {p.name} {p.version} has no sha256" for p in pins(text) if not p.hashes]
    for line in text.splitlines():
        code = line.strip()
        if _INDEX.search(line):
            found.append(f"{lock.path}: names an index or an address: {code}")
        elif code and code[0] != "#" and not _PIN.match(line) and not _HASH.match(code):
            found.append(f"{lock.path}: neither a pin nor a sha256: {code}")
    return found


def _unsatisfied(project: dict[str, Any], lock: Lock, text: str) -> list[str]:
    versions: dict[str, list[str]] = {}
    for pin in pins(text):
        versions.setdefault(pin.name, []).append(pin.version)
    found: list[str] = []
    for need in requirements(project, lock):
        if need.marker is not None and not need.marker.evaluate():
            continue
        held = versions.get(canonicalize_name(need.name), [])
        if not held or not all(need.specifier.contains(v, prereleases=True) for v in held):
            found.append(f"{lock.path}: has {', '.join(held) or 'nothing'} for {need}")
    return found


def _group(groups: dict[str, Any], name: str) -> list[str]:
    lines: list[str] = []
    for item in groups[name]:
        lines += [item] if isinstance(item, str) else _group(groups, item["include-group"])
    return lines


def main(arguments: list[str]) -> int:
    """Run `check` or `write [--upgrade]`; 0 is well, 1 is a lock to mend, 2 is a wrong word."""
    if arguments == ["check"]:
        found = check()
        sys.stderr.write("".join(f"{line}\n" for line in found))
        return 1 if found else 0
    if arguments in (["write"], ["write", "--upgrade"]):
        write(upgrade="--upgrade" in arguments)
        return 0
    sys.stderr.write("usage: python -m tools.lock check | write [--upgrade]\n")
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
