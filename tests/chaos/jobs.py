"""What a child of the nursery does: work as a worker, or act on a home as one process of many.

Each job is called in a fresh process with its home's environment and a way to say how far it is.
What it returns is its process's exit code.
"""

import asyncio
import logging
import os
import resource
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

import structlog
from sqlalchemy.engine import Connection

from swarm.app import App
from swarm.channels.fake import FakeChannel
from swarm.cli import exits
from swarm.core.chat import ModelRequest, RawAnswer
from swarm.core.errors import Conflict, SwarmError
from swarm.core.message import InboundMessage, OutboundMessage
from swarm.llm.litellm import LiteLLM
from swarm.runtime import dbos_engine, recoveries, segments, tasks
from swarm.runtime.doorman_watch import Watch
from swarm.runtime.doorman_worker import Command
from swarm.runtime.engine import TASK, Argument, Engine
from swarm.settings import load

CHILDREN = 60
LATER_S = 0.0003
"""Sixty steps of it span a start, which is two commits and as many changes of thread."""
Say: TypeAlias = Callable[..., None]
Environment: TypeAlias = Mapping[str, str]


def run(name: str, environment: Environment, say: Say, arguments: Mapping[str, Any]) -> int:
    """Run a job, with everything that goes wrong written to standard error."""
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING)
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    app = App(load(environment))
    try:
        return JOBS[name](app, say, **arguments)
    except SwarmError as error:
        sys.stderr.write(f"Error: {error}\n")
        return exits.of_error(error)
    finally:
        app.close()


def work(
    app: App,
    say: Say,
    *,
    sent: str,
    version: str | None = None,
    largest_file: int | None = None,
    accept_s: float = 0.0,
    halt: str | None = None,
    is_front: bool = True,
    takes_orders: bool = True,
    deadly: str | None = None,
    spacing_ms: int | None = None,
) -> int:
    """Work as `swarm up` does, on a channel that writes what it sends to the file `sent`.

    Args:
        app: The company.
        say: Tells `ready`.
        sent: Where the channel writes.
        version: Play a release with this version of the work.
        largest_file: Let no file grow above so many bytes, as a full disk would.
        accept_s: How long the platform takes to say that it has a message, in seconds.
        halt: Halt for good `before` or `after` the platform has the first message.
        is_front: Listen and send; False works as `swarm worker` does.
        takes_orders: False listens and sends only, as `swarm up --no-work` does.
        deadly: Die at once where a model is asked about an order with this key, after its plan.
        spacing_ms: Deaths that follow each other faster are one.
    """
    if deadly is not None:
        _die_of(deadly)
    if spacing_ms is not None:
        recoveries.SPACING_MS = spacing_ms
    if not takes_orders:
        app.settings.worker.takes_orders = False
    if version is not None:
        _play_release(version)
    if largest_file is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, resource.RLIM_INFINITY))
    channel = _SlowChannel(Path(sent), say, accept_s=accept_s, halt=halt)

    def ready() -> None:
        # The engine's own log is silent in the product; here its errors are what is looked for.
        logging.getLogger("dbos").setLevel(logging.ERROR)
        say("ready")

    async def until_told() -> None:
        stop = asyncio.Event()

        def end() -> None:
            # What a stop interrupts, the next start takes up: that is no fault.
            logging.getLogger("dbos").setLevel(logging.CRITICAL)
            stop.set()

        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, end)
        channels = {channel.name: channel} if is_front else {}
        await app.worker(channels).run(stop, ready=ready)

    asyncio.run(until_told())
    return exits.DONE


def serve(app: App, say: Say, *, channel: str) -> int:
    """Serve a channel that was set up, as `swarm up` does."""

    async def until_told() -> None:
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        made = app.channel(channel)
        await app.worker({channel: made}).run(stop, ready=lambda: say("ready"))

    asyncio.run(until_told())
    return exits.DONE


def listen(app: App, say: Say, *, channel: str, settings: dict[str, str]) -> int:
    """Listen to a channel and have orders worked in a process of its own, as `swarm up` does."""

    async def until_told() -> None:
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        watch = Watch()
        command = Command(environment=settings | {"PATH": "/usr/bin:/bin"})
        doorman = app.doorman({channel: app.channel(channel)}, command=command, watch=watch)
        async with watch.running():
            await doorman.run(stop, ready=lambda: say("ready"))

    asyncio.run(until_told())
    return exits.DONE


