"""A cassette: one order as lines of JSON, that a person can read and a program can check.

The first line is the manifest; each further line is an entry of one lane; the last one counts the
lines and holds the SHA-256 of all before it, so that a cut or an edit shows. The lanes:

- `model`: one attempt at a model call: place, request, answer, usage as received, what it cost.
  Where answers were streamed it is the whole one: pieces are joined below the ledger, before
  anything of them is used, so where they were cut changes nothing that an order sees.
- `tool`: one tool call: place, arguments, decision with its rule, result.
- `founder`: one word of the founder: order, answer, choice, signature, refusal, rework, acceptance.
- `recall`: what memory brought into a prompt, by the node that asked.
- `baseline`: what people would have needed, as it was frozen for a plan.
- `inbound`: one thing that a person wrote, pressed or sent on a channel, with its outcome.
- `given`: one file that lay in its workspace before the order began.
- `message`: one message that the company sent; how work went on meanwhile is not among them.
- `file`: one file as the order left it in its workspace.
- `change`: one file as a command left it, by the place of the command.
- `passage`: one piece of the knowledge that a customer's answer was written with.
- `turn`: one thing said before in that customer's conversation.

What each may say stands in `lanes.py`. A path ending in `.zst` is compressed with Zstandard.
"""

import hashlib
import io
import json
import stat
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from pydantic import ValidationError

from swarm.core.errors import InvalidInput
from swarm.evals.lanes import LANES, Entry, fault_of, first_fault
from swarm.evals.manifest import Manifest, Provenance, read_manifest
from swarm.evals.upgrades import UPGRADERS, Upgrader, upgraded

__all__ = [
    "FORMAT", "LANES", "Cassette", "Entry", "Manifest", "Provenance", "check_playable", "read",
    "reseal", "write",
]  # fmt: skip

FORMAT = 3
"""Version of the layout. A reader refuses newer ones, and brings older ones up; see `upgrades`."""
MAX_BYTES = 64 * 1024 * 1024
"""Most that a cassette may hold, unpacked. The longest order of the tests takes a hundredth."""
MAX_LINE = 32 * 1024 * 1024
MAX_LINES = 200_000
MAX_PARTS = 4_000_000
"""Most commas and brackets: JSON of nothing else would take a hundred times its size in memory."""


@dataclass(frozen=True, slots=True)
class Cassette:
    """One recorded order."""

    manifest: Manifest
    entries: tuple[Entry, ...] = field(default=())

    def lane(self, name: str) -> list[Entry]:
        """Return the entries of one lane, in their order."""
        return [entry for entry in self.entries if entry["lane"] == name]


def write(cassette: Cassette, path: Path) -> None:
    """Write a cassette; what stood there is replaced in one step, or left as it was.

    Raises:
        InvalidInput: It is larger than any reader takes; nothing was written.
    """
    text = "".join(f"{line}\n" for line in _lines(cassette))
    data = text.encode()
    if len(data) > MAX_BYTES - MAX_NOTE:
        _too_large(path)
    end = {
        "lane": "end",
        "lines": text.count("\n"),
        "sha256": hashlib.sha256(data).hexdigest(),
    }
    data += (_dumped(end) + "\n").encode()
    if path.suffix == ".zst":
        import zstandard

        data = zstandard.ZstdCompressor(level=10).compress(data)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.part")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


MAX_NOTE = 1024
"""Bytes that the last line may take."""


def _lines(cassette: Cassette) -> Iterator[str]:
    manifest = cassette.manifest.model_dump(mode="json")
    if manifest["customer"] is None:
        del manifest["customer"]  # Only a customer's question tells of one.
    yield _dumped(manifest)
    for entry in cassette.entries:
        yield _dumped(entry)


def _dumped(entry: Entry) -> str:
    # Sorted, so that two recordings differ only where the orders did.
    return json.dumps(entry, sort_keys=True, ensure_ascii=False)


