"""How fast recorded orders are played: `python -m tests.bench.replay`.

Prints model calls and orders for each second of processor time, that is on one core without
neighbours, and on the clock of the wall. The path is that of production: intake, engine, graph,
policy, ledger; each order has a home of its own.
"""

import asyncio
import tempfile
import time
from pathlib import Path

from swarm.evals.cassette import read, write
from swarm.evals.replaying import no_sockets, replay
from tests.evals import orders

ORDERS = 10
CALLS_BAR, ORDERS_BAR = 300, 25
"""Recorded calls and orders a second on one core that are wanted."""


async def measure(folder: Path) -> str:
    """Play one small and one large order a few times, and say how fast that was."""
    lines = []
    for recording in (orders.with_a_question, orders.side_by_side):
        cassette = await recording(folder / recording.__name__)
        path = folder / f"{recording.__name__}.jsonl"
        write(cassette, path)
        with no_sockets():
            await replay(read(path), folder / f"{recording.__name__}-warm")
            wall, processor = time.perf_counter(), time.process_time()
            for number in range(ORDERS):
                again = await replay(read(path), folder / f"{recording.__name__}-{number}")
                assert again.is_same
        processor, wall = time.process_time() - processor, time.perf_counter() - wall
        calls = len(cassette.lane("model"))
        lines.append(
            f"{recording.__name__}: {calls} calls an order, "
            f"{ORDERS * calls / processor:.0f} calls/s and {ORDERS / processor:.1f} orders/s "
            f"a core; {ORDERS / wall:.1f} orders/s on the wall's clock"
        )
    bars = f"wanted: {CALLS_BAR} calls/s and {ORDERS_BAR} orders/s a core"
    return "\n".join([*lines, bars])


def main() -> None:
    """Measure in a folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="swarm-bench-") as folder:
        print(asyncio.run(measure(Path(folder))))  # noqa: T201  # a bench prints


if __name__ == "__main__":
    main()
