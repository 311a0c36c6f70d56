"""Hostile names and paths, and a workspace amid canaries to try them in."""

import importlib
import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from typing import Any

from hypothesis import strategies as st

import swarm.tools
from swarm.core.errors import ToolError
from swarm.tools.base import Tool, ToolContext, ToolResult

SECRET = "canary-9d1f-from-outside"
"""What every file outside holds; it must never be in an answer."""
STRANGER = "canary-name-77b0"
"""Part of the name of a file outside that no path names; it must never be in a listing."""
SECRET_SHA256 = sha256(SECRET.encode()).hexdigest()

CLASSICS = (
    "link/secret", "../outside/secret", "sub/../../outside/secret", "/outside/secret", "hard",
    "filelink", "sub/link/secret", "up/outside/secret", "proc/secret", "flash", "plain",
    "door/secret", "page", ".swarm-canary", "sub", "fifo", "", ".", "..", "/", "newlink", "loop",
    "~/secret",
)  # fmt: skip
"""Tried in every round: each leads out where one guard is missing. Absolute ones begin at the site,
so that no test can reach the files of the machine, whatever guard is missing."""

_DOTS = [
    "..", ".", "...", "\u2024\u2024", "\u2025", "\u2026", "\uff0e\uff0e", "\uff61\uff61", "%2e%2e",
    "..%2f", "..%c0%af", "..\0", "..\n", " ..", ".. ", "..;", "..\u200b", "\u202e..", ".\u0300.",
    "\udc2e\udc2e",
]  # fmt: skip
_SLASHES = [
    "/", "//", "/./", "/../", "\\", "\uff0f", "\u2215", "\u2044", "\u29f8", "\uff3c", "%2f", "\0", "\n",
]  # fmt: skip
_KNOWN = [
    "link", "up", "filelink", "newlink", "sub", "deep", "loop", "proc", "hard", "fifo", "secret",
    "shared", "outside", "neighbour", "door", "plain", "page", "flash", "made", "workspace",
    "swarm.db", ".swarm-canary", ".swarm", ".Swarm-canary", ".SWARM-canary", ".\u017fwarm-canary",
]  # fmt: skip
_STRANGE = [
    "", "~", "~root", "$HOME", "-rf", "*", "{..}", "[!a]*", "**", "?", "|", ";", "`id`", "file:",
    "CON", "NUL", "COM1", "aux.txt", "con ", "trailing ", " leading", "dot.", "tab\t", "\u00a0",
    "\u3000", "\x7f", "\u2028", "\u2029", "\ufeff", "\u202egpj.exe", "\U000e0041", "\ud800", "\udfff",
    "\udc80", "a\u0301", "\u0301", "\ufb01le", "\uff23\uff2f\uff2e", "x" * 200, "x" * 255, "x" * 256,
    "\u00e9" * 128, "y" * 4096, "C:", "\\\\host\\share",
]  # fmt: skip

_part = st.sampled_from(_DOTS) | st.sampled_from(_KNOWN) | st.sampled_from(_STRANGE)
_text = st.text(st.characters(), max_size=12) | st.text(
    st.characters(categories=["Cc", "Cf", "Cs", "Zs", "Zl", "Zp", "Mn"]), max_size=6
)
hostile_path = st.builds(
    lambda start, names, sign: start + sign.join(names),
    st.sampled_from(["", "", "", "/", "//", "./", "../", "~/", "\\", "link/", "door/", "sub/../", "\0"]),
    st.lists(_part | _part | _text, min_size=1, max_size=10),
    st.sampled_from(["/", "/", "/", *_SLASHES]),
)  # fmt: skip


@dataclass(frozen=True)
class Site:
    """A workspace full of ways out, and a world around it that must stay as it is."""

    root: Path

    @property
    def workspace(self) -> Path:
        """The one folder the tools may touch."""
        return self.root / "workspace"

    @property
    def outside(self) -> Path:
        """Where most of the ways out lead."""
        return self.root / "outside"

    def around(self) -> dict[str, tuple[object, ...]]:
        """Return what everything outside the workspace is and holds, and the reserved file in it.

        How many names a file has is left out: a hostile process may give it one more.
        """
        found: dict[str, tuple[object, ...]] = {}
        for folder, folders, files in os.walk(self.root):
            if Path(folder) == self.workspace:
                folders.clear()
                files = [".swarm-canary"]
            for name in [*folders, *files]:
                path = Path(folder, name)
                status = path.lstat()
                is_inside = path == self.workspace
                data = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
                found[str(path)] = (
                    status.st_ino, status.st_mode, data, is_inside or status.st_mtime_ns,
                )  # fmt: skip
        return found


