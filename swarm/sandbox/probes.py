"""Harmless attempts to get out, run inside a sandbox by its self-test.

The text of this file is run by a bare interpreter inside the sandbox, so it knows the standard
library alone. It prints the attempts that succeeded as a JSON list.
"""

import ctypes
import json
import mmap
import os
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

NAMESPACES = ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts")
KNOWN_VARIABLES = {"PATH", "HOME", "LANG", "PWD", "LC_CTYPE", "TMPDIR"}
_PTRACE_SEIZE = 0x4206
_PTRACE_DETACH = 17


def can_read(path: str) -> bool:
    """Return whether a file can be read."""
    try:
        return bool(Path(path).read_bytes())
    except OSError:
        return False


def can_open_for_writing(path: str) -> bool:
    """Return whether a file can be opened for writing; nothing is written."""
    try:
        os.close(os.open(path, os.O_WRONLY))
    except OSError:
        return False
    return True


def can_create(path: str) -> bool:
    """Return whether a new file can be made."""
    try:
        Path(path).touch(exist_ok=False)
    except OSError:
        return False
    return True


def can_change(path: str) -> bool:
    """Return whether a file's mode or times can be set; they are set to what they are."""
    try:
        facts = os.stat(path)  # noqa: PTH116  # the bare calls
    except OSError:
        return False
    return can_set_mode(path, facts) or can_set_times(path, facts)


def can_set_mode(path: str, facts: os.stat_result) -> bool:
    """Return whether a file's mode can be set."""
    try:
        os.chmod(path, facts.st_mode)  # noqa: PTH101  # the bare calls
    except OSError:
        return False
    return True


def can_set_times(path: str, facts: os.stat_result) -> bool:
    """Return whether a file's times can be set."""
    try:
        os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    except OSError:
        return False
    return True


def can_connect(family: int, address: Any) -> bool:
    """Return whether something outside answers on an address."""
    try:
        with socket.socket(family, socket.SOCK_STREAM) as connection:
            connection.settimeout(2)
            connection.connect(address)
    except OSError:
        return False
    return True


def send(address: Any) -> None:
    """Throw a word at an address; only the other end knows whether it came."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as thrower:
            thrower.sendto(b"knock", address)
    except OSError:
        return


def can_trace(pid: int) -> bool:
    """Return whether a process lets itself be traced; it is let go at once, and never stopped."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.ptrace(_PTRACE_SEIZE, pid, None, None) != 0:
        return can_read(f"/proc/{pid}/mem") or can_read(f"/proc/{pid}/maps")
    libc.ptrace(_PTRACE_DETACH, pid, None, None)
    return True


def can_signal(pid: int, started: str) -> bool:
    """Return whether that very process, known by its start time, can be reached."""
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return is_same(pid, started)


def is_same(pid: int, started: str) -> bool:
    """Return whether a number means the same process in here; if nobody can tell, it does."""
    try:
        return start_time(pid) == started
    except FileNotFoundError:
        return False
    except OSError:
        return True


def start_time(pid: int) -> str:
    """Return when a process started, in the kernel's ticks."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]


def foreign_variables(pid: int) -> set[str]:
    """Return the names of variables that somebody else's environment left readable."""
    names: set[str] = set()
    # Where the folder cannot be listed, a number can still be guessed.
    known = [Path("/proc", number, "environ") for number in ("1", str(pid))]
    for environ in {*Path("/proc").glob("[0-9]*/environ"), *known}:
        try:
            texts = environ.read_bytes().split(b"\0")
        except OSError:
            continue
        names |= {text.partition(b"=")[0].decode(errors="replace") for text in texts if text}
    return names - KNOWN_VARIABLES


def can_hold(mebibytes: int) -> bool:
    """Return whether so much memory can be had; it is given back untouched."""
    try:
        mmap.mmap(-1, mebibytes * 1024 * 1024, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS).close()
    except OSError:
        return False
    return True


def shared_namespaces(outside: dict[str, str]) -> Iterator[str]:
    """Give the kinds of namespace that inside and outside have in common."""
    for kind in NAMESPACES:
        try:
            inside = str(Path("/proc/self/ns", kind).readlink())
        except FileNotFoundError:
            continue
        if inside == outside.get(kind):
            yield kind


def escapes(facts: dict[str, Any]) -> Iterator[str]:
    """Give the attempts that succeeded, in words for the operator."""
    if can_read(facts["canary"]):
        yield "read a file outside the workspace"
    if can_read(facts["neighbour"]) or can_open_for_writing(facts["neighbour"]):
        yield "open a file of another workspace"
    if can_change(facts["canary"]):
        yield "change a file outside the workspace"
    if any(can_create(f"{folder}/{facts['mark']}") for folder in facts["folders"]):
        yield "write outside the workspace"
    if any(can_open_for_writing(path) for path in facts["settings"]):
        yield "write the kernel's settings"
    if can_connect(socket.AF_INET, ("127.0.0.1", facts["port"])):
        yield "connect to this machine"
    if can_connect(socket.AF_UNIX, "\0" + facts["mark"]):
        yield "connect to a local socket"
    send(("127.0.0.1", facts["port"]))
    if foreign_variables(facts["pid"]):
        yield "read another environment"
    if can_signal(facts["pid"], facts["started"]):
        yield "signal the process that started it"
    if is_same(facts["pid"], facts["started"]) and can_trace(facts["pid"]):
        yield "trace the process that started it"
    if can_hold(facts["too_many_mib"]):
        yield "take more memory than allowed"
    for kind in shared_namespaces(facts["namespaces"]):
        yield f"share the machine's {kind} namespace"


def crowd(processes: int) -> bool:
    """Return whether so many processes may live for some seconds; they only wait."""
    children = []
    try:
        for _ in range(processes):
            child = os.fork()
            if child == 0:
                time.sleep(30)
                os._exit(0)
            children.append(child)
        # Time for a watch from outside to notice.
        time.sleep(2)
    except OSError:
        return False
    finally:
        for child in children:
            os.kill(child, 9)
    return True


def main() -> None:
    """Run the attempts named by the first argument and print those that succeeded."""
    facts = json.loads(sys.argv[1])
    if facts["crowd"]:
        found = ["run more processes than allowed"] if crowd(facts["crowd"]) else []
    else:
        found = list(escapes(facts))
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
