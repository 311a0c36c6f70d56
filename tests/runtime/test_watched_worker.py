"""Whoever listens is not ready while what works its orders dies again and again, and says so."""

import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from swarm.app import App
from swarm.core.message import InboundMessage
from swarm.runtime.doorman_watch import Watch
from swarm.runtime.doorman_worker import Command
from swarm.settings import load
from tests.acceptance.at_work import settings_of

DIES = "import os; os.kill(os.getpid(), 9)"
STAYS = "import socket, sys; line = socket.socket(fileno=int(sys.argv[1])); line.send(b'a'); line.recv(1)"
PROGRAM = (
    f"import sys, pathlib\nexec({STAYS!r} if pathlib.Path(sys.argv[4]).exists() else {DIES!r})"
)


async def test_a_worker_that_keeps_dying_makes_its_doorman_unready_and_it_says_so(
    home: Path, tmp_path: Path
) -> None:
    mended = tmp_path / "mended"
    given = settings_of(home, "http://127.0.0.1:9/v1", monitoring__listen="127.0.0.1:0")
    app = App(load(given))
    message = InboundMessage(
        channel="terminal", account="test", update_id="1", chat_id="c", thread_id=None,
        sender_id="1000", text="Write a page.", received_at=datetime.now(UTC),
    )  # fmt: skip
    app.intake.place(message)
    watch = Watch()
    command = Command(argv=(sys.executable, "-c", PROGRAM), options=(str(mended),))
    doorman = app.doorman({}, command=command, watch=watch)
    until, ready = asyncio.Event(), asyncio.Event()
    job = asyncio.create_task(doorman.run(until, ready=ready.set))
    await asyncio.wait_for(ready.wait(), 20)
    assert app.monitor is not None
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{app.monitor.port}") as client:

        async def told(code: int) -> dict[str, Any]:
            async with asyncio.timeout(40):
                while True:
                    answer = await client.get("/readyz")
                    if answer.status_code == code:
                        document: dict[str, Any] = answer.json()
                        return document
                    await asyncio.sleep(0.05)

        unready = await told(503)
        assert (
            "the process that works orders died 3 times in a row (the last time: SIGKILL)"
            in (unready["faults"][0])
        )
        alive = await client.get("/healthz")
        assert alive.status_code == 200
        assert alive.json()["worker"]["deaths"] >= 3
        metrics = (await client.get("/metrics")).text
        assert "swarm_worker_failing 1.0" in metrics
        assert "swarm_worker_deaths_total 3.0" in metrics
        mended.touch()
        # One that lives is not trusted at once: the last ones began as well.
        assert (await client.get("/readyz")).status_code == 503
    until.set()
    await job
    assert doorman.worker.deaths_in_all >= 3
    app.close()
