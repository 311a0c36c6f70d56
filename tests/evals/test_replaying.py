"""A finished order is recorded, and comes out the same when it is played again."""

import copy
import itertools
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from swarm.evals.cassette import Cassette, read, write
from swarm.evals.replaying import Replay, SocketRefused, no_sockets, replay
from tests.evals import orders

Recording = Callable[[Path], Awaitable[Cassette]]
ALL: tuple[Recording, ...] = (
    orders.with_a_question,
    orders.side_by_side,
    orders.with_commands,
    orders.with_faults,
    orders.with_a_failure,
)
_numbers = itertools.count()


async def played(cassette: Cassette, folder: Path) -> Replay:
    with no_sockets():
        return await replay(cassette, folder / f"replay-{next(_numbers)}")


@pytest.mark.parametrize("recording", ALL, ids=lambda r: r.__name__)
async def test_an_order_comes_out_the_same_twice(recording: Recording, tmp_path: Path) -> None:
    cassette = await recording(tmp_path / "home")
    write(cassette, tmp_path / "order.jsonl.zst")
    again = read(tmp_path / "order.jsonl.zst")
    assert again == cassette
    one, other = await played(again, tmp_path), await played(again, tmp_path)
    assert one.misses == []
    assert one.leftover == []
    assert (one.status, one.ledger_sha256) == (one.recorded_status, one.recorded_ledger_sha256)
    assert one.is_same
    assert one.as_document() == other.as_document()
    elsewhere = {"workspace": other.document.workspace}
    assert one.document.model_copy(update=elsewhere) == other.document
    assert one.calls == len(cassette.lane("model"))


async def test_files_that_commands_made_come_back_as_they_were(tmp_path: Path) -> None:
    cassette = await orders.with_commands(tmp_path / "home")
    (made,) = [e for e in cassette.lane("file") if e["path"] == "made.txt"]
    again = await played(cassette, tmp_path)
    assert again.files == {"made.txt": made["sha256"]}
    changed = [e["path"] for e in cassette.lane("change")]
    assert changed == ["made.txt", "bytes", "made.txt"]


async def test_nobody_can_be_reached_during_a_replay() -> None:
    import socket

    with no_sockets(), socket.socket() as one, pytest.raises(SocketRefused):
        one.connect(("127.0.0.1", 9))


def changed(cassette: Cassette, change: Callable[[list[dict[str, Any]]], None]) -> Cassette:
    entries = copy.deepcopy(list(cassette.entries))
    change(entries)
    return Cassette(cassette.manifest, tuple(entries))


def calls_of(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [entry for entry in entries if entry["lane"] == "model" and "answer" in entry]


def mutations(cassette: Cassette) -> Iterator[tuple[str, Cassette]]:
    """Give the cassette with one thing changed: each usage, each answer's model, an order of two."""
    for number, call in enumerate(calls_of(list(cassette.entries))):
        names = [n for n, value in call["usage"].items() if isinstance(value, int) and value]

        def more(entries: list[dict[str, Any]], number: int = number, name: str = names[0]) -> None:
            calls_of(entries)[number]["usage"][name] += 1

        def other_model(entries: list[dict[str, Any]], number: int = number) -> None:
            calls_of(entries)[number]["model"] = "gpt-4o"

        yield f"usage {number}", changed(cassette, more)
        yield f"model {number}", changed(cassette, other_model)

    def swapped(entries: list[dict[str, Any]]) -> None:
        one, other = calls_of(entries)[:2]
        one["lane_of"], other["lane_of"] = other["lane_of"], one["lane_of"]

    yield "order of two", changed(cassette, swapped)

    def dropped(entries: list[dict[str, Any]]) -> None:
        entries.remove(calls_of(entries)[-1])

    yield "a call less", changed(cassette, dropped)

    def twice(entries: list[dict[str, Any]]) -> None:
        entries.append(copy.deepcopy(calls_of(entries)[-1]))

    yield "a call more", changed(cassette, twice)


async def test_every_change_of_a_recording_is_refused_or_reported(tmp_path: Path) -> None:
    cassette = await orders.with_a_question(tmp_path / "home")
    found = list(mutations(cassette))
    silent = [name for name, other in found if (await played(other, tmp_path)).is_same]
    assert len(found) > 10
    assert silent == []


async def test_a_changed_prompt_is_shown_where_it_differs(tmp_path: Path) -> None:
    cassette = await orders.with_a_question(tmp_path / "home")
    folder = tmp_path / "drifted"
    (folder / "roles").mkdir(parents=True)
    from swarm.org.loader import builtin_roles

    text = (builtin_roles() / "cto.md").read_text(encoding="utf-8")
    assert "engineer" in text
    (folder / "roles" / "cto.md").write_text(text.replace("engineer", "plumber", 1))
    with no_sockets():
        again = await replay(cassette, folder)
    assert not again.is_same
    miss = again.misses[0]
    assert miss.path == "messages[0].content"
    assert miss.nearest == miss.lane
    assert "engineer" in miss.expected
    assert "plumber" in miss.got
    assert again.leftover != []
