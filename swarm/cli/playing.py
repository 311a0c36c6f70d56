"""Record finished orders, and play recordings again with no network."""

import asyncio
import hashlib
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from swarm.app import App
from swarm.cli import exits
from swarm.cli.lazy import load
from swarm.cli.opened import opened
from swarm.cli.played import miss_lines, say_differences, say_played, say_repriced, watch_of
from swarm.cli.terminal import say, show_json
from swarm.core.errors import InvalidInput
from swarm.evals import faults
from swarm.evals.cassette import Cassette, Provenance, check_playable, read, reseal, write
from swarm.evals.house import House
from swarm.evals.recording import record as record_order
from swarm.evals.replaying import Replay, no_sockets
from swarm.evals.replaying import replay as play
from swarm.evals.repricing import Prices, repriced
from swarm.evals.updating import Update, update
from swarm.evals.warm import WarmHouse
from swarm.settings import home_of, secret_values

SUFFIXES = (".jsonl", ".jsonl.zst")
SCENARIOS = (".yaml", ".yml")
KEPT_BYTES = 64 * 1024 * 1024
"""Cassettes beyond this, as they lie on the disk, are read once more when their turn comes."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """How cassettes are to be played."""

    has_live_tools: bool = False
    is_shipped: bool = False
    """Leave the company's own roles aside."""
    prices: Prices | None = None
    until: str | None = None
    is_stepped: bool = False
    put_in: Mapping[int, Sequence[str]] = field(default_factory=dict)

    @property
    def is_priced_alone(self) -> bool:
        """Whether prices are all that is asked for: a trace of another program has them, too."""
        is_walked = self.until is not None or self.is_stepped or self.put_in
        return self.prices is not None and not is_walked and not self.has_live_tools


def record(*, order_id: str, out: Path | None, author: str, is_checked: bool, as_json: bool) -> int:
    """Write a finished order to a cassette, and play that once to prove it.

    Raises:
        NotFound, Conflict: No such order, or it is still being worked on.
        InvalidInput: A secret stands where it cannot be hidden, or the file cannot be written.
    """
    with opened() as app:
        document, played = _recorded(app, order_id, out, author=author, is_checked=is_checked)
    if as_json:
        show_json(document)
    else:
        _say_recorded(document, played)
    return exits.FAILED if played is not None and not played.is_same else exits.DONE


def record_placed(app: App, order_id: str) -> Path:
    """Record an order that was just worked, into the company's own folder.

    Raises:
        Conflict: It does not stand still.
        InvalidInput: A secret stands where it cannot be hidden, or the file cannot be written.
    """
    document, _ = _recorded(app, order_id, None, author="", is_checked=False)
    return Path(document["path"])


def _recorded(
    app: App, order_id: str, out: Path | None, *, author: str, is_checked: bool
) -> tuple[dict[str, Any], Replay | None]:
    provenance = Provenance(kind="authored", by=author) if author else None
    path = out or app.home / "cassettes" / f"{order_id}.jsonl"
    _check_name(path)
    cassette = record_order(
        app, order_id, provenance=provenance, known_secrets=secret_values(app.settings)
    )
    _write(cassette, path)
    played = _proof(cassette, app.home / "roles") if is_checked else None
    return {
        "path": str(path),
        "bytes": path.stat().st_size,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "calls": len(cassette.lane("model")),
        "provenance": cassette.manifest.provenance.model_dump(),
        "ledger_sha256": cassette.manifest.ledger_sha256,
        "dropped": cassette.manifest.dropped,
        "is_proven": None if played is None else played.is_same,
    }, played


def _check_name(path: Path) -> None:
    if not path.name.endswith(SUFFIXES):
        raise InvalidInput(f"{path}: name it {path.stem}.jsonl, or .jsonl.zst to compress it.")


def _write(cassette: Cassette, path: Path) -> None:
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
        say("Played once: it comes to the same ledger, messages and files, with no network.")
    else:
        say("Played once, and it did not come out the same; it proves nothing as it is:")
        say_differences(played)


def seal(*, path: Path) -> int:
    """Accept what a cassette says now, edited by hand, and mark its answers as authored.

    Raises:
        InvalidInput: It is no cassette.
    """
    cassette = reseal(path)
    found = cassette.manifest.provenance
    say(f"{path} is sealed; its answers count as {found.kind}: {found.by}.")
    return exits.DONE


