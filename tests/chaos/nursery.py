"""A process that imports everything once and then forks a child for each job.

A worker that is to be killed fifty times would otherwise spend nearly all its time on imports.
The nursery holds no thread, loop, connection or home, so a child starts as fresh as a program.

    python -m tests.chaos.nursery

One JSON document per line. It reads jobs: `{"id": 1, "job": "work", "environment": {}, "arguments":
{}, "stderr": "path"}`. It tells events: `started` with the `pid`, what the job says, and `ended`
with the `code`, negative for a signal. When its standard input ends, it kills its children.
"""

import asyncio
import contextlib
import gc
import importlib
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Self

from swarm.app import PARTS
from swarm.cli import exits
from swarm.core.chat import ModelRequest
from swarm.core.errors import Transient
from swarm.llm.base import LLMConfig
from swarm.llm.litellm import LiteLLM
from swarm.org.graph import OrderWalk, TaskWalk
from tests.chaos import jobs

ROOT = Path(__file__).parents[2]


class Child:
    """A process that the nursery forked, as the test sees it."""

    def __init__(self, send_signal: Any) -> None:
        self.pid = 0
        self._events: dict[str, Future[Any]] = {}
        self._send = send_signal
        self._lock = threading.Lock()

    def event(self, name: str) -> "Future[Any]":
        """Return what the child will have said under this name; `ended` gives the exit code."""
        with self._lock:
            return self._events.setdefault(name, Future())

    @property
    def is_alive(self) -> bool:
        """True until its end was told."""
        return not self.event("ended").done()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, unless it already ended."""
        self._send(self, number)


class Nursery:
    """The nursery, as the test sees it. Safe from any thread."""

    def __init__(self) -> None:
        self._children: dict[int, Child] = {}
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.nursery"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            text=True,
        )
        self._listener = threading.Thread(target=self._listen, name="nursery", daemon=True)
        self._listener.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(30)
        self._listener.join(30)
        self._process.stdout.close()

    def start(
        self, job: str, environment: Mapping[str, str], *, stderr: Path, **arguments: Any
    ) -> Child:
        """Fork a child for a job; its `started` comes once it has a process id."""
        child = Child(self._signal)
        assert self._process.stdin is not None
        with self._lock:
            number = len(self._children) + 1
            self._children[number] = child
            line = {"id": number, "job": job, "environment": dict(environment)}
            line |= {"arguments": arguments, "stderr": str(stderr)}
            self._process.stdin.write(json.dumps(line) + "\n")
            self._process.stdin.flush()
        return child

    def _signal(self, child: Child, number: signal.Signals) -> None:
        pid = child.event("started").result(30)
        if child.is_alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            told = json.loads(line)
            child = self._children[told["id"]]
            if told["event"] == "started":
                child.pid = told["value"]
            child.event(told["event"]).set_result(told["value"])


class _Forker:
    """The nursery, as its own process sees it."""

    def __init__(self) -> None:
        self._running: dict[int, int] = {}
        self._waking, self._woken = socket.socketpair()
        for end in (self._waking, self._woken):
            end.setblocking(False)

    def serve(self) -> None:
        """Fork and reap until standard input ends."""
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._waking.fileno())
        with selectors.DefaultSelector() as selector:
            selector.register(sys.stdin.fileno(), selectors.EVENT_READ)
            selector.register(self._woken, selectors.EVENT_READ)
            rest = b""
            while True:
                ready = {key.fileobj for key, _ in selector.select()}
                if self._woken in ready:
                    self._reap()
                if sys.stdin.fileno() in ready:
                    block = os.read(sys.stdin.fileno(), 65536)
                    if not block:
                        break
                    *lines, rest = (rest + block).split(b"\n")
                    for line in lines:
                        self._fork(json.loads(line))
        self._kill_all()

    def _reap(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._woken.recv(4096)
        for pid, number in list(self._running.items()):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                del self._running[pid]
                _tell(sys.stdout.fileno(), number, "ended", os.waitstatus_to_exitcode(status))

    def _fork(self, line: dict[str, Any]) -> None:
        pid = os.fork()
        if pid:
            self._running[pid] = line["id"]
            _tell(sys.stdout.fileno(), line["id"], "started", pid)
            return
        code = exits.BUG
        try:
            code = _be_child(line)
        except BaseException:  # noqa: BLE001  # a child must never return into the nursery
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)

    def _kill_all(self) -> None:
        for pid in self._running:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def _be_child(line: dict[str, Any]) -> int:
    """Become a process with its own streams and signals, and do the job."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    # Blocked from the start, so that the word `go` is never too early.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    events = os.dup(sys.stdout.fileno())
    log = os.open(line["stderr"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    return jobs.run(
        line["job"],
        line["environment"],
        lambda event, value=None: _tell(events, line["id"], event, value),
        line["arguments"],
    )


def _tell(descriptor: int, number: int, event: str, value: Any) -> None:
    # One write of less than a pipe's atomic size: lines of many processes never mix.
    line = json.dumps({"id": number, "event": event, "value": value}) + "\n"
    os.write(descriptor, line.encode())


VENDORS = ("telegram.vendor", "telegram.sending", "slack.vendor", "whatsapp.vendor")
"""What brings in the libraries of platforms."""


def main() -> None:
    """Import what a worker uses, then serve."""
    asyncio.run(_load_models())
    for vendor in VENDORS:
        importlib.import_module(f"swarm.channels.{vendor}")
    for part in PARTS.names():
        PARTS.load(part)
    OrderWalk()
    TaskWalk()
    gc.collect()
    gc.freeze()
    _Forker().serve()


async def _load_models() -> None:
    """Load all of the model library, which takes longer than everything else together.

    Parts of it are loaded by the first call, so one is made, to a port where nobody listens.
    """
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        model = LiteLLM(LLMConfig(api_base=f"http://127.0.0.1:{taken.getsockname()[1]}/v1"))
        request = ModelRequest(
            "openai/none", ({"role": "user", "content": "-"},), max_output_tokens=16
        )
        with contextlib.suppress(Transient):
            await model.complete(request, timeout_s=30, idle_timeout_s=30)
        await model.close()


if __name__ == "__main__":
    main()
