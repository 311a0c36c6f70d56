"""Recordings that several tests play, each made once."""

import itertools
from collections.abc import Awaitable, Callable
from pathlib import Path

from swarm.evals.cassette import Cassette
from swarm.evals.replaying import Replay, no_sockets, replay
from tests.evals import orders

Recording = Callable[[Path], Awaitable[Cassette]]
ALL: tuple[Recording, ...] = (
    orders.with_a_question,
    orders.side_by_side,
    orders.with_commands,
    orders.with_faults,
    orders.with_a_failure,
    orders.with_a_signature,
    orders.with_a_choice,
    orders.with_a_colleague,
    orders.over_its_budget,
    orders.resumed,
    orders.with_many_buckets,
    orders.of_a_customer,
    orders.with_a_foreign_tool,
)
_made: dict[str, Cassette] = {}
_numbers = itertools.count()


async def recorded(recording: Recording, folder: Path) -> Cassette:
    """Return a recording; `folder` becomes its company's home where it is made first."""
    if recording.__name__ not in _made:
        _made[recording.__name__] = await recording(folder / "company")
    return _made[recording.__name__]


async def played(cassette: Cassette, folder: Path, **how: object) -> Replay:
    """Play in a fresh folder, with nobody in reach."""
    with no_sockets():
        return await replay(cassette, folder / f"replay-{next(_numbers)}", **how)  # type: ignore[arg-type]
