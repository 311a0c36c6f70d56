"""A finished order is recorded, and comes out the same when it is played again."""

import copy
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from swarm.evals.cassette import Cassette, read, write
from swarm.evals.replaying import SocketRefused, no_sockets, replay
from swarm.org.loader import builtin_roles
from swarm.tools.mcp import McpServers
from tests.evals import orders
from tests.evals.shelf import ALL, Recording, played, recorded

Entries = list[dict[str, Any]]


@pytest.mark.parametrize("recording", ALL, ids=lambda r: r.__name__)
async def test_an_order_comes_out_the_same(recording: Recording, tmp_path: Path) -> None:
    cassette = await recorded(recording, tmp_path)
    write(cassette, tmp_path / "order.jsonl.zst")
    again = read(tmp_path / "order.jsonl.zst")
    assert again == cassette
    one = await played(again, tmp_path)
    assert one.misses == []
    assert one.leftover == []
    assert one.is_same
    assert one.calls == len(cassette.lane("model"))
    assert one.messages == [
        {name: entry[name] for name in ("key", "kind", "text")}
        for entry in cassette.lane("message")
    ]


async def test_two_replays_are_equal_to_the_byte(tmp_path: Path) -> None:
    cassette = await recorded(orders.side_by_side, tmp_path)
    one, other = [await played(cassette, tmp_path) for _ in range(2)]
    assert json.dumps(one.as_document()) == json.dumps(other.as_document())
    elsewhere = {"workspace": other.document.workspace}
    assert one.document.model_copy(update=elsewhere) == other.document


@pytest.mark.parametrize("name", ["a refusal", "no tokens left", "a cut answer", "a bad key"])
async def test_what_went_wrong_goes_wrong_again(name: str, tmp_path: Path) -> None:
    cassette = await orders.gone_wrong(tmp_path / "home", orders.CONTROLS[name])
    assert (await played(cassette, tmp_path)).is_same


@pytest.mark.chaos
@pytest.mark.parametrize("name", list(orders.CONTROLS))
async def test_every_fault_of_a_provider_goes_wrong_again(name: str, tmp_path: Path) -> None:
    cassette = await orders.gone_wrong(tmp_path / "home", orders.CONTROLS[name])
    assert (await played(cassette, tmp_path)).is_same


async def test_files_that_commands_made_come_back_as_they_were(tmp_path: Path) -> None:
    cassette = await recorded(orders.with_commands, tmp_path)
    (made,) = [e for e in cassette.lane("file") if e["path"] == "made.txt"]
    again = await played(cassette, tmp_path)
    assert again.files == {"made.txt": made["sha256"]}
    changed = [e["path"] for e in cassette.lane("change")]
    assert changed == ["made.txt", "bytes", "made.txt"]


async def test_the_baseline_is_the_one_that_was_frozen(tmp_path: Path) -> None:
    cassette = await recorded(orders.with_a_question, tmp_path)
    (frozen,) = cassette.lane("baseline")
    other = copy.deepcopy(frozen)
    other["body"]["own_cases"] = 12
    entries = [other if entry is frozen else entry for entry in cassette.entries]
    again = await played(Cassette(cassette.manifest, tuple(entries)), tmp_path)
    assert again.document.baseline is not None
    assert again.document.baseline.own_cases == 12


async def test_all_kinds_of_tokens_come_back(tmp_path: Path) -> None:
    cassette = await recorded(orders.with_many_buckets, tmp_path)
    usage = cassette.lane("model")[0]["usage"]
    assert usage["cache_read_tokens"] == 1_500
    assert usage["reasoning_tokens"] == 120
    tokens = (await played(cassette, tmp_path)).document.receipt.tokens
    assert tokens.cache_read == 1_500 * len(cassette.lane("model"))


