"""Look at what the company remembers, correct it, confirm it, carry it over, let it be forgotten."""

import json
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from swarm.app import App
from swarm.cli import exits
from swarm.cli.opened import opened
from swarm.cli.ordering import read_text
from swarm.cli.standing import terminal_signer
from swarm.cli.terminal import say, show_json, tell
from swarm.cli.wording import counted
from swarm.core.errors import ConfigError, InvalidInput, NotFound
from swarm.core.origin import Origin
from swarm.core.registry import nearest
from swarm.core.text import clean_text
from swarm.ledger.attention import ActionKind
from swarm.memory import records
from swarm.memory.base import Detail, MemoryItem, MemoryKind, Recalled, Scope, Viewer
from swarm.memory.shown import age

SHOWN_BAD_LINES = 50


def _owner(user: str) -> Viewer:
    """Return the person at the company's own terminal."""
    return Viewer("owner", person=user, is_owner=True)


def listed(*, limit: int, as_json: bool, is_all: bool = False) -> None:
    """List the newest memories."""
    with opened() as app:
        user, now = app.environment.user, app.clock.now()
        items = app.memory.list(limit=limit, viewer=_owner(user), is_all=is_all)
    _show(items, user, now, as_json=as_json, nothing="The company remembers nothing yet.")


def search(*, query: str, limit: int, as_json: bool) -> None:
    """List the memories nearest to some words."""
    with opened() as app:
        user, now = app.environment.user, app.clock.now()
        items = app.memory.recall(query, limit=limit, viewer=_owner(user), language="en")
    _show(items, user, now, as_json=as_json, nothing="Nothing like that is remembered.")


def add(
    *,
    text: str,
    kind: str,
    subject: str | None,
    owner: str | None,
    audience: str,
    seen_at: str | None,
    until: str | None,
    half_life: int | None,
    source: str | None,
    as_json: bool,
) -> None:
    """Remember something in the founder's words.

    Raises:
        InvalidInput: A word of the command is off.
    """
    said = clean_text(read_text(text)).strip()
    if not said:
        raise InvalidInput("A memory needs words.")
    if kind not in list(MemoryKind):
        raise InvalidInput(f"There is no kind {kind!r}{nearest(kind, list(MemoryKind))}")
    scope, name = _scope(owner)
    with opened() as app:
        user = app.environment.user
        detail = Detail(
            scope=scope,
            scope_id=name,
            audience=tuple(part.strip() for part in audience.split(",") if part.strip()),
            source=source,
            observed_at=_moment(seen_at),
            observed_by=user,
            is_flow=seen_at is not None,
            valid_until=_moment(until),
            half_life_days=half_life,
        )
        item = app.memory.remember(
            said,
            kind=MemoryKind(kind),
            origin=Origin.FOUNDER,
            subject=subject,
            detail=detail,
        )
        _note(app)
        now = app.clock.now()
    _show_one(item, user, now, as_json=as_json)


def edit(*, memory_id: str, text: str, as_json: bool) -> None:
    """Give a memory other words; the old ones stay, with a pointer.

    Raises:
        NotFound: No such memory.
        Conflict: It was replaced already.
    """
    said = read_text(text)
    with opened() as app:
        user, now = app.environment.user, app.clock.now()
        item = app.memory.revise(memory_id, said, by=user)
        _note(app)
    _show_one(item, user, now, as_json=as_json)


def confirm(*, memory_id: str, as_json: bool) -> None:
    """Vouch for a memory that came from a stranger's words.

    Raises:
        NotFound: No such memory.
    """
    with opened() as app:
        user, now = app.environment.user, app.clock.now()
        item = app.memory.confirm(memory_id, by=user)
        _note(app)
    _show_one(item, user, now, as_json=as_json)


def forget(*, memory_id: str, as_json: bool, is_asked: bool = False) -> int:
    """Delete a memory and its older wordings; with `is_asked`, only after a yes.

    Raises:
        NotFound: No such memory.
        InvalidInput: Nobody is there to say yes.
    """
    with opened() as app:
        user = app.environment.user
        if is_asked:
            item = app.memory.get(memory_id, viewer=_owner(user))
            if not _is_agreed(item):
                tell("Nothing was forgotten.")
                return exits.USAGE
        gone = app.memory.forget(memory_id, by=f"terminal:{user}")
        _note(app)
    if as_json:
        # The others are its older wordings: a program that knew only the id learns of them.
        show_json({"forgotten": memory_id} | ({"older": list(gone[1:])} if gone[1:] else {}))
    else:
        older = f", with {counted(len(gone) - 1, 'older wording')}" if gone[1:] else ""
        say(f"{memory_id} is forgotten{older}.")
    return exits.DONE


def _note(app: App) -> None:
    """Let the founder's minutes over the company's memory count."""
    signer = terminal_signer(app.environment)
    app.office.look(None, ActionKind.REMEMBERED, signer=signer)


def _is_agreed(item: MemoryItem) -> bool:
    tell(f"{item.id}: {item.text}\nForget it for good? [y/N]")
    answer = sys.stdin.readline() if sys.stdin is not None else ""
    if not answer:
        raise InvalidInput(f"Nobody said yes: `swarm memory forget {item.id} --yes` asks nobody.")
    return answer.strip().lower() in ("y", "yes", "o", "oui")


