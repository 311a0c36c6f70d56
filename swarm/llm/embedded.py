"""The engine of the embedded model: llama.cpp in this process, one call after the other.

The binding offers llama.cpp only as its HTTP server, which listens before it loads. It is told to
listen on a UNIX socket in a folder of its own, and that socket is shut as soon as the model is
there: calls go through the binding's functions and need none.
"""

import atexit
import contextlib
import ctypes
import os
import queue
import shutil
import socket
import stat
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from swarm.core.errors import ConfigError

CONTEXT = 8192
"""Tokens of prompt and answer together."""
MOST_THREADS = 2
_CLOSE_WAIT_S = 60.0
"""Longest wait for a stopped engine. It looks up after each batch of a prompt (1 to 5 s) and after
its first grammar (3 s, 15 s on a crowded machine). An interpreter that is taken down meanwhile
aborts: the engine's callback is then killed inside native code."""
_SOCKET_PATH_MAX = 100
"""A UNIX socket's path is cut at 104 bytes on macOS, at 108 on Linux."""


@dataclass(frozen=True, slots=True)
class Generated:
    """What the engine wrote, with its own counts."""

    text: str
    finish_reason: str
    usage: dict[str, Any]
    """As the engine reports it: `prompt_tokens`, `completion_tokens`."""


class ContextOverflow(Exception):
    """Say that prompt and answer do not fit into the context; nothing was generated."""

    def __init__(self, prompt_tokens: int) -> None:
        super().__init__(f"the prompt has {prompt_tokens} tokens")
        self.prompt_tokens = prompt_tokens


class EngineError(Exception):
    """Say in the engine's words why it gives no answer."""


class Stopped(Exception):
    """Say that nobody wanted the answer any more, or that the engine was closed."""


@dataclass
class Job:
    """One call: waiting, running or done."""

    body: dict[str, Any]
    future: "Future[Generated]" = field(default_factory=Future)
    stop: threading.Event = field(default_factory=threading.Event)
    """Set by whoever no longer wants the answer; looked at before the call, at every batch of
    the prompt and at every token of the answer."""
    seen_at: float | None = None
    """When the engine last gave a sign, by `time.monotonic`; None while the call waits."""


class Engine:
    """Run calls one by one in a daemon thread, which owns the model.

    The first call loads the model, `close` frees it; a closed engine stays closed. The thread is
    a daemon, because a process that ends must not wait for answers nobody reads. An exit hook
    stops the running one first: native code must not run while the interpreter is taken down.
    """

    def __init__(self, load: Callable[[], Any]) -> None:
        """Take what loads the model; its value has llama.cpp's `handle_completions`."""
        self._load = load
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    def submit(self, body: dict[str, Any]) -> Job:
        """Queue one call; `body` is a request to llama.cpp's completions, without `stream`.

        The job's future raises `ContextOverflow`, `EngineError`, `Stopped`, or `ConfigError` from
        the loading of the model.
        """
        job = Job(body)
        with self._lock:
            if self._closing.is_set():
                job.future.set_exception(Stopped())
                return job
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="swarm-llm", daemon=True)
                self._thread.start()
                atexit.register(self.close)
            self._jobs.put(job)
        return job

    def close(self, timeout_s: float = _CLOSE_WAIT_S) -> None:
        """Stop the running call, free the model and end the thread.

        Blocks for the rest of one batch or of the loading, at most `timeout_s` seconds.
        """
        with self._lock:
            self._closing.set()
            thread = self._thread
            self._jobs.put(None)
        atexit.unregister(self.close)
        if thread is not None:
            thread.join(timeout_s)

    def _run(self) -> None:
        server: Any = None
        while (job := self._jobs.get()) is not None:
            if not job.future.set_running_or_notify_cancel():
                continue
            job.seen_at = time.monotonic()
            try:
                if self._closing.is_set() or job.stop.is_set():
                    raise Stopped
                server = server or self._load()
                job.future.set_result(generate(server, job, self._closing))
            except BaseException as error:  # noqa: BLE001 - every failure belongs to the caller
                job.future.set_exception(error)
        del server
        _return_memory()