async def test_no_server_is_started_for_a_foreign_tool(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cassette = await recorded(orders.with_a_foreign_tool, tmp_path)

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a server was started")

    monkeypatch.setattr(McpServers, "inspect", refuse)
    monkeypatch.setattr(McpServers, "call", refuse)
    assert cassette.manifest.mcp.offered == ["mcp_shop_echo"]
    assert (await played(cassette, tmp_path)).is_same


async def test_a_cassette_s_own_prices_count(tmp_path: Path) -> None:
    cassette = await recorded(orders.with_a_question, tmp_path)
    books = copy.deepcopy(cassette.manifest.books)
    for line in books[0].document["prices"]:
        if line["model"] == "openai/gpt-4o-mini":
            line["output"] = "0.0000007"
    dearer = cassette.manifest.model_copy(update={"books": books})
    again = await played(Cassette(dearer, cassette.entries), tmp_path)
    assert {miss.path for miss in again.misses} >= {"charge.cost"}
    size = len(json.dumps([book.document for book in cassette.manifest.books]))
    assert size < 50_000


async def test_a_cassette_reaches_no_database_but_that_of_its_folder(tmp_path: Path) -> None:
    cassette = await recorded(orders.with_a_question, tmp_path)
    elsewhere = tmp_path / "elsewhere.db"
    told = {**cassette.manifest.settings, "database_url": f"sqlite:///{elsewhere}"}
    hostile = cassette.manifest.model_copy(update={"settings": told})
    assert (await played(Cassette(hostile, cassette.entries), tmp_path)).is_same
    assert not elsewhere.exists()


async def test_nobody_can_be_reached_during_a_replay() -> None:
    import socket

    with no_sockets(), socket.socket() as one, pytest.raises(SocketRefused):
        one.connect(("127.0.0.1", 9))


# The replayer itself, changed cassettes.


def changed(cassette: Cassette, change: Callable[[Entries], None]) -> Cassette:
    entries = copy.deepcopy(list(cassette.entries))
    change(entries)
    return Cassette(cassette.manifest, tuple(entries))


def calls_of(entries: Entries) -> Entries:
    return [entry for entry in entries if entry["lane"] == "model" and "answer" in entry]


def _word(entries: Entries) -> None:
    calls_of(entries)[-1]["request"]["messages"][0]["content"] += " now"


def _tool(entries: Entries) -> None:
    call = next(call for call in calls_of(entries) if call["request"]["tools"])
    call["request"]["tools"][0]["parameters"]["title"] = "Other"


def _schema(entries: Entries) -> None:
    call = next(call for call in calls_of(entries) if call["request"]["schema"])
    call["request"]["schema"]["title"] = "Other"


def _asked(entries: Entries) -> None:
    calls_of(entries)[1]["request"]["model"] = "openai/gpt-4o"


def _answered(entries: Entries) -> None:
    calls_of(entries)[1]["model"] = "gpt-4o"


def _sampling(entries: Entries) -> None:
    calls_of(entries)[0]["request"]["max_output_tokens"] += 1


def _count(entries: Entries) -> None:
    calls_of(entries)[-1]["usage"]["output_tokens"] += 1


def _raw_count(entries: Entries) -> None:
    calls_of(entries)[-1]["raw_usage"]["completion_tokens"] += 1


def _cost(entries: Entries) -> None:
    calls_of(entries)[-1]["charge"]["cost"] = "0.5"


def _last_answer(entries: Entries) -> None:
    message = calls_of(entries)[-1]["answer"]["choices"][0]["message"]
    message["content"] = str(message["content"]).replace("a", "o", 1) + " "


def _swapped(entries: Entries) -> None:
    one, other = calls_of(entries)[:2]
    one["lane_of"], other["lane_of"] = other["lane_of"], one["lane_of"]


def _dropped(entries: Entries) -> None:
    entries.remove(calls_of(entries)[-1])


def _twice(entries: Entries) -> None:
    entries.append(copy.deepcopy(calls_of(entries)[-1]))


def _decision(entries: Entries) -> None:
    next(e for e in entries if e["lane"] == "tool")["rule"] = "another rule"


def _message(entries: Entries) -> None:
    next(e for e in entries if e["lane"] == "message")["text"] += "!"


def _file(entries: Entries) -> None:
    next(e for e in entries if e["lane"] == "file")["sha256"] = "0" * 64


def _key(entries: Entries) -> None:
    calls_of(entries)[0]["key"] = "0" * 64


WHERE: dict[Callable[[Entries], None], str] = {
    _word: "messages[0].content",
    _tool: "tools[0].parameters.title",
    _schema: "schema.title",
    _asked: "model",
    _answered: "answer",
    _sampling: "max_output_tokens",
    _count: "usage.output_tokens",
    _raw_count: "",
    _cost: "charge.cost",
    _last_answer: "",
    _decision: "rule",
    _message: "text",
    _file: "sha256",
    _key: "key",
    _swapped: "",
    _dropped: "",
    _twice: "",
}
"""Each change of a recording, and where the first difference must be shown; empty: anywhere."""


async def unseen(cassette: Cassette, folder: Path) -> list[str]:
    """Return the changes that a replay passes over, or shows in the wrong place."""
    silent = []
    for change, path in WHERE.items():
        try:
            other = changed(cassette, change)
        except (StopIteration, IndexError, KeyError):
            continue  # This order has nothing of the kind.
        found = await played(other, folder)
        places = [miss.path for miss in found.misses]
        if found.is_same or (path and path not in places[:1]):
            silent.append(f"{change.__name__}: {places[:3]}, {found.leftover[:1]}")
    return silent


async def test_every_change_of_a_recording_is_refused_or_reported(tmp_path: Path) -> None:
    cassette = await recorded(orders.with_a_question, tmp_path)
    assert await unseen(cassette, tmp_path) == []


@pytest.mark.chaos
@pytest.mark.parametrize("recording", ALL, ids=lambda r: r.__name__)
async def test_every_change_of_every_recording_is_refused_or_reported(
    recording: Recording, tmp_path: Path
) -> None:
    cassette = await recorded(recording, tmp_path)
    assert await unseen(cassette, tmp_path) == []


async def test_a_changed_prompt_is_shown_where_it_differs(tmp_path: Path) -> None:
    cassette = await recorded(orders.with_a_question, tmp_path)
    folder = tmp_path / "drifted"
    shutil.copytree(builtin_roles(), tmp_path / "shipped")
    (folder / "roles").mkdir(parents=True)
    text = (tmp_path / "shipped" / "cto.md").read_text(encoding="utf-8")
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


# Faults put in, and a walk.


@pytest.mark.parametrize("recording", [orders.with_a_question, orders.side_by_side])
async def test_an_order_holds_against_faults(recording: Recording, tmp_path: Path) -> None:
    cassette = await recorded(recording, tmp_path)
    put_in = {1: ["500"], 2: ["cut"], 3: ["429"], 5: ["timeout"]}
    found = await played(cassette, tmp_path, put_in=put_in)
    assert found.misses == []
    assert found.is_same
    assert found.faults == 4
    whole = await played(cassette, tmp_path)
    assert found.files == whole.files
    assert found.document.answer == whole.document.answer
    assert found.document.receipt.attempts != whole.document.receipt.attempts


async def test_more_faults_than_tries_are_no_success(tmp_path: Path) -> None:
    cassette = await recorded(orders.with_a_question, tmp_path)
    found = await played(cassette, tmp_path, put_in={2: ["503"] * 9})
    assert not found.is_same
    assert found.status == "parked"


async def test_a_walk_stops_where_it_is_told(tmp_path: Path) -> None:
    cassette = await recorded(orders.with_a_question, tmp_path)
    seen = []

    async def watch(call: Any, number: int) -> bool:
        seen.append((number, call.lane.partition(" ")[2]))
        return number < 3

    found = await played(cassette, tmp_path, watch=watch)
    assert found.verdict == "stopped"
    assert not found.is_same
    assert found.misses == []
    assert found.calls == 2
    assert [number for number, _ in seen] == [1, 2, 3]
