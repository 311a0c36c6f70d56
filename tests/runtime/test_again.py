"""A database that goes away amid work ends no order: the work begins again, and asks nothing twice."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from swarm.core.errors import Unavailable
from swarm.core.order import OrderStatus
from swarm.memory.sql import SqlMemory
from swarm.runtime import again
from tests.acceptance.at_work import at_work, provider_of

CALLS = 7


async def test_work_that_the_database_left_is_begun_again_and_no_model_is_asked_twice(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(again, "FIRST_PAUSE_S", 0.01)
    recall: Callable[..., Any] = SqlMemory.recall
    left = ["amid the frame", "once more", None, "amid the task"]

    def away(memory: SqlMemory, *arguments: Any, **more: Any) -> Any:
        if left and (where := left.pop(0)) is not None:
            raise Unavailable(f"The database went away {where}.")
        return recall(memory, *arguments, **more)

    monkeypatch.setattr(SqlMemory, "recall", away)
    async with at_work(home, provider_of()) as company:
        done = await company.work()
        assert done.status is OrderStatus.DELIVERED, done.reason
        assert left == []
        assert len(company.provider.bodies) == CALLS
        assert {row["state"] for row in company.ledger(done.id)} == {"used"}
