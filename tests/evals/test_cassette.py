"""A cassette is read whole and as it was written, or refused in a sentence; nothing is run."""

import copy
import hashlib
import json
import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from swarm.core.errors import InvalidInput
from swarm.evals.cassette import FORMAT, MAX_BYTES, Cassette, read, reseal, write
from swarm.evals.lanes import Entry, fault_of
from swarm.evals.upgrades import UPGRADERS
from tests.evals import orders
from tests.evals.shelf import played, recorded


@pytest.fixture
async def whole(tmp_path: Path) -> bytes:
    """Return a cassette's bytes."""
    write(await recorded(orders.with_commands, tmp_path), tmp_path / "whole.jsonl")
    return (tmp_path / "whole.jsonl").read_bytes()


def sealed(lines: list[Any]) -> bytes:
    """Return lines with an end that fits them, as somebody with the code could make it."""
    texts = [one if isinstance(one, bytes) else json.dumps(one).encode() for one in lines]
    data = b"".join(text + b"\n" for text in texts)
    end = {"lane": "end", "lines": len(lines), "sha256": hashlib.sha256(data).hexdigest()}
    return data + json.dumps(end).encode() + b"\n"


def documents(data: bytes) -> list[Entry]:
    return [json.loads(line) for line in data.splitlines()[:-1]]


def refusal(path: Path) -> str:
    with pytest.raises(InvalidInput) as caught:
        read(path)
    return str(caught.value)