class _SlowChannel(FakeChannel):
    """A platform that takes its time, or never says whether it has the message."""

    def __init__(self, path: Path, say: Say, *, accept_s: float, halt: str | None) -> None:
        super().__init__(path)
        self._say = say
        self._accept_s = accept_s
        self._halt = halt

    async def send(self, message: OutboundMessage) -> str:
        """Send, with the pause in the middle that a crash may hit."""
        if self._halt == "before":
            await self._wait_for_ever()
        sent_id = await super().send(message)
        if self._halt == "after":
            await self._wait_for_ever()
        await asyncio.sleep(self._accept_s)
        return sent_id

    async def _wait_for_ever(self) -> None:
        self._say("halted")
        await asyncio.Event().wait()


def _die_of(key: str) -> None:
    """Have the process killed by what it asks a model, as a broken library would do it."""
    ask = LiteLLM.complete

    async def complete(self: LiteLLM, request: ModelRequest, **times: float) -> RawAnswer:
        if key in str(request.messages) and request.schema_name == "plan":
            os.kill(os.getpid(), signal.SIGKILL)
        return await ask(self, request, **times)

    LiteLLM.complete = complete  # type: ignore[method-assign]  # what a broken library does


def _play_release(version: str) -> None:
    """Be another release: its own version of the work, its workflows in another module."""
    dbos_engine.WORK_VERSION = version
    for function in (segments.run_segment, tasks.run_task):
        function.__module__ = "swarm.runtime.moved"
        function.__qualname__ = f"Moved.{function.__name__}"


def message(text: str, update_id: str) -> InboundMessage:
    """Write what the founder says on the channel of the test."""
    return InboundMessage(
        channel="fake",
        account="fake",
        update_id=update_id,
        chat_id="chat",
        thread_id=None,
        sender_id="1",
        text=text,
        received_at=datetime.now(UTC),
    )


def place(app: App, say: Say, *, text: str, update_id: str, times: int) -> int:
    """Place the same update `times` times at once, from threads, at the word `go`."""
    say("placed", _at_once(times, lambda: app.intake.place(message(text, update_id)), say))
    return exits.DONE


def approve(app: App, say: Say, *, order_id: str, times: int) -> int:
    """Sign the same order `times` times at once, at the word `go`; a refusal is `conflict`."""

    def sign() -> str:
        try:
            return app.office.approve(order_id, by="Ada")
        except Conflict:
            return "conflict"

    say("approved", _at_once(times, sign, say))
    return exits.DONE


def cancel(app: App, say: Say, *, order_id: str) -> int:
    """Cancel an order at the word `go`."""

    def stop() -> str:
        try:
            app.office.cancel(order_id, by="Ada")
        except Conflict:
            return "conflict"
        return order_id

    say("cancelled", _at_once(1, stop, say))
    return exits.DONE


def _at_once(times: int, act: Callable[[], str], say: Say) -> list[str]:
    results: list[str] = []
    barrier = threading.Barrier(times)

    def one() -> None:
        barrier.wait()
        results.append(act())

    # All that is made on first use is made now, so that the acts themselves meet.
    say("set")
    signal.sigwait({signal.SIGUSR1})
    threads = [threading.Thread(target=one) for _ in range(times)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


class HangingEngine:
    """An engine that halts inside the transaction it is handed, before or after its own row."""

    def __init__(self, engine: Engine, say: Say, *, is_after: bool) -> None:
        self._engine = engine
        self._say = say
        self._is_after = is_after

    def enqueue(
        self,
        connection: Connection,
        workflow: str,
        workflow_id: str,
        *arguments: Argument,
        lane: str = "",
        is_urgent: bool = False,
    ) -> None:
        """Halt until killed."""
        if self._is_after:
            self._engine.enqueue(
                connection, workflow, workflow_id, *arguments, lane=lane, is_urgent=is_urgent
            )
        self._say("inside")
        while True:
            signal.pause()


def place_and_hang(app: App, say: Say, *, text: str, update_id: str, is_after: bool) -> int:
    """Place an order and halt in the middle of its transaction."""
    app.__dict__["engine"] = HangingEngine(app.engine, say, is_after=is_after)
    app.intake.place(message(text, update_id))
    return exits.BUG


def leave_children(app: App, say: Say) -> int:
    """Start children and stop waiting for them, each a little later in its start than the last."""

    async def nothing(_: int) -> None:
        return None

    async def leave_all() -> None:
        await app.engine.start({TASK: nothing})
        for number in range(CHILDREN):
            waiting = asyncio.create_task(app.engine.run_child(TASK, f"child:{number}", number))
            await asyncio.sleep(number * LATER_S)
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
        say("left")
        await asyncio.Event().wait()

    asyncio.run(leave_all())
    return exits.BUG


JOBS: dict[str, Callable[..., int]] = {
    "work": work,
    "serve": serve,
    "listen": listen,
    "place": place,
    "approve": approve,
    "cancel": cancel,
    "place_and_hang": place_and_hang,
    "leave_children": leave_children,
}
