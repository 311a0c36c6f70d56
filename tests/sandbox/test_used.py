"""What commands use of the machine is measured, in every sandbox that holds here."""

from pathlib import Path

import pytest

from swarm.core.errors import ConfigError
from swarm.sandbox.base import Limits, Sandbox
from swarm.sandbox.bubblewrap import BubblewrapSandbox
from swarm.sandbox.landlock import LandlockSandbox

BURN = """
import sys, time
while time.process_time() < 0.4: pass
"""
HOLD = """
import time
block = bytearray(64 * 1024 * 1024)
time.sleep(0.5)
"""


@pytest.fixture(params=[BubblewrapSandbox, LandlockSandbox], ids=["bubblewrap", "landlock"])
async def sandbox(request: pytest.FixtureRequest, tmp_path: Path) -> Sandbox:
    made: Sandbox = request.param()
    try:
        await made.run(["true"], workspace=tmp_path)
    except ConfigError as error:
        pytest.skip(f"no {made.name} here: {error}")
    return made


async def test_processor_time_is_counted_with_that_of_children(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    script = f"python3 -S -c '{BURN}' & python3 -S -c '{BURN}' & wait"
    result = await sandbox.run(["sh", "-c", script], workspace=tmp_path)
    assert result.used is not None
    # Two of 0.4 s, their starts, and the sandbox's own; a look every 50 ms may miss the end of two.
    assert 0.65 <= result.used.cpu_s <= 2.0
    assert result.used.elapsed_s >= 0.4


async def test_memory_is_counted_over_the_time_it_is_held(sandbox: Sandbox, tmp_path: Path) -> None:
    result = await sandbox.run(["python3", "-S", "-c", HOLD], workspace=tmp_path)
    assert result.used is not None
    assert 60 <= result.used.peak_mib <= 120
    assert 20 <= result.used.memory_mib_s <= 120 * result.used.elapsed_s


async def test_a_command_that_is_ended_has_used_something_too(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    result = await sandbox.run(
        ["sh", "-c", "while :; do :; done"], workspace=tmp_path, limits=Limits(timeout_s=0.6)
    )
    assert result.is_timed_out
    assert result.used is not None
    # On a busy machine it gets a part of a processor alone.
    assert result.used.cpu_s > 0.05
