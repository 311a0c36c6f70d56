"""Let nothing in this process reach a network, by whatever library it tries."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class SocketRefused(Exception):
    """Something tried to reach the network during a replay."""


_guard = {"is_up": False, "is_set": False}


@contextmanager
def no_sockets() -> Iterator[None]:
    """Let every attempt to reach or offer anything over a network fail, in this process.

    An audit hook of the interpreter: no library gets round it by calling another function.
    """
    if not _guard["is_set"]:
        sys.addaudithook(_refuse_sockets)
        _guard["is_set"] = True
    _guard["is_up"] = True
    try:
        yield
    finally:
        _guard["is_up"] = False


_REACHING = frozenset(
    f"socket.{name}"
    for name in (
        "connect", "bind", "sendto", "sendmsg",
        "getaddrinfo", "gethostbyname", "gethostbyaddr", "getnameinfo",
    )
)  # fmt: skip


def _refuse_sockets(event: str, arguments: tuple[Any, ...]) -> None:
    if not _guard["is_up"] or event not in _REACHING:
        return
    # Without an address it goes to whom the socket was connected to before, such as a pipe's end.
    if event != "socket.sendmsg" or arguments[1] is not None:
        raise SocketRefused(f"{event}: a replay reaches nobody")