def test_a_cut_cassette_is_refused(whole: bytes, tmp_path: Path) -> None:
    lines = whole.splitlines(keepends=True)
    for cut in (whole[: len(whole) // 2], b"".join(lines[:-1]), b"".join(lines[:1]), b""):
        (tmp_path / "cut.jsonl").write_bytes(cut)
        assert refusal(tmp_path / "cut.jsonl")
    (tmp_path / "cut.jsonl").write_bytes(b"".join(lines[:-1]))
    assert "was cut off" in refusal(tmp_path / "cut.jsonl")


def test_an_empty_file_and_one_that_goes_on_after_its_end_are_refused(
    whole: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "empty.jsonl"
    path.write_bytes(b"")
    assert "is empty" in refusal(path)
    path.write_bytes(whole + whole.splitlines(keepends=True)[1])
    assert "more after the end" in refusal(path)


def test_a_packed_cassette_is_smaller_and_says_the_same(whole: bytes, tmp_path: Path) -> None:
    packed = tmp_path / "order.jsonl.zst"
    plain = read(tmp_path / "whole.jsonl")
    write(plain, packed)
    assert packed.stat().st_size < len(whole) / 2
    assert read(packed) == plain


def test_what_no_reader_takes_is_not_written(whole: bytes, tmp_path: Path) -> None:
    plain = read(tmp_path / "whole.jsonl")
    huge = {"lane": "file", "path": "huge", "sha256": "0" * 64, "text": "x" * MAX_BYTES}
    with pytest.raises(InvalidInput, match="the most of a cassette"):
        write(Cassette(plain.manifest, (*plain.entries, huge)), tmp_path / "huge.jsonl")
    assert list(tmp_path.glob("*huge*")) == []


def test_a_changed_cassette_says_how_to_accept_it(whole: bytes, tmp_path: Path) -> None:
    path = tmp_path / "changed.jsonl"
    path.write_bytes(whole.replace(b"gpt-4o-mini", b"gpt-4o-nano", 1))
    assert f"swarm record --seal {path}" in refusal(path)


def change(**more: Any) -> Callable[[list[Entry]], None]:
    def work(found: list[Entry]) -> None:
        found[0].update(more)

    return work


def without(lane: str) -> Callable[[list[Entry]], None]:
    def work(found: list[Entry]) -> None:
        found[:] = [entry for entry in found if entry["lane"] != lane]

    return work


def with_path(name: str) -> Callable[[list[Entry]], None]:
    def work(found: list[Entry]) -> None:
        next(entry for entry in found if entry["lane"] == "change")["path"] = name

    return work


def in_call(**more: Any) -> Callable[[list[Entry]], None]:
    def work(found: list[Entry]) -> None:
        next(entry for entry in found if entry["lane"] == "model").update(more)

    return work


def in_recall(**more: Any) -> Callable[[list[Entry]], None]:
    def work(found: list[Entry]) -> None:
        next(entry for entry in found if entry["lane"] == "recall").update(more)

    return work


def in_wrong_order(found: list[Entry]) -> None:
    calls = [number for number, entry in enumerate(found) if entry["lane"] == "model"]
    one, other = calls[0], calls[-1]
    found[one], found[other] = found[other], found[one]


WRONG: dict[str, tuple[Callable[[list[Entry]], None], str]] = {
    "newer": (change(format=FORMAT + 1), "use a newer one"),
    "older": (change(format=0), "record the order again"),
    "no version": (change(format="1"), "no manifest"),
    "unknown key": (change(extra=1), "Extra inputs"),
    "no calls": (without("model"), "lane 'model' is missing"),
    "no memory": (without("recall"), "lane 'recall' is missing"),
    "no baseline": (without("baseline"), "lane 'baseline' is missing"),
    "a role's path": (change(roles={"../../cto": "x"}), "roles"),
    "an order's path": (lambda f: f[0]["order"].update(id="../x"), "id"),
    "outside": (with_path("../../out"), "no path inside a workspace"),
    "absolute": (with_path("/etc/passwd"), "no path inside a workspace"),
    "backslash": (with_path("a\\..\\b"), "no path inside a workspace"),
    "null": (with_path("a\0b"), "no path inside a workspace"),
    "empty part": (with_path("a//b"), "no path inside a workspace"),
    "a word for a number": (in_call(latency_s="fast"), "latency_s"),
    "endless": (in_call(latency_s=1e300), "latency_s"),
    "no moment": (in_call(ended_at="soon"), "ended_at"),
    "no time zone": (in_call(ended_at="2026-11-22T10:00:00"), "not a UTC time"),
    "no origin": (in_recall(origins=["friend"]), "no origin"),
    "a count of millions": (in_call(usage={"input_tokens": 10**13}), "larger than any call"),
    "unknown count": (in_call(usage={"free_tokens": 1}), "free_tokens"),
    "below zero": (in_call(usage={"input_tokens": -1}), "below zero"),
    "unknown lane": (lambda f: f[1].update(lane="shell"), "there is no lane"),
    "wrong order": (in_wrong_order, "order"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_no_recording_says_is_refused(name: str, whole: bytes, tmp_path: Path) -> None:
    work, words = WRONG[name]
    found = documents(whole)
    work(found)
    path = tmp_path / "wrong.jsonl"
    path.write_bytes(sealed(found))
    assert words in refusal(path)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b'{"lane": "file", "lane": "file"}', "a key stands twice"),
        (b'{"lane": "file", "path": "a\xff"}', "no line of a cassette"),
        (b'{"lane": "file", "path": "\\ud800"}', "no line of a cassette"),
        (b'{"lane": "model", "latency_s": NaN}', "NaN is no number"),
        (b'{"lane": "x", "a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deeply"),
        (b'{"lane": "x", "a": ' + b"9" * 10_000 + b"}", "no line of a cassette"),
        (b"[]", "names no lane"),
        (b'{"lane": 3}', "names no lane"),
    ],
    ids=["twins", "no text", "half a sign", "no number", "deep", "long number", "list", "number"],
)
def test_a_hostile_line_is_refused(line: bytes, words: str, whole: bytes, tmp_path: Path) -> None:
    path = tmp_path / "hostile.jsonl"
    path.write_bytes(sealed([*documents(whole), line]))
    assert words in refusal(path)


def test_a_huge_file_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "huge.jsonl"
    with path.open("wb") as stream:
        stream.truncate(2**30)
    tracemalloc.start()
    try:
        assert "holds more than 64 MiB" in refusal(path)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_a_small_file_that_unpacks_to_a_huge_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.jsonl.zst"
    packer = zstandard.ZstdCompressor().compressobj()
    with path.open("wb") as stream:
        for _ in range(256):
            stream.write(packer.compress(bytes(2**22)))
        stream.write(packer.flush())
    assert path.stat().st_size < 2**20
    tracemalloc.start()
    try:
        assert "holds more than 64 MiB" in refusal(path)
        assert tracemalloc.get_traced_memory()[1] < 2 * MAX_BYTES
    finally:
        tracemalloc.stop()


def test_json_of_nothing_but_commas_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "commas.jsonl"
    path.write_bytes(b'{"lane": "x", "a": [' + b"[]," * 5_000_000 + b"[]]}\n")
    assert "holds more than" in refusal(path)


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jsonl")
    assert "is no file" in refusal(tmp_path / "pipe.jsonl")
    assert "cannot be read" in refusal(tmp_path / "none.jsonl")
    (tmp_path / "text.jsonl.zst").write_bytes(b"no archive")
    assert "cannot be unpacked" in refusal(tmp_path / "text.jsonl.zst")


def test_an_older_format_is_brought_up_a_step_at_a_time(whole: bytes, tmp_path: Path) -> None:
    found = documents(whole)
    now = copy.deepcopy(found[0])
    found[0] = {**found[0], "format": 0, "title": found[0].pop("swarm")}
    del found[0]["swarm"]
    path = tmp_path / "old.jsonl"
    path.write_bytes(sealed(found))

    def renamed(entries: list[Entry]) -> list[Entry]:
        manifest, *rest = entries
        named = {"swarm": manifest["title"], **manifest}
        del named["title"]
        return [named, *rest]

    cassette = read(path, upgraders={**UPGRADERS, 0: renamed})
    # An order that is no customer's says nothing of one.
    assert cassette.manifest.model_dump(mode="json") == {**now, "customer": None}
    assert "record the order again" in refusal(path)


async def test_an_edited_cassette_is_sealed_as_authored_and_plays(tmp_path: Path) -> None:
    path = tmp_path / "edited.jsonl"
    write(await recorded(orders.with_a_question, tmp_path), path)
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("The bakery in Pantin.", "The bakery in Lyon."), encoding="utf-8")
    cassette = reseal(path)
    assert cassette.manifest.provenance.kind == "authored"
    assert read(path) == cassette
    assert "Lyon" in (await played(cassette, tmp_path)).document.questions[0].answer  # type: ignore[operator]


def told(path: Path) -> str:
    """Return the path that a refusal begins with; nothing where the cassette is read."""
    try:
        read(path)
    except InvalidInput as error:
        return str(error)[: len(str(path))]
    return ""


@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_no_change_of_a_byte_gives_a_trace(
    data: st.DataObject, whole: bytes, tmp_path: Path
) -> None:
    at = data.draw(st.integers(0, len(whole) - 1))
    length = data.draw(st.integers(0, 40))
    put_in = data.draw(st.binary(max_size=40))
    mutated = whole[:at] + put_in + whole[at + length :]
    is_resealed = data.draw(st.booleans())
    path = tmp_path / "mutated.jsonl"
    path.write_bytes(sealed(mutated.splitlines()[:-1]) if is_resealed else mutated)
    assert told(path) in ("", str(path))


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_no_value_in_a_wrong_place_gives_a_trace(
    data: st.DataObject, whole: bytes, tmp_path: Path
) -> None:
    found = documents(whole)
    holder: Any = data.draw(st.sampled_from(found))
    for _ in range(data.draw(st.integers(0, 2))):
        inner = [value for value in holder.values() if isinstance(value, dict) and value]
        holder = data.draw(st.sampled_from(inner)) if inner else holder
    holder[data.draw(st.sampled_from(sorted(holder)))] = data.draw(_json)
    path = tmp_path / "mutated.jsonl"
    path.write_bytes(sealed(found))
    assert told(path) in ("", str(path))


def test_a_file_of_a_message_has_the_name_of_one_file() -> None:
    day = Path(__file__).parents[1] / "cassettes" / "a-day-on-the-phone.jsonl"
    heard = read(day).lane("inbound")[0]
    assert fault_of(heard) is None
    for name in ("../x", "a/b", "/etc/passwd"):
        file = {"name": name, "sha256": "0" * 64, "text": "x"}
        assert "no name of one file" in str(fault_of({**heard, "files": [file]}))
