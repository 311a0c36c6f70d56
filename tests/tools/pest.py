"""A hostile process in a workspace: it swaps files for links while the tools are at work.

Started as a script. Each line on its standard input names a workspace to play in, an empty one
lets it rest; it answers each with a line. It ends with its input.
"""

import contextlib
import ctypes
import os
import select
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

_HERE, _EXCHANGE = -100, 2


def exchange(one: str, other: str) -> None:
    """Let two names change places in one step, so that neither is ever missing."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE):
        raise OSError(ctypes.get_errno(), one)


def flash(name: str, foreign: str) -> None:
    """Give a foreign file this name for a moment, so that it has a second one and loses it again."""
    os.link(foreign, "pest-link")
    os.rename("pest-link", name)  # noqa: PTH104  # a pest does not tidy up
    with open("pest-plain", "w") as file:  # noqa: PTH123
        file.write("inside")
    os.rename("pest-plain", name)  # noqa: PTH104


def swap_drafts(foreign: str) -> None:
    """Put a link in the place of whatever is just being written."""
    for name in os.listdir("."):  # noqa: PTH208
        if name.startswith(".swarm-") and name != ".swarm-canary":
            os.symlink(foreign, "pest-draft")  # noqa: PTH211
            os.rename("pest-draft", name)  # noqa: PTH104


PLAYS: tuple[Callable[[], None], ...] = (
    lambda: exchange("door", "link"),
    lambda: exchange("plain", "filelink"),
    lambda: flash("flash", "../outside/shared"),
    lambda: exchange("sub", "fifo"),
    lambda: exchange("page", "hard"),
    lambda: swap_drafts("../outside/secret"),
)


def main() -> None:
    """Play until the input ends."""
    is_playing = False
    while True:
        ready, _, _ = select.select([sys.stdin], [], [], 0 if is_playing else None)
        if ready:
            line = sys.stdin.readline()
            if not line:
                return
            is_playing = bool(line.strip())
            if is_playing:
                os.chdir(line.strip())
            sys.stdout.write("ok\n")
            sys.stdout.flush()
        for play in PLAYS if is_playing else ():
            with contextlib.suppress(OSError):
                play()


class Pest:
    """The process, led by a test."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def play_in(self, workspace: Path) -> None:
        """Let it play there from now on."""
        self._say(str(workspace))

    def rest(self) -> None:
        """Let it rest; when this returns, it touches nothing any more."""
        self._say("")

    def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == "ok\n"


@contextlib.contextmanager
def pest() -> Iterator[Pest]:
    """Start the process, and end it for sure."""
    with subprocess.Popen(
        [sys.executable, "-I", "-S", __file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield Pest(process)
        finally:
            process.kill()


if __name__ == "__main__":
    main()