def replay(
    *,
    paths: Sequence[Path],
    has_live_tools: bool,
    is_shipped: bool,
    as_json: bool,
    book: Path | None = None,
    model: str | None = None,
    shock: str | None = None,
    until: str | None = None,
    is_stepped: bool = False,
    fault_text: str | None = None,
    engine: str | None = None,
) -> int:
    """Play cassettes, one after another, and say what came out otherwise.

    Raises:
        InvalidInput: A path that is no cassette, or two of one order; nothing was run.
    """
    if as_json and is_stepped:
        raise InvalidInput("--step shows calls to a person: leave --json away.")
    prices = Prices(book, model, shock)
    wanted = Wanted(
        has_live_tools=has_live_tools,
        is_shipped=is_shipped,
        prices=prices if prices != Prices() else None,
        until=until,
        is_stepped=is_stepped,
        put_in={} if fault_text is None else faults.parse(fault_text),
    )
    found = _checked(paths, wanted)
    with WarmHouse(engine=engine) as warm:
        results = [_one(path, cassette, wanted, warm, as_json=as_json) for path, cassette in found]
    if as_json:
        documents = [document for document, _ in results]
        show_json(documents if len(documents) != 1 else documents[0])
    return exits.DONE if all(is_sound for _, is_sound in results) else exits.FAILED


def _one(
    path: Path, cassette: Cassette | None, wanted: Wanted, warm: WarmHouse, *, as_json: bool
) -> tuple[dict[str, Any], bool]:
    cassette = cassette or read(path)
    # Prices first: a wrong book or model is said before anything is played.
    priced = repriced(cassette, wanted.prices) if wanted.prices else None
    provenance = cassette.manifest.provenance
    told: dict[str, Any] = {"path": str(path), "provenance": provenance.model_dump()}
    if provenance.kind == "imported" and priced is not None:
        if not as_json:
            say(f"{path.name}: imported from {provenance.by}: priced, not played")
            say_repriced(path, priced)
        return told | {"status": "imported", "repriced": priced.as_document()}, True
    roles = None if wanted.is_shipped else home_of() / "roles"
    played = _played(cassette, roles, wanted, warm)
    document = told | played.as_document()
    if priced is not None:
        document["repriced"] = priced.as_document()
    if not as_json:
        say_played(path, played, provenance)
        if priced is not None:
            say_repriced(path, priced)
    return document, played.is_same or (played.is_stopped and not played.misses)


def _checked(paths: Sequence[Path], wanted: Wanted) -> list[tuple[Path, Cassette | None]]:
    """Read every cassette before the first is played; None stands for one to be read again."""
    found: list[tuple[Path, Cassette | None]] = []
    orders: dict[str, Path] = {}
    seen: set[Path] = set()
    kept = 0
    for path in _cassettes(paths):
        if (real := path.resolve()) in seen:
            continue
        seen.add(real)
        cassette = read(path)
        if not wanted.is_priced_alone:
            check_playable(cassette, path)
        order = cassette.manifest.order["id"]
        # The ids of what a person wrote count from the same beginning.
        if cassette.manifest.provenance.kind != "authored":
            if order in orders:
                raise InvalidInput(
                    f"{orders[order]} and {path} are both recordings of order {order}: "
                    "play one of them."
                )
            orders[order] = path
        kept += path.stat().st_size
        found.append((path, cassette if kept <= KEPT_BYTES else None))
    return found


