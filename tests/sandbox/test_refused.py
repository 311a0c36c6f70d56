"""What the operator is told where no sandbox can be made; true on every machine."""

from pathlib import Path

import pytest

from swarm.core.errors import ConfigError
from swarm.sandbox.bubblewrap import BubblewrapSandbox


async def test_a_machine_without_bubblewrap_is_told_what_to_install(tmp_path: Path) -> None:
    sandbox = BubblewrapSandbox(tmp_path / "bwrap")
    result = await sandbox.self_test()
    assert not result.holds
    assert "apt-get install bubblewrap" in result.detail
    with pytest.raises(ConfigError, match="apt-get install bubblewrap"):
        await sandbox.run(["true"], workspace=tmp_path)


async def test_a_machine_that_forbids_namespaces_is_told_so(tmp_path: Path) -> None:
    bwrap = tmp_path / "bwrap"
    bwrap.write_text(
        "#!/bin/sh\necho 'bwrap: No permissions to create a new namespace' >&2\nexit 1"
    )
    bwrap.chmod(0o755)
    result = await BubblewrapSandbox(bwrap).self_test()
    assert not result.holds
    assert "No permissions" in result.detail
    assert "user namespaces" in result.detail
