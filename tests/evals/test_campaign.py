"""Every recording that ships, changed in one place: each change is refused or reported."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from swarm.core.errors import InvalidInput
from swarm.evals.cassette import Cassette, read, write
from swarm.evals.performing import prepare_home
from swarm.evals.replaying import Replay, no_sockets, replay
from swarm.evals.scenario import load

PACKS = Path(__file__).parents[1] / "scenarios"
SHIPPED = sorted(PACKS.rglob("*.jsonl"))
Entries = list[dict[str, Any]]


def answered(entries: Entries) -> Entries:
    return [entry for entry in entries if entry["lane"] == "model" and "answer" in entry]


def one_word(entries: Entries) -> None:
    message = answered(entries)[-1]["request"]["messages"][-1]
    message["content"] = f"{message['content']} please"


def one_tool(entries: Entries) -> None:
    call = next(call for call in answered(entries) if call["request"].get("tools"))
    call["request"]["tools"][0]["description"] += " Now."


def one_model(entries: Entries) -> None:
    answered(entries)[0]["request"]["model"] += "-mini"


def one_count(entries: Entries) -> None:
    call = next(call for call in answered(entries) if call.get("usage"))
    call["usage"]["output_tokens"] += 1


def two_calls(entries: Entries) -> None:
    one, other = answered(entries)[:2]
    kept = ("lane_of", "started_at", "ended_at")
    first, second = ({name: call[name] for name in kept} for call in (one, other))
    one.update(second)
    other.update(first)
    here, there = entries.index(one), entries.index(other)
    entries[here], entries[there] = other, one


def one_passage(entries: Entries) -> None:
    passage = next(entry for entry in entries if entry["lane"] == "passage")
    passage["text"] += " Or not."


CHANGES: tuple[Callable[[Entries], None], ...] = (
    one_word, one_tool, one_model, one_count, two_calls, one_passage,
)  # fmt: skip


def changed(cassette: Cassette, change: Callable[[Entries], None]) -> Cassette | None:
    """Return a recording with a change, or None where it has nothing of the kind."""
    entries = copy.deepcopy(list(cassette.entries))
    try:
        change(entries)
    except (StopIteration, IndexError, ValueError):
        return None
    return Cassette(cassette.manifest, tuple(entries))


async def passes(cassette: Cassette, shipped: Path, folder: Path) -> Replay | None:
    """Play a recording; None where its reader refuses it."""
    path = folder / "changed.jsonl"
    write(cassette, path)
    try:
        found = read(path)
    except InvalidInput:
        return None
    home = folder / "home"
    if (scenario := shipped.with_suffix(".yaml")).is_file():
        # What lies in the workspace before the order begins stands in the scenario.
        prepare_home(load(scenario), home, [cassette.manifest.order["id"]])
    with no_sockets():
        return await replay(found, home)


async def missed(
    shipped: Path, changes: tuple[Callable[[Entries], None], ...], folder: Path
) -> list[str]:
    """Return the changes that are neither refused nor reported."""
    silent = []
    cassette = read(shipped)
    for number, change in enumerate(changes):
        other = changed(cassette, change)
        if other is None:
            continue
        (folder / str(number)).mkdir()
        found = await passes(other, shipped, folder / str(number))
        if found is not None and (found.is_same or not (found.misses or found.leftover)):
            silent.append(f"{shipped.stem}: {change.__name__}")
    return silent


@pytest.mark.parametrize("number", range(len(CHANGES)))
async def test_a_change_of_a_shipped_recording_is_refused_or_reported(
    number: int, tmp_path: Path
) -> None:
    fitting = [p for p in SHIPPED if changed(read(p), CHANGES[number]) is not None]
    shipped = fitting[number * len(fitting) // len(CHANGES)]
    assert await missed(shipped, (CHANGES[number],), tmp_path) == []


@pytest.mark.chaos
@pytest.mark.parametrize("shipped", SHIPPED, ids=lambda path: path.stem)
async def test_every_change_of_every_shipped_recording_is_refused_or_reported(
    shipped: Path, tmp_path: Path
) -> None:
    assert await missed(shipped, CHANGES, tmp_path) == []
