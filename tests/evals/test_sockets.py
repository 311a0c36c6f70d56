"""While a replay runs, nothing of this process reaches a network, whatever it calls."""

import socket
from collections.abc import Callable
from contextlib import suppress

import pytest

from swarm.evals.sockets import SocketRefused, no_sockets

NOBODY = ("127.0.0.1", 9)
WAYS: dict[str, Callable[[socket.socket], object]] = {
    "connect": lambda one: one.connect(NOBODY),
    "connect without an error": lambda one: one.connect_ex(NOBODY),
    "offer": lambda one: one.bind(("127.0.0.1", 0)),
    "a letter by its address": lambda one: one.sendto(b"x", NOBODY),
    "a letter in parts": lambda one: one.sendmsg([b"x"], [], 0, NOBODY),
    "a name": lambda _: socket.getaddrinfo("localhost", 80),
    "a name, as of old": lambda _: socket.gethostbyname("localhost"),
    "whose address": lambda _: socket.gethostbyaddr("127.0.0.1"),
    "what an address is called": lambda _: socket.getnameinfo(NOBODY, 0),
}


@pytest.mark.parametrize("way", WAYS)
def test_every_way_out_is_refused_and_open_again_afterwards(way: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        with no_sockets(), pytest.raises(SocketRefused):
            WAYS[way](one)
        # A machine may know no such name, and say so.
        with suppress(OSError):
            WAYS[way](one)


def test_the_two_ends_of_a_pipe_still_speak() -> None:
    with no_sockets():
        here, there = socket.socketpair()
        with here, there:
            here.sendmsg([b"hello"])
            assert there.recv(5) == b"hello"
