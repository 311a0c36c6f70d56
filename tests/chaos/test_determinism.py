"""Killed after any step, with answers that come in any order: the same order comes out."""

import random
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.audit import check_all
from tests.chaos.script import CALLS, KeyedCompany, jitter
from tests.chaos.site import Ground, within
from tests.servers.provider import ScriptedProvider

CHANCE = {"id", "workspace", "created_at", "delivered_at", "frozen_at"}
"""Random names and times."""
KILLS = {
    "unanswered_intents",
    "calls",
    "status",
    "failed_calls",
    "failed_share",
    "is_at_least",
    "is_at_most",
    "missing",
    "left_out",
}
"""What the receipt says of calls that died with the worker: their number, and that the sum is only
a lower bound."""
SECONDS = {"wall_s", "working_s", "critical_path_s", "founder_s", "last_at", "as_of"}


async def test_a_kill_after_any_of_some_steps_changes_nothing(
    ground: Ground, tmp_path: Path
) -> None:
    await every_kill(ground, tmp_path, steps=[2, 4, 10, CALLS])


@pytest.mark.chaos
@pytest.mark.timeout(600)
async def test_a_kill_after_any_step_changes_nothing(ground: Ground, tmp_path: Path) -> None:
    for repeat in range(3):
        await every_kill(ground, tmp_path / f"{repeat}", steps=list(range(1, CALLS + 1)))


async def every_kill(ground: Ground, folder: Path, *, steps: list[int]) -> None:
    undisturbed = await outcome(ground, folder / "whole", kill_at=None)
    for step in steps:
        killed = await outcome(ground, folder / f"k{step}", kill_at=step)
        assert killed == undisturbed, f"killed at request {step}"


async def outcome(ground: Ground, folder: Path, *, kill_at: int | None) -> dict[str, Any]:
    """Work one order, killed once when its request of that number arrives; return what it came to."""
    script = KeyedCompany(jitter(random.Random(kill_at), 0, 0.05))
    async with (
        ScriptedProvider(script) as provider,
        ground(folder, api_base=provider.url) as site,
    ):
        order_id = await site.place(0)
        worker = site.worker()
        if kill_at is not None:
            await within(script.arrival(kill_at))
            assert await site.end(worker, signal.SIGKILL) == -signal.SIGKILL
            worker = site.worker()
        await site.halted(worker)
        assert await site.end(worker) == 0
        check_all(site, script)
        document = site.app.documents.order(order_id)
        receipt = document.receipt
        assert receipt.calls == CALLS + receipt.unanswered_intents
        whole = document.model_dump(mode="json")
        parts = {name: without(part, CHANCE) for name, part in whole.items()}
        parts["receipt"] = without(whole["receipt"], KILLS | SECONDS)
        return {name: part for name, part in parts.items() if name not in CHANCE}


def without(document: Any, names: set[str]) -> Any:
    """Leave out these names at every depth."""
    if isinstance(document, dict):
        return {name: without(part, names) for name, part in document.items() if name not in names}
    return [without(item, names) for item in document] if isinstance(document, list) else document
