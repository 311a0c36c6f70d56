"""Start one command without rights, and see to it that nothing of it is left afterwards.

This is a program of its own: `landlock.py` starts it with a bare interpreter. Being a process of
its own, single-threaded, it may fork; being the command's ancestor whom orphans come back to, it
finds all that the command started. It ends everything when the command ends, when it is told to,
and when whoever started it is gone: then the control pipe closes.

Every command waits for this module to be imported, so it does without what takes long: `pathlib`,
`dataclasses`, `typing`.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import select
import signal
import socket
import sys
from contextlib import suppress

from swarm.sandbox.confine import SUPERVISED, Grant, confine, numbers
from swarm.sandbox.supervise import Supervisor, every_below

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36


def main() -> None:
    """Run the plan that is the first argument: see `landlock.py` for its fields."""
    plan = json.loads(sys.argv[1])
    for number in (plan["status"], plan["control"]):
        os.set_inheritable(number, False)
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    Launcher(plan).run()


class Launcher:
    """One command, from its start to the end of all that it left."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self._plan = plan
        self._woken, self._waking = os.pipe()
        os.set_blocking(self._waking, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._waking, warn_on_full_buffer=False)
        self._child = 0
        self._exit_code: int | None = None

    def run(self) -> None:
        """Start, wait, end, and tell how it went."""
        ours, theirs = socket.socketpair()
        self._child = os.fork()
        if self._child == 0:
            _become(self._plan, theirs)
        theirs.close()
        self._tell({"child-pid": self._child})
        supervisor, words = self._meet(ours)
        if supervisor is not None:
            self._wait(supervisor)
        is_own_end = self._exit_code is not None
        self._end()
        if not is_own_end:
            self._clear()
        ended: dict[str, Any] = {}
        if self._exit_code is not None:
            ended = {**words} or {"exit-code": self._exit_code}
        self._tell({**ended, "cpu-us": _used_us()})

    def _meet(self, ours: socket.socket) -> tuple[Supervisor | None, dict[str, str]]:
        """Take over the listener; return it, or what kept the command from beginning."""
        first, descriptors, _, _ = socket.recv_fds(ours, 64 * 1024, 1)
        rest = b"" if not descriptors else ours.recv(64 * 1024)
        ours.close()
        failure = rest if descriptors else first
        if failure or not descriptors:
            return None, json.loads(failure or b'{"unconfined": "the launcher was ended"}')
        numbers = {int(number): name for number, name in json.loads(first).items()}
        roots, most = self._plan["roots"], self._plan["processes"]
        return Supervisor(descriptors[0], numbers, folders=roots, processes=most), {}

    def _wait(self, supervisor: Supervisor) -> None:
        """Serve supervised calls until the command ends or somebody wants its end."""
        waiting = select.poll()
        for number in (supervisor.listener, self._woken, self._plan["control"]):
            waiting.register(number, select.POLLIN)
        while self._exit_code is None:
            for number, event in waiting.poll():
                if number == self._plan["control"]:
                    return
                if number == self._woken:
                    os.read(self._woken, 4096)
                    self._reap(os.WNOHANG)
                elif event & select.POLLIN:
                    supervisor.answer()
                else:
                    # Nobody is left who could ask.
                    waiting.unregister(number)

    def _reap(self, options: int) -> bool:
        """Take note of one process that ended, and of all others; return whether any is left."""
        while True:
            try:
                process, status = os.waitpid(-1, options)
            except ChildProcessError:
                return False
            if process == 0:
                return True
            if process == self._child:
                code = os.waitstatus_to_exitcode(status)
                self._exit_code = code if code >= 0 else 128 - code
            options = os.WNOHANG

    def _end(self) -> None:
        """End everything that is left. What forks meanwhile is found in the next round."""
        while self._reap(os.WNOHANG):
            for process in every_below(os.getpid()):
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
            self._reap(0)

    def _clear(self) -> None:
        """Remove the private folder: whoever made it may have been killed."""
        import shutil

        shutil.rmtree(self._plan["private"], ignore_errors=True)

    def _tell(self, facts: dict[str, Any]) -> None:
        # Whoever listened may be gone.
        with suppress(BrokenPipeError):
            os.write(self._plan["status"], json.dumps(facts).encode() + b"\n")


def _used_us() -> int:
    """Return the processor time of all that ran here and ended, and of this process."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_CHILDREN, resource.RUSAGE_SELF)]
    return round(sum(facts.ru_utime + facts.ru_stime for facts in used) * 10**6)


def _become(plan: dict[str, Any], parent: socket.socket) -> NoReturn:
    """Turn into the command; whatever fails before is told, and ends this process."""
    try:
        _prepare(plan, parent)
    # The last frame of this process: what it does not catch would run the launcher's code twice.
    except Exception as error:  # noqa: BLE001
        _give_up(parent, {"unconfined": str(error)})
    try:
        os.execvpe(plan["argv"][0], plan["argv"], plan["environment"])  # noqa: S606
    except OSError as error:
        _give_up(parent, {"not-started": error.strerror or str(error)})


def _prepare(plan: dict[str, Any], parent: socket.socket) -> None:
    """Give up all rights, and hand the listener to the launcher."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    os.setsid()
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    # Where memory runs out, the command goes before anybody else does.
    with open("/proc/self/oom_score_adj", "w") as score:  # noqa: PTH123  # see above
        score.write("1000")
    os.chdir(plan["workspace"])
    for name, value in plan["limits"].items():
        resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (value, value))
    known = json.dumps({number: name for name, number in numbers(SUPERVISED).items()})
    listener = confine(Grant(*map(tuple, plan["grant"])))
    socket.send_fds(parent, [known.encode()], [listener])
    os.close(listener)


def _give_up(parent: socket.socket, words: dict[str, str]) -> NoReturn:
    parent.send(json.dumps(words).encode())
    os._exit(126)


def _prctl(option: int, value: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