def read(path: Path, *, upgraders: Mapping[int, Upgrader] = UPGRADERS) -> Cassette:
    """Read a cassette; nothing of it is run or written anywhere.

    Args:
        path: A plain file.
        upgraders: Bring entries of an older format one format up.

    Raises:
        InvalidInput: Missing, cut, changed, too large, of another format, or no cassette.
    """
    with _opened(path) as stream:
        return _read(path, _unpacked(path, stream), upgraders)


def reseal(path: Path) -> Cassette:
    """Accept a cassette as a person has edited it: its answers are authored from now on.

    Raises:
        InvalidInput: It is no cassette.
    """
    with _opened(path) as stream:
        lines = [line for line in _unpacked(path, stream) if not _is_end(line)]
    lines = [line if line.endswith(b"\n") else line + b"\n" for line in lines if line.strip()]
    data = b"".join(lines)
    end = {"lane": "end", "lines": len(lines), "sha256": hashlib.sha256(data).hexdigest()}
    found = _read(path, [*lines, _dumped(end).encode()], UPGRADERS, is_counted=False)
    before = found.manifest.provenance
    by = before.by if before.kind == "authored" else f"edited, after {before.kind} by {before.by}"
    # Edited or not, another program's trace does not become an order of this one.
    kind = before.kind if before.kind == "imported" else "authored"
    told = {"provenance": Provenance(kind=kind, by=by), "lanes": counts_of(found.entries)}
    manifest = found.manifest.model_copy(update=told)
    cassette = Cassette(manifest, found.entries)
    write(cassette, path)
    return cassette


def check_playable(cassette: Cassette, path: Path | None = None) -> None:
    """Refuse another program's trace: it holds calls, and no order that could be worked.

    Raises:
        InvalidInput: It was imported.
    """
    if cassette.manifest.provenance.kind == "imported":
        where = f"{path}: " if path else ""
        raise InvalidInput(
            f"{where}was imported from {cassette.manifest.provenance.by}: it holds no order that "
            "could be played. It is good for `swarm explain FILE`, which says where it went wrong, "
            "and for `swarm replay FILE` with --reprice, --price-shock or --model, which price it "
            "again."
        )


def counts_of(entries: Iterable[Entry]) -> dict[str, int]:
    """Return how many entries each lane has, as the manifest says it."""
    return dict(sorted(Counter(entry["lane"] for entry in entries).items()))


def _is_end(line: bytes) -> bool:
    if len(line) > MAX_NOTE:
        return False
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return isinstance(entry, dict) and entry.get("lane") == "end"


