"""Orders that were stopped, raised, cancelled or steered from a phone come out the same."""

import copy
from pathlib import Path
from typing import Any

import pytest

from swarm.evals.cassette import Cassette, read, write
from swarm.evals.comparing import NOTHING
from swarm.evals.replaying import Replay
from tests.evals import stopped
from tests.evals.shelf import Recording, played, recorded


async def again(cassette: Cassette, folder: Path) -> Replay:
    """Play a cassette as it is read from a file."""
    write(cassette, folder / "order.jsonl")
    kept = read(folder / "order.jsonl")
    assert kept == cassette
    return await played(kept, folder)


@pytest.mark.parametrize("recording", stopped.ALL, ids=lambda r: r.__name__)
async def test_an_order_that_was_stopped_or_steered_comes_out_the_same(
    recording: Recording, tmp_path: Path
) -> None:
    cassette = await recorded(recording, tmp_path)
    found = await again(cassette, tmp_path)
    assert found.misses == []
    assert found.leftover == []
    assert found.is_same
    assert found.status == cassette.manifest.status
    assert found.calls == len(cassette.lane("model"))
    assert cassette.manifest.dropped in ([], ["1 model calls that were cut off or overtaken"])


DAY = Path(__file__).parents[1] / "cassettes" / "a-day-on-the-phone.jsonl"
"""A founder's day on a fake of Telegram, as `test_a_day_on_the_phone` has it, recorded once."""


@pytest.fixture
def chat() -> Cassette:
    """Return the recording of a founder's day on the phone."""
    return read(DAY)


@pytest.mark.chaos
async def test_a_day_on_the_phone_that_is_recorded_anew_comes_out_the_same(tmp_path: Path) -> None:
    fresh = await recorded(stopped.on_the_phone, tmp_path)
    assert (await again(fresh, tmp_path)).is_same
    kept = read(DAY)
    assert [e["outcome"] for e in fresh.lane("inbound")] == [
        e["outcome"] for e in kept.lane("inbound")
    ]


def heard(cassette: Cassette, kind: str) -> list[dict[str, Any]]:
    return [entry for entry in cassette.lane("inbound") if entry["kind"] == kind]


async def test_a_press_on_a_button_that_no_card_has_is_told_as_such(
    chat: Cassette, tmp_path: Path
) -> None:
    entries = copy.deepcopy(list(chat.entries))
    pressed = next(e for e in entries if e["lane"] == "inbound" and e.get("button"))
    pressed["button"]["do"] = "dance"
    found = await played(Cassette(chat.manifest, tuple(entries)), tmp_path)
    (miss,) = (miss for miss in found.misses if miss.path == "button")
    assert (miss.lane, miss.got) == (f"inbound {pressed['row']}", NOTHING)
    assert "dance" in miss.expected


async def test_a_day_on_the_phone_comes_out_the_same_to_the_last_message(
    chat: Cassette, tmp_path: Path
) -> None:
    found = await again(chat, tmp_path)
    assert found.misses == []
    assert found.leftover == []
    assert found.is_same
    said = {entry["key"]: entry["text"] for entry in chat.lane("message")}
    assert {message["key"]: message["text"] for message in found.messages} == said
    assert any("revision 3" in text for text in said.values())
    assert any(text.startswith("Spent on") for text in said.values())
    assert found.document.signed_off_by == "Ada"
    assert found.document.receipt.founder is not None


def test_no_button_s_token_is_in_a_recording(chat: Cassette) -> None:
    pressed = heard(chat, "callback")
    assert {entry["button"]["do"] for entry in pressed} == {"edit", "approve", "rework", "accept"}
    assert all(entry["data"] == "" for entry in pressed if "data" in entry)


def _words(entries: list[dict[str, Any]]) -> None:
    texts = [e for e in entries if e["lane"] == "inbound" and e["text"]]
    texts[1]["text"] += " And cakes."


def _press(entries: list[dict[str, Any]]) -> None:
    pressed = [e for e in entries if e["lane"] == "inbound" and e["kind"] == "callback"]
    pressed[1]["button"]["do"] = "reject"


def _gone(entries: list[dict[str, Any]]) -> None:
    entries.remove(next(e for e in entries if e["lane"] == "inbound" and e["kind"] == "callback"))


def _reply(entries: list[dict[str, Any]]) -> None:
    said = [e for e in entries if e["lane"] == "message" and e["key"].startswith("reply/")]
    said[-1]["text"] += "!"


def _card(entries: list[dict[str, Any]]) -> None:
    said = [e for e in entries if e["lane"] == "message" and e["kind"] == "decision"]
    said[-1]["text"] = said[-1]["text"].replace("revision 3", "revision 2")


@pytest.mark.parametrize("change", [_words, _press, _gone, _reply, _card])
async def test_a_changed_word_on_the_phone_is_refused_or_reported(
    change: Any, chat: Cassette, tmp_path: Path
) -> None:
    entries = copy.deepcopy(list(chat.entries))
    change(entries)
    found = await played(Cassette(chat.manifest, tuple(entries)), tmp_path)
    assert not found.is_same
    assert found.misses or found.leftover


async def test_somebody_without_the_right_changes_nothing(chat: Cassette, tmp_path: Path) -> None:
    (ada,) = chat.manifest.people
    observer = ada.model_copy(update={"role": "observer"})
    manifest = chat.manifest.model_copy(update={"people": [observer]})
    found = await played(Cassette(manifest, chat.entries), tmp_path)
    assert not found.is_same
    assert "refused" in found.misses[0].got


async def test_a_changed_query_for_vectors_is_a_miss(tmp_path: Path) -> None:
    cassette = await recorded(stopped.with_vectors_of_memories, tmp_path)
    entries = copy.deepcopy(list(cassette.entries))
    asked = [e for e in entries if e["lane"] == "model" and "/embed/" in e["lane_of"]]
    asked[0]["request"]["messages"][0]["content"] += " now"
    found = await played(Cassette(cassette.manifest, tuple(entries)), tmp_path)
    assert not found.is_same


async def test_a_skill_that_changed_is_shown_as_drift(tmp_path: Path) -> None:
    cassette = await recorded(stopped.with_a_skill, tmp_path)
    told = cassette.manifest.model_dump(mode="json")
    file = told["skills"]["bread-facts"]["SKILL.md"]
    file["text"] = file["text"].replace("two days", "an hour")
    manifest = type(cassette.manifest).model_validate(told)
    found = await played(Cassette(manifest, cassette.entries), tmp_path)
    assert not found.is_same
    assert "an hour" in str(found.misses[0])
