"""Perform a scenario in processes that die, each at a model call that none died at before."""

import asyncio
import json
import os
from pathlib import Path

import sqlalchemy as sa

from swarm.core.errors import InvalidInput
from swarm.evals.evidence import Evidence, gather
from swarm.evals.performing import STUCK_S, Performance
from swarm.evals.processes import DIED, exit_code_of
from swarm.evals.replaying import no_sockets
from swarm.evals.scenario import Scenario, load
from swarm.ledger.book import USED
from swarm.store.tables import ledger

MAX_CRASHES = 60
_NOTES = "crashed-at.json"
_OUTCOME = "performed.json"


async def survive(path: Path, scenario: Scenario, home: Path) -> Evidence:
    """Let processes work the scenario until one lives to its end.

    Raises:
        InvalidInput: It does not come to an end.
    """
    await asyncio.to_thread(home.mkdir, parents=True, exist_ok=True)
    crashes = 0
    while crashes <= MAX_CRASHES:
        code = await asyncio.to_thread(
            exit_code_of, work_until_death, str(path), str(home), crashes, timeout_s=STUCK_S
        )
        if code == 0:
            return _evidence(scenario, home, crashes)
        if code != DIED:
            raise InvalidInput(f"{path}: a process that should go on ended with {code}.")
        crashes += 1
    raise InvalidInput(f"{path}: crashed {MAX_CRASHES} times without an end.")


def work_until_death(path: str, home: str, run: int) -> None:
    """Work a home until the process dies at a call, or the scenario is over."""
    folder = Path(home)

    async def die() -> None:
        """Die as a machine does: with nothing closed, after the intent is on the books."""
        query = sa.select(sa.func.count()).select_from(ledger).where(ledger.c.state == USED)
        answered = performance.app.store.read(lambda c: c.execute(query).scalar_one())
        seen = _seen(folder)
        if answered not in seen:
            (folder / _NOTES).write_text(json.dumps([*seen, answered]), encoding="ascii")
            os._exit(DIED)

    async def play() -> None:
        done = await performance.play()
        (folder / _OUTCOME).write_text(json.dumps(done.problems), encoding="utf-8")

    performance = Performance(load(Path(path)), folder, run=run, before=die)
    with no_sockets():
        asyncio.run(play())
    performance.close()


def _seen(home: Path) -> list[int]:
    try:
        found: list[int] = json.loads((home / _NOTES).read_text(encoding="ascii"))
    except FileNotFoundError:
        return []
    return found


def _evidence(scenario: Scenario, home: Path, crashes: int) -> Evidence:
    performance = Performance(scenario, home, run=crashes + 1)
    try:
        app, ids = performance.app, performance.performed.order_ids
        orders = tuple(gather(app.store, app.documents.order(i), home) for i in ids)
    finally:
        performance.close()
    problems = json.loads((home / _OUTCOME).read_text(encoding="utf-8"))
    return Evidence(orders, tuple(problems), ("authored",) * len(orders), {"crashes": crashes})
