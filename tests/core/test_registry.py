"""An installed package adds an implementation by an entry point, and never replaces one of ours."""

import sys
from pathlib import Path

import pytest

from swarm.core.errors import ConfigError
from swarm.core.registry import Registry

OWN = {"path": "pathlib:Path", "gone": "no_such_package_at_all:Thing"}


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install a package that announces two tools."""
    (tmp_path / "third_party_tools.py").write_text("class Weigh: ...\n")
    facts = tmp_path / "third_party_tools-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: third-party-tools\nVersion: 1.0\n"
    )
    (facts / "entry_points.txt").write_text(
        "[test.tool]\nweigh = third_party_tools:Weigh\npath = third_party_tools:Weigh\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "third_party_tools", raising=False)


@pytest.mark.usefixtures("installed")
def test_a_package_adds_a_tool() -> None:
    registry = Registry("tool", OWN, group="test.tool")
    assert registry.names() == ["gone", "path", "weigh"]
    assert registry.load("weigh").__name__ == "Weigh"


@pytest.mark.usefixtures("installed")
def test_a_package_cannot_take_the_place_of_ours() -> None:
    assert Registry("tool", OWN, group="test.tool").load("path") is Path


@pytest.mark.usefixtures("installed")
def test_without_a_group_nothing_is_added() -> None:
    assert Registry("tool", OWN).names() == ["gone", "path"]


def test_an_unknown_name_and_a_missing_package_are_said() -> None:
    registry = Registry("tool", OWN)
    with pytest.raises(ConfigError, match="did you mean 'path'"):
        registry.load("pathh")
    with pytest.raises(ConfigError, match="no_such_package_at_all"):
        registry.load("gone")