def _cassettes(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        if path.suffix in SCENARIOS and path.is_file():
            yield from _cassettes_of(path)
            continue
        if not path.is_dir():
            yield path
            continue
        inside = sorted(file for file in path.rglob("*") if file.name.endswith(SUFFIXES))
        if not inside:
            raise InvalidInput(f"{path}: holds no cassette (a file ending in .jsonl).")
        yield from inside


def _cassettes_of(path: Path) -> Iterator[Path]:
    """Give the cassettes that a scenario names."""
    names = [order.cassette for order in load("swarm.evals.scenario:load")(path).orders]
    if not all(names):
        raise InvalidInput(
            f"{path}: is a scenario, and not all of its orders are recorded: "
            f"`swarm eval {path}` runs it."
        )
    yield from (path.parent / str(name) for name in names)


@contextmanager
def _stage(roles: Path | None) -> Iterator[Path]:
    """Give a home for a replay, with the company's own roles; it is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="swarm-replay-") as folder:
        home = Path(folder) / "home"
        _hand_over(roles, home)
        yield home


def _hand_over(roles: Path | None, home: Path) -> None:
    """Let the company's own roles count in a home."""
    if roles is not None and roles.is_dir():
        shutil.copytree(roles, home / "roles")


def _proof(cassette: Cassette, roles: Path) -> Replay:
    """Play a new recording once."""
    with WarmHouse() as warm:
        return _played(cassette, roles, Wanted(), warm)


def _played(cassette: Cassette, roles: Path | None, wanted: Wanted, warm: WarmHouse) -> Replay:
    async def run(house: House) -> Replay:
        home = await house.fresh_home()
        _hand_over(roles, home)
        return await play(
            cassette,
            home,
            has_live_tools=wanted.has_live_tools,
            put_in=wanted.put_in,
            watch=watch_of(cassette, until=wanted.until, is_stepped=wanted.is_stepped),
            house=house,
        )

    with nullcontext() if wanted.has_live_tools else no_sockets():
        return warm.run(run)


def bring_up_to_date(*, path: Path, has_live_tools: bool, is_sure: bool, as_json: bool) -> int:
    """Ask the live model for what changed since a recording, and write that after a yes.

    Raises:
        InvalidInput: No cassette, nobody to ask for a yes, or a secret in what would be written.
        ConfigError: There is no company here, or it has no model.
    """
    if path.is_dir():
        raise InvalidInput(f"{path}: --update takes one cassette, not a folder of them.")
    cassette = read(path)
    with opened() as app, _stage(app.home / "roles") as home:
        secrets = tuple(secret_values(app.settings))
        found = asyncio.run(
            update(cassette, home, app, known_secrets=secrets, has_live_tools=has_live_tools)
        )
    document = _update_document(path, cassette, found)
    if not as_json:
        _say_update(document, found)
    is_wanted = found.is_needed and not found.played.misses
    is_written = is_wanted and (is_sure or (not as_json and _agrees(path)))
    if is_written:
        _write(found.cassette, path)
    if as_json:
        show_json({**document, "is_written": is_written})
    elif found.is_needed:
        say(f"{path} is brought up to date." if is_written else f"{path} stays as it was.")
    return exits.FAILED if found.played.misses and not is_written else exits.DONE


def _agrees(path: Path) -> bool:
    if sys.stdin is None or not sys.stdin.isatty():
        raise InvalidInput(f"Nobody is here to say yes: --yes writes {path} without asking.")
    return input(f"Write this to {path}? [y/N] ").strip().lower() in ("y", "yes")


def _update_document(path: Path, before: Cassette, found: Update) -> dict[str, Any]:
    sides = {"before": before, "after": found.cassette}
    return {
        "path": str(path),
        "asked": found.asked,
        "changes": [miss.lane for miss in found.changes],
        **{
            side: {
                "status": cassette.manifest.status,
                "calls": len(cassette.lane("model")),
                "cost": repriced(cassette, Prices()).as_document()["recorded"],
                "files": {e["path"]: e["sha256"] for e in cassette.lane("file")},
            }
            for side, cassette in sides.items()
        },
    }


def _say_update(document: dict[str, Any], found: Update) -> None:
    if not found.is_needed:
        say(f"{document['path']}: nothing changed, no model was asked.")
        return
    say(f"{document['path']}: {found.asked} calls were asked anew:")
    for miss in found.changes:
        for line in miss_lines(miss):
            say(f"  {line}")
    before, after = document["before"], document["after"]
    say(f"Ended: {before['status']}, now {after['status']}.")
    say(f"Calls: {before['calls']}, now {after['calls']}.")
    say(f"Cost: {_amounts(before['cost'])}, now {_amounts(after['cost'])}.")
    for name in sorted({*before["files"], *after["files"]}):
        old, new = before["files"].get(name), after["files"].get(name)
        if old != new:
            say(f"File {name}: {'new' if old is None else 'gone' if new is None else 'changed'}.")


def _amounts(costs: list[dict[str, Any]]) -> str:
    shown = (f"{one['amount']} {one['currency']} ({one['status']})" for one in costs)
    return " and ".join(shown) or "nothing"