def _opened(path: Path) -> io.BufferedReader:
    """Open a plain file; a pipe could be waited for, and a device read, without end."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise InvalidInput(f"{path}: is no file.")
        if path.suffix != ".zst" and status.st_size > MAX_BYTES:
            _too_large(path)
        return path.open("rb")
    except OSError as error:
        raise InvalidInput(f"{path}: cannot be read: {error.strerror or error}.") from error
    except ValueError as error:
        raise InvalidInput(f"{str(path)!r}: is no path: {error}.") from error


def _too_large(path: Path) -> NoReturn:
    limit = MAX_BYTES // 2**20
    raise InvalidInput(
        f"{path}: holds more than {limit} MiB, the most of a cassette; it was not read further."
    )


def _unpacked(path: Path, stream: io.BufferedReader) -> Iterator[bytes]:
    """Give the lines, whatever packs them; a small file that unpacks to a huge one is refused."""
    source: io.RawIOBase | io.BufferedReader = stream
    if path.suffix == ".zst":
        import zstandard

        # 128 MiB is the most that a reader must grant; anything beyond is no cassette of ours.
        reader = zstandard.ZstdDecompressor(max_window_size=2**27).stream_reader(stream)
        source = io.BufferedReader(reader)
    total = parts = 0
    try:
        while line := source.readline(MAX_LINE + 1):
            total += len(line)
            parts += line.count(b",") + line.count(b"[") + line.count(b"{")
            if len(line) > MAX_LINE or total > MAX_BYTES or parts > MAX_PARTS:
                _too_large(path)
            yield line
    except (OSError, ValueError, MemoryError) as error:
        raise InvalidInput(f"{path}: cannot be unpacked: {error}.") from error
    except Exception as error:
        if type(error).__name__ == "ZstdError":
            raise InvalidInput(f"{path}: cannot be unpacked: {error}.") from error
        raise


def _read(
    path: Path,
    lines: Iterable[bytes],
    upgraders: Mapping[int, Upgrader],
    *,
    is_counted: bool = True,
) -> Cassette:
    found: list[Entry] = []
    end: Entry | None = None
    seen = hashlib.sha256()
    for number, line in enumerate(lines, start=1):
        if end is not None or number > MAX_LINES:
            raise InvalidInput(f"{path}:{number}: there is more after the end.")
        entry = _entry(path, number, line)
        if entry["lane"] == "end":
            end = entry
            continue
        if not found:
            _check_version(path, entry)
        found.append(entry)
        seen.update(line)
    if not found:
        raise InvalidInput(
            f"{path}: is empty, or cut off before its first line; it is no cassette."
        )
    if end is None or end.get("lines") != len(found):
        raise InvalidInput(f"{path}: was cut off: record the order again with `swarm record`.")
    if end.get("sha256") != seen.hexdigest():
        raise InvalidInput(
            f"{path}: was changed after it was recorded. `swarm record --seal {path}` accepts "
            "what it says now, as written by you."
        )
    found = upgraded(path, found, FORMAT, upgraders)
    return _understood(path, found, is_counted=is_counted)


def _missing(manifest: Manifest, found: list[Entry]) -> str | None:
    """Return which lane has not what the manifest counts; None where all have."""
    counted = counts_of(found[1:])
    for lane in LANES:
        count, told = counted.get(lane, 0), manifest.lanes.get(lane, 0)
        if told != count:
            what = "is missing" if not count else f"has {count} entries, not {told}"
            return f"its lane {lane!r} {what}"
    return None


def _understood(path: Path, found: list[Entry], *, is_counted: bool) -> Cassette:
    try:
        manifest = read_manifest(found[0])
    except ValidationError as error:
        raise InvalidInput(f"{path}: manifest: {first_fault(error)}.") from error
    except RecursionError as error:
        raise InvalidInput(f"{path}: manifest: it is nested too deeply.") from error
    last = ""
    for number, entry in enumerate(found[1:], start=2):
        if fault := fault_of(entry):
            raise InvalidInput(f"{path}:{number}: {fault}.")
        if entry["lane"] == "model":
            if entry["ended_at"] < last:
                raise InvalidInput(f"{path}:{number}: calls do not stand in their order.")
            last = entry["ended_at"]
    if is_counted and (fault := _missing(manifest, found)):
        raise InvalidInput(f"{path}: {fault}: record the order again with `swarm record`.")
    return Cassette(manifest, tuple(found[1:]))


def _entry(path: Path, number: int, line: bytes) -> Entry:
    try:
        entry = json.loads(line, object_pairs_hook=_without_twins, parse_constant=_no_number)
        if b"\\u" in line:
            json.dumps(entry, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        why = "it is nested too deeply" if isinstance(error, RecursionError) else error
        raise InvalidInput(f"{path}:{number}: is no line of a cassette: {why}.") from error
    if not isinstance(entry, dict) or not isinstance(entry.get("lane"), str):
        raise InvalidInput(f"{path}:{number}: is no line of a cassette: it names no lane.")
    return entry


def _without_twins(pairs: list[tuple[str, Any]]) -> Entry:
    """Refuse a key that stands twice: two readers would see two different cassettes."""
    entry = dict(pairs)
    if len(entry) != len(pairs):
        raise ValueError("a key stands twice")
    return entry


def _no_number(word: str) -> NoReturn:
    raise ValueError(f"{word} is no number")


def _check_version(path: Path, entry: Entry) -> None:
    version = entry.get("format")
    if entry["lane"] != "manifest" or type(version) is not int:
        raise InvalidInput(f"{path}: is no cassette: its first line is no manifest.")
    if version > FORMAT:
        raise InvalidInput(
            f"{path}: has format {version}, and this Swarm knows up to {FORMAT}: use a newer one."
        )