@contextmanager
def site(root: Path) -> Iterator[Site]:
    """Build a site in a folder that does not exist yet, and remove it at the end."""
    made = Site(root)
    for folder in ("outside/deep", "neighbour", "workspace/sub/deep", "workspace/door"):
        (root / folder).mkdir(parents=True)
    for file in ("outside/secret", "outside/deep/secret", "outside/shared", "outside/page",
                 f"outside/deep/{STRANGER}", "neighbour/plain", "swarm.db", "workspace/.swarm-canary",
                 "secret"):  # fmt: skip
        (root / file).write_text(SECRET)
    inside = made.workspace
    for name in ("plain", "page", "flash", "door/secret", "sub/plain"):
        (inside / name).write_text("inside")
    links: dict[str, Path | str] = {
        "link": made.outside, "up": "..", "filelink": made.outside / "secret",
        "newlink": made.outside / "made", "sub/link": "../../outside/deep", "loop": "loop",
    }  # fmt: skip
    for name, target in links.items():
        (inside / name).symlink_to(target)
    held = os.open(made.outside, os.O_RDONLY)
    (inside / "proc").symlink_to(f"/proc/self/fd/{held}")
    (inside / "hard").hardlink_to(made.outside / "shared")
    os.mkfifo(inside / "fifo")
    try:
        yield made
    finally:
        os.close(held)
        shutil.rmtree(root)


@dataclass(frozen=True)
class Kit:
    """The file tools, as they are or with a guard taken out."""

    tools: Mapping[str, Tool]

    def calls(self, path: str) -> Iterator[tuple[Tool, Any]]:
        """Give every use that can be made of a path, past what the arguments' schema refuses."""
        uses: tuple[tuple[str, dict[str, object]], ...] = (
            ("read_file", {"path": path}),
            ("search_files", {"folder": path, "regex": "c.nary"}),
            ("search_files", {"glob": path[:200], "regex": "c.nary"}),
            ("list_files", {"folder": path}),
            ("deliver", {"path": path, "summary": "Done."}),
            ("edit_file", {"path": path, "old_text": SECRET[:6], "new_text": "taken"}),
            ("write_file", {"path": path, "content": "taken"}),
        )
        for name, values in uses:
            tool = self.tools[name]
            yield tool, tool.Args.model_construct(None, **values)


_MODULES = {
    "workspace": (), "files": ("ListFiles", "ReadFile", "WriteFile"), "edit": ("EditFile",),
    "search": ("SearchFiles",), "deliver": ("Deliver",),
}  # fmt: skip


def kit(*mutations: tuple[str, str]) -> Kit:
    """Return the file tools, loaded anew with some of the text of `workspace.py` replaced.

    The modules that the rest of the program uses stay as they are.
    """
    names = [f"swarm.tools.{name}" for name in _MODULES]
    kept = {name: importlib.import_module(name) for name in names}
    try:
        for name in names:
            del sys.modules[name]
        sys.modules[names[0]] = _mutant(kept[names[0]], mutations)
        vars(swarm.tools)["workspace"] = sys.modules[names[0]]  # as an import does
        fresh = {name: importlib.import_module(f"swarm.tools.{name}") for name in _MODULES}
        tools = [getattr(fresh[m], c)() for m, classes in _MODULES.items() for c in classes]
        return Kit({tool.name: tool for tool in tools})
    finally:
        for name, module in kept.items():
            sys.modules[name] = module
            setattr(swarm.tools, name.rpartition(".")[2], module)


def _mutant(original: ModuleType, mutations: Iterable[tuple[str, str]]) -> ModuleType:
    assert original.__file__
    source = Path(original.__file__).read_text()
    for old, new in mutations:
        assert old in source, f"the mutation {old!r} no longer fits workspace.py"
        source = source.replace(old, new)
    mutant = ModuleType(original.__name__)
    mutant.__file__ = original.__file__
    sys.modules[original.__name__] = mutant
    exec(compile(source, original.__file__, "exec"), vars(mutant))  # our own source
    return mutant


async def attack(kit: Kit, where: Site, paths: Iterable[str]) -> list[str]:
    """Try every tool on every path and return what came out of it that must not.

    Whatever a tool raises but words to the model flies.
    """
    context = ToolContext(where.workspace, "cto", "t1")
    escapes = []
    for path in paths:
        # Absolute ones begin at the site; nobody should lose a file to a broken guard.
        aimed = f"{where.root}{path}" if path.startswith("/") else path
        for tool, args in kit.calls(aimed):
            try:
                result = await tool.run(args, context)
            except ToolError as error:
                result = ToolResult(str(error))
            answer = repr(result)
            if any(canary in answer for canary in (SECRET, STRANGER, SECRET_SHA256)):
                escapes.append(f"{tool.name}({path!r}) told: {answer[:200]}")
    return escapes


async def campaign_round(kit: Kit, where: Site, paths: Iterable[str]) -> list[str]:
    """Attack, and look from outside what has changed."""
    before = where.around()
    escapes = await attack(kit, where, paths)
    after = where.around()
    changed = [path for path in before.keys() | after.keys() if before.get(path) != after.get(path)]
    return escapes + [f"{path} was changed from {paths!r}" for path in sorted(changed)]
