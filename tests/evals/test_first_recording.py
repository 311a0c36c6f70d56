"""The walk of a new user: record an order of the embedded model, play it, change one word."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from swarm.org.loader import builtin_roles

pytest.importorskip("xllamacpp", reason="the extra `local` is not installed")

SWARM = Path(sys.executable).parent / "swarm"
pytestmark = [pytest.mark.embedded, pytest.mark.timeout(900)]


def swarm(home: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run the command as a person would, with no key in the environment."""
    environment = {"SWARM_HOME": str(home), "HOME": str(home), "PATH": "/usr/bin:/bin"}
    return subprocess.run(
        [SWARM, *arguments], env=environment, capture_output=True, text=True, check=False
    )


def test_a_recorded_order_plays_and_one_changed_word_is_found(tmp_path: Path) -> None:
    home = tmp_path / "home"
    done = swarm(home, "order", "Write a haiku about bread.", "--wait", "--yes", "--record")
    assert done.returncode == 0, done.stderr
    (path,) = (home / "cassettes").glob("*.jsonl")
    manifest = json.loads(path.read_text(encoding="utf-8").splitlines()[0])
    assert manifest["provenance"]["kind"] == "embedded"
    same = swarm(home, "replay", str(path))
    assert same.returncode == 0, same.stdout
    assert ": the same;" in same.stdout
    (home / "roles").mkdir(exist_ok=True)
    text = (builtin_roles() / "ceo.md").read_text(encoding="utf-8")
    # A small model is told a role's summary alone.
    word = "Leads."
    assert f"summary: {word}" in text
    (home / "roles" / "ceo.md").write_text(text.replace(word, "Haunts.", 1), encoding="utf-8")
    drifted = json.loads(swarm(home, "replay", str(path), "--json").stdout)
    assert drifted["status"] == "differs"
    miss = drifted["misses"][0]
    assert miss["path"].startswith("messages[0].content")
    assert (word in miss["expected"], "Haunts." in miss["got"]) == (True, True)
    assert swarm(home, "replay", str(path), "--shipped-roles").returncode == 0