def generate(server: Any, job: Job, closing: threading.Event) -> Generated:
    """Run one call to its end, or until somebody stops it.

    Raises:
        ContextOverflow: Before anything is generated.
        EngineError: The engine refused the request.
        Stopped: `job.stop` or `closing` was set.
    """
    reader = _Reader(job, closing)
    extra = {
        "stream": True,
        "stream_options": {"include_usage": True},
        # One sign of life per batch, so that a long prompt can be stopped and does not look dead.
        "return_progress": True,
        # What an earlier call left in the cache would change rounding, and with it the answer.
        "cache_prompt": False,
    }
    server.handle_completions({**job.body, **extra}, reader.take)
    return reader.result()


class _Reader:
    """Collect the pieces of one answer; `take` returns True to stop the engine."""

    def __init__(self, job: Job, closing: threading.Event) -> None:
        self._job = job
        self._closing = closing
        self._texts: list[str] = []
        self._finish: str | None = None
        self._usage: dict[str, Any] = {}
        self._failure: Exception | None = None

    def take(self, piece: dict[str, Any]) -> bool:
        self._job.seen_at = time.monotonic()
        if self._job.stop.is_set() or self._closing.is_set():
            self._failure = Stopped()
        elif "error" in piece:
            self._failure = _failure(piece["error"])
        else:
            self._keep(piece)
        return self._failure is not None

    def _keep(self, piece: dict[str, Any]) -> None:
        prompt_tokens = int(piece.get("prompt_progress", {}).get("total", 0))
        if prompt_tokens + int(self._job.body["n_predict"]) > CONTEXT:
            self._failure = ContextOverflow(prompt_tokens)
        for choice in piece.get("choices", ()):
            self._texts.append(choice.get("text") or "")
            self._finish = choice.get("finish_reason") or self._finish
        self._usage = piece.get("usage") or self._usage

    def result(self) -> Generated:
        if self._failure is not None:
            raise self._failure
        if self._finish is None:
            raise EngineError("the answer ended without a reason")
        return Generated("".join(self._texts), self._finish, self._usage)


def _failure(error: dict[str, Any]) -> Exception:
    if error.get("type") == "exceed_context_size_error":
        return ContextOverflow(int(error.get("n_prompt_tokens", 0)))
    return EngineError(str(error.get("message", error)))


def load(path: Path) -> Any:
    """Load the model at `path`; afterwards no socket of the engine takes connections.

    Raises:
        ConfigError: The engine does not take the file.
    """
    import xllamacpp

    folder = Path(tempfile.mkdtemp(prefix="swarm-llm-"))
    if len(os.fsencode(folder)) > _SOCKET_PATH_MAX - len("/s.sock"):
        folder.rmdir()
        folder = Path(tempfile.mkdtemp(prefix="swarm-llm-", dir="/tmp"))
    try:
        address = str(folder / "s.sock")
        server = xllamacpp.Server(_parameters(xllamacpp, path, address))
        _shut_listener(address)
    except RuntimeError as error:
        raise ConfigError(
            f"the embedded model does not load ({error}); delete {path} and try again"
        ) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return server


def _parameters(xllamacpp: Any, path: Path, address: str) -> Any:
    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.hostnames = [address]
    params.n_ctx = CONTEXT
    params.n_parallel = 1
    # Small batches: 100 MB less at the peak, and a sign of life every few seconds.
    params.n_batch, params.n_ubatch = 512, 256
    for cpu in (params.cpuparams, params.cpuparams_batch):
        cpu.n_threads = _threads()
    params.n_threads_http = 1
    params.cache_ram_mib = 0
    params.offline = True
    params.warmup = False
    params.ui = False
    # Below zero the engine writes nothing at all to stderr, which is not ours alone.
    params.verbosity = -1
    return params


def _threads() -> int:
    """Take half of the processors, at most `MOST_THREADS`.

    The threads wait for each other at every layer. On two busy cores two of them wrote 1.2 tokens
    a second, where one wrote 14 to 20.
    """
    return max(1, min(MOST_THREADS, (os.cpu_count() or 1) // 2))


def _shut_listener(address: str) -> None:
    """Shut the engine's listening socket; its own accept loop then ends."""
    for name in os.listdir("/dev/fd"):  # noqa: PTH208 - numbers, not paths
        with contextlib.suppress(OSError):
            if not stat.S_ISSOCK(os.fstat(int(name)).st_mode):
                continue
            with socket.socket(fileno=os.dup(int(name))) as peer:
                if peer.getsockname() == address:
                    peer.shutdown(socket.SHUT_RDWR)


def _return_memory() -> None:
    """Give freed memory back to the system, which glibc otherwise keeps: 140 of 260 MB."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)
