"""Nobody but the rooms made for it reaches a socket, a process or a model."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import swarm

ROOT = Path(swarm.__file__).parent

DOORS: dict[str, tuple[set[str], tuple[str, ...]]] = {
    "a socket": (
        {
            "socket", "socketserver", "ssl", "http.client", "http.server", "urllib.request",
            "ftplib", "smtplib", "imaplib", "poplib", "telnetlib", "xmlrpc", "httpx", "httpcore",
            "requests", "aiohttp", "websockets", "urllib3", "asyncio.open_connection",
            "asyncio.start_server", "asyncio.open_unix_connection", "asyncio.start_unix_server",
            "create_connection", "create_server", "create_datagram_endpoint", "sock_connect",
        },
        (
            "llm/", "sandbox/", "channels/", "farm/", "tools/http.py", "tools/resolving.py",
            # A pair of sockets between the doorman and its worker.
            "runtime/doorman_line.py", "runtime/doorman_worker.py", "cli/works.py",
        ),
    ),
    "a process": (
        {
            "subprocess", "multiprocessing", "pty", "asyncio.subprocess", "asyncio.create_subprocess_exec",
            "asyncio.create_subprocess_shell", "create_subprocess_exec", "create_subprocess_shell",
            "subprocess_exec", "subprocess_shell", "os.system", "os.popen", "os.fork", "os.forkpty",
            "os.posix_spawn", "os.posix_spawnp", "os.startfile",
            *(f"os.exec{ending}" for ending in ("l", "le", "lp", "lpe", "v", "ve", "vp", "vpe")),
            *(f"os.spawn{ending}" for ending in ("l", "le", "lp", "lpe", "v", "ve", "vp", "vpe")),
        },
        (
            "sandbox/", "farm/", "tools/mcp/", "evals/processes.py",
            # Our own interpreter with our own code: a worker, who reads a PDF, who hears a voice note.
            "runtime/doorman_worker.py", "cli/works.py", "memory/pdf.py", "channels/voice/apart.py",
        ),
    ),
    "code from a text": ({"eval", "exec", "pickle", "marshal", "shelve", "dill"}, ()),
    "the C library": ({"ctypes", "cffi"}, ("llm/", "sandbox/", "runtime/libc.py")),
}  # fmt: skip
"""What opens it, and the files that may."""


@cache
def names_used(source: str) -> list[tuple[int, str]]:
    """Return each module imported and each dotted name called or passed on, with its line."""
    return list(_names(source))


def _names(source: str) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.lineno, node.module
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Attribute):
            yield node.lineno, ast.unparse(node)
            yield node.lineno, node.attr if isinstance(node.value, ast.Call) else ast.unparse(node)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            yield node.lineno, node.func.id


def trespasses(source: str, file: str, openers: set[str], allowed: tuple[str, ...]) -> list[str]:
    """Return where a file opens a door that is not its own."""
    if file.startswith(allowed) and allowed:
        return []
    return [
        f"{file}:{line}: {name}"
        for line, name in names_used(source)
        if name in openers or name.split(".")[0] in openers & {name.split(".")[0]} - {"asyncio"}
    ]


@pytest.mark.parametrize("door", DOORS)
def test_only_the_rooms_made_for_it_open(door: str) -> None:
    openers, allowed = DOORS[door]
    found = []
    for path in sorted(ROOT.rglob("*.py")):
        file = path.relative_to(ROOT).as_posix()
        found += trespasses(path.read_text(encoding="utf-8"), file, openers, allowed)
    assert found == []


@pytest.mark.parametrize(
    ("door", "line"),
    [
        ("a socket", "import socket"),
        ("a socket", "from urllib import request\nimport urllib.request"),
        ("a socket", "def f():\n    import httpx\n    httpx.get('x')"),
        ("a socket", "import asyncio\nasyncio.open_connection('x', 1)"),
        ("a socket", "import asyncio\nasyncio.get_running_loop().create_connection(x)"),
        ("a process", "import subprocess as s"),
        ("a process", "import asyncio\nasyncio.create_subprocess_exec('ls')"),
        ("a process", "import os\nos.system('ls')"),
        ("a process", "import os\nf = os.execv"),
        ("a process", "from os import fork\nfork()"),
        ("code from a text", "eval('1')"),
        ("code from a text", "import pickle"),
    ],
)
def test_the_look_finds_what_it_looks_for(door: str, line: str) -> None:
    openers, allowed = DOORS[door]
    assert trespasses(line, "runtime/new.py", openers, allowed)


def test_each_door_is_used_where_it_is_allowed() -> None:
    """A list of exceptions that nobody needs would hide a new trespass."""
    for door, (openers, allowed) in DOORS.items():
        for place in allowed:
            files = [
                p for p in ROOT.rglob("*.py") if p.relative_to(ROOT).as_posix().startswith(place)
            ]
            used = [f for p in files for f in trespasses(p.read_text(), "x.py", openers, ())]
            assert used or place == "channels/", f"{place} opens no {door}"
