"""Record finished orders, and play recordings again with no network."""

import asyncio
import hashlib
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from swarm.cli import exits
from swarm.cli.opened import opened
from swarm.cli.terminal import say, show_json
from swarm.cli.wording import cost
from swarm.core.document import CostDocument
from swarm.core.errors import InvalidInput
from swarm.evals.cassette import Cassette, Provenance, read, reseal, write
from swarm.evals.recording import record as record_order
from swarm.evals.replaying import Replay, no_sockets
from swarm.evals.replaying import replay as play
from swarm.llm.cassette import Miss
from swarm.settings import home_of, secret_values

SUFFIXES = (".jsonl", ".jsonl.zst")


def record(*, order_id: str, out: Path | None, author: str, is_checked: bool, as_json: bool) -> int:
    """Write a finished order to a cassette, and play that once to prove it.

    Raises:
        NotFound, Conflict: No such order, or it is still being worked on.
        InvalidInput: A secret stands where it cannot be hidden, or the file cannot be written.
    """
    with opened() as app:
        provenance = Provenance(kind="authored", by=author) if author else None
        cassette = record_order(
            app, order_id, provenance=provenance, known_secrets=secret_values(app.settings)
        )
        path = out or app.home / "cassettes" / f"{order_id}.jsonl"
        roles = app.home / "roles"
    _write(cassette, path)
    played = _played(cassette, roles) if is_checked else None
    document = {
        "path": str(path),
        "bytes": path.stat().st_size,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "calls": len(cassette.lane("model")),
        "provenance": cassette.manifest.provenance.model_dump(),
        "ledger_sha256": cassette.manifest.ledger_sha256,
        "dropped": cassette.manifest.dropped,
        "is_proven": None if played is None else played.is_same,
    }
    if as_json:
        show_json(document)
    else:
        _say_recorded(document, played)
    return exits.FAILED if played is not None and not played.is_same else exits.DONE


def _write(cassette: Cassette, path: Path) -> None:
    if not path.name.endswith(SUFFIXES):
        raise InvalidInput(f"{path}: name it {path.name}.jsonl, or .jsonl.zst to compress it.")
    try:
        write(cassette, path)
    except OSError as error:
        raise InvalidInput(f"{path}: cannot be written: {error.strerror or error}.") from error


def _say_recorded(document: dict[str, Any], played: Replay | None) -> None:
    say(f"Recorded {document['calls']} model calls in {document['path']}.")
    for line in document["dropped"]:
        say(f"Left out: {line}.")
    if played is None:
        return
    if played.is_same:
        say("Played once: it comes to the same ledger, receipt and files, with no network.")
    else:
        say("Played once, and it did not come out the same; it proves nothing as it is:")
        _say_differences(played)


def seal(*, path: Path) -> int:
    """Accept what a cassette says now, edited by hand, and mark its answers as authored.

    Raises:
        InvalidInput: It is no cassette.
    """
    cassette = reseal(path)
    say(f"{path} is sealed; its answers count as authored: {cassette.manifest.provenance.by}.")
    return exits.DONE


def replay(*, paths: Sequence[Path], has_live_tools: bool, is_shipped: bool, as_json: bool) -> int:
    """Play cassettes, one after another, and say what came out otherwise.

    Raises:
        InvalidInput: A path that is no cassette; nothing of it was run.
    """
    found = list(_cassettes(paths))
    roles = None if is_shipped else home_of() / "roles"
    results = []
    is_same = True
    for path in found:
        played = _played(read(path), roles, has_live_tools=has_live_tools)
        is_same = is_same and played.is_same
        if as_json:
            results.append({"path": str(path), **played.as_document()})
        else:
            _say_played(path, played)
    if as_json:
        show_json(results if len(found) != 1 else results[0])
    return exits.DONE if is_same else exits.FAILED


def _cassettes(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        inside = sorted(file for file in path.rglob("*") if file.name.endswith(SUFFIXES))
        if not inside:
            raise InvalidInput(f"{path}: holds no cassette (a file ending in .jsonl).")
        yield from inside


def _played(cassette: Cassette, roles: Path | None, *, has_live_tools: bool = False) -> Replay:
    """Play a cassette in a folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="swarm-replay-") as folder:
        home = Path(folder) / "home"
        if roles is not None and roles.is_dir():
            shutil.copytree(roles, home / "roles")
        if has_live_tools:
            return asyncio.run(play(cassette, home, has_live_tools=True))
        with no_sockets():
            return asyncio.run(play(cassette, home))


def _say_played(path: Path, played: Replay) -> None:
    paper = played.document.receipt
    total = CostDocument.model_validate(paper.model_cost)
    verdict = "the same" if played.is_same else "NOT THE SAME"
    say(
        f"{path.name}: {verdict}; order {played.order} is {played.status}, "
        f"{played.calls} model calls, {cost(total, calls=paper.calls)}"
    )
    if not played.is_same:
        _say_differences(played)


def _say_differences(played: Replay) -> None:
    if played.status != played.recorded_status:
        say(f"  it ended {played.status}, recorded {played.recorded_status}")
    for miss in played.misses:
        for line in _miss_lines(miss):
            say(f"  {line}")
    for lane in played.leftover:
        say(f"  recorded and never asked for: {lane}")
    is_money = not played.misses and not played.leftover
    if is_money and played.ledger_sha256 != played.recorded_ledger_sha256:
        say("  the ledger differs: the same calls were counted or priced otherwise")


def _miss_lines(miss: Miss) -> list[str]:
    lines = [f"not as recorded: {miss.lane}" + (f", at {miss.path}" if miss.path else "")]
    if miss.nearest and miss.nearest != miss.lane:
        lines.append(f"  nearest recording: {miss.nearest}")
    return [*lines, f"  recorded: {miss.expected}", f"  now:      {miss.got}"]