def export(*, target: str) -> None:
    """Write every memory as JSON lines, oldest first.

    Raises:
        ConfigError: The file cannot be written.
    """
    with opened() as app:
        viewer = _owner(app.environment.user)
        items = app.memory.list(limit=None, viewer=viewer, is_all=True)
    ordered = sorted(items, key=lambda item: (item.observed_at, item.id))
    # A terminal that speaks no Unicode would lose what `import` needs.
    is_plain = target == "-" and not _speaks_unicode()
    lines = [json.dumps(records.record_of(item), ensure_ascii=is_plain) for item in ordered]
    if target == "-":
        if lines:
            say("\n".join(lines))
        return
    try:
        Path(target).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{target} cannot be written: {error.strerror}.") from error
    tell(f"{_memories(len(lines))} in {target}.")


def _speaks_unicode() -> bool:
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    return encoding.lower().startswith("utf")


def _memories(count: int) -> str:
    return f"{count:,} {'memory' if count == 1 else 'memories'}"


def bring(*, source: str, as_json: bool) -> int:
    """Read JSON lines: the good ones are remembered, the bad ones are listed with their reason.

    Raises:
        ConfigError: The file cannot be read.
    """
    read = records.read_lines(_lines(source))
    bad = dict(read.bad)
    with opened() as app:
        now = app.clock.now()
        brought = [
            records.item_of(line.record, app.ids.new("m"), _seen_before(app, line.record) or now)
            for line in read.good
        ]
        result = app.memory.restore(brought)
    bad |= {read.good[place].number: reason for place, reason in result.refused.items()}
    found = [{"line": number, "reason": bad[number]} for number in sorted(bad)]
    if as_json:
        show_json({"added": list(result.added), "known": list(result.known), "bad": found})
    else:
        say(
            f"{_memories(len(result.added))} added, "
            f"{len(result.known)} known already, {counted(len(bad), 'bad line')}."
        )
        for entry in found[:SHOWN_BAD_LINES]:
            tell(f"line {entry['line']}: {entry['reason']}")
        if len(found) > SHOWN_BAD_LINES:
            tell(f"… and {len(found) - SHOWN_BAD_LINES} more; `--json` lists them all.")
    return exits.USAGE if bad else exits.DONE


def _seen_before(app: App, record: records.Record) -> datetime | None:
    """Return when a memory that is here was observed: a line without a time says no other."""
    if record.id is None or record.observed_at is not None:
        return None
    try:
        return app.memory.get(record.id, viewer=_owner(app.environment.user)).observed_at
    except NotFound:
        return None


def _lines(source: str) -> Iterator[bytes]:
    if source == "-":
        if sys.stdin is not None:
            yield from _cut_lines(sys.stdin.buffer)
        return
    try:
        with Path(source).open("rb") as stream:
            yield from _cut_lines(stream)
    except OSError as error:
        raise ConfigError(f"{source} cannot be read: {error.strerror}.") from error


def _cut_lines(stream: BinaryIO) -> Iterator[bytes]:
    """Return the lines; of one too long to be read, the start alone is held."""
    limit = records.MAX_LINE_BYTES + 2
    while line := stream.readline(limit):
        rest = line
        while not rest.endswith(b"\n") and (rest := stream.readline(limit)):
            pass
        yield line


def _scope(owner: str | None) -> tuple[Scope, str | None]:
    """Read `role:cto`, `person:ada` or `customer:42`; nothing is the company."""
    if owner is None:
        return Scope.COMPANY, None
    word, _, name = owner.partition(":")
    if word not in ("role", "person", "customer") or not name.strip():
        raise InvalidInput(
            f"{owner!r} names nobody: write role:NAME, person:NAME or customer:NAME."
        )
    return Scope(word), name.strip()


def _moment(text: str | None) -> datetime | None:
    """Read a date or a time; one without a zone is UTC."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidInput(f"{text!r} is no date: write it as 2026-03-01.") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _show(
    items: Sequence[MemoryItem], user: str, now: datetime, *, as_json: bool, nothing: str
) -> None:
    if as_json:
        show_json([_entry(item, user, now) for item in items])
    else:
        say("\n".join(_line(item, user, now) for item in items) or nothing)


def _show_one(item: MemoryItem, user: str, now: datetime, *, as_json: bool) -> None:
    if as_json:
        show_json(_entry(item, user, now))
    else:
        say(_line(item, user, now))


def _entry(item: MemoryItem, user: str, now: datetime) -> dict[str, Any]:
    entry = records.record_of(item)
    entry["order"] = entry.pop("order_id")
    entry["age"] = age(item, now, reader=user)
    if isinstance(item, Recalled):
        entry["score"] = round(item.score, 6)
    return entry


def _line(item: MemoryItem, user: str, now: datetime) -> str:
    marks = [f"from {item.origin.value}", age(item, now, reader=user)]
    if item.scope is not Scope.COMPANY:
        marks.append(f"{item.scope.value} {item.scope_id}")
    if item.is_quarantined:
        marks.append("unconfirmed")
    if item.superseded_by is not None:
        marks.append(f"replaced by {item.superseded_by}")
    elif item.valid_until is not None:
        marks.append(f"until {item.valid_until:%Y-%m-%d}")
    text = " ".join(item.text.split())
    return f"{item.id}  {item.kind.value:10}  {', '.join(marks)}: {text}"
