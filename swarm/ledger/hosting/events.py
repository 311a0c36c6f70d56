"""Read what happened to rented things: made, switched off, resized, kept, deleted.

An event is a JSON object; a file of them is a list, an object with a list under `events`, or one
object per line. Other people's files name things differently, so several names are understood:

| what | names |
| --- | --- |
| when | `at`, `time`, `timestamp`, `date`, `ts`: ISO-8601, or seconds since 1970; without a zone, UTC |
| what happened | `event`, `action`, `what`, `type`: `created`, `on`, `off`, `rebooted`, `resized`, `attached`, `detached`, `kept`, `deleted`, `traffic`; also with the thing in it: `ip_kept`, `volume.created` |
| which thing | `resource`, `kind`: `server`, `ipv4`, `volume`, `snapshot`, `backup`, `traffic` |
| its name | `id`, `name`, `server`, `instance`, `ip`, `volume`; a file about one server needs none |
| which size | `server_type`, `instance_type`, `plan`, or `type` where that is not the event; `size_gb` |
| where | `location`, `zone`, `region`, `datacenter` |
| with it | on `created`: `ipv4: true`, `volume_gb: 10`, `volumes: [{"id": …, "size_gb": …}]` |
| what stays | on `deleted`: `ip_kept: true`, `volume_kept: true`; or events `ip_kept`, `volume_kept` |
| own price | `price_month`, `price_hour`, `currency`, `tax` (`net` or `gross`), `paid` |

Nothing is dropped: what cannot be used comes back with the reason, in one sentence.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from decimal import Decimal, InvalidOperation
from typing import Any, Literal

from swarm.core.registry import nearest
from swarm.core.text import shorten

SERVER, IPV4, VOLUME, TRAFFIC = "server", "ipv4", "volume", "traffic"
CREATED, ON, OFF, REBOOTED, RESIZED = "created", "on", "off", "rebooted", "resized"
ATTACHED, DETACHED, KEPT, DELETED = "attached", "detached", "kept", "deleted"

_VERBS = {
    CREATED: "create created creation order ordered provision provisioned launch launched add added "
    "allocate allocated reserve reserved enable enabled new buy bought",
    ON: "on power_on poweron powered_on start started boot booted running turned_on switched_on "
    "resume resumed up",
    OFF: "off power_off poweroff powered_off stop stopped shutdown shut_down halt halted turned_off "
    "switched_off suspend suspended down",
    REBOOTED: "reboot rebooted restart restarted reset",
    RESIZED: "resize resized rescale rescaled change_type type_changed upgrade upgraded downgrade "
    "downgraded scale scaled grow grown extended",
    ATTACHED: "attach attached assign assigned",
    DETACHED: "detach detached unassign unassigned",
    KEPT: "kept keep retain retained preserve preserved orphaned survives stays",
    DELETED: "delete deleted deletion destroy destroyed terminate terminated remove removed release "
    "released cancel cancelled disable disabled end ended",
    TRAFFIC: "traffic egress outgoing",
}
_KINDS = {
    SERVER: "server instance machine vm host node droplet",
    IPV4: "ipv4 ip primary_ip primary_ipv4 flexible_ip flexible_ipv4 public_ip public_ipv4",
    "floating_ip": "floating_ip floating_ipv4",
    "ipv6": "ipv6 primary_ipv6",
    VOLUME: "volume disk block_storage block_volume storage",
    "snapshot": "snapshot image",
    "backup": "backup backups",
    TRAFFIC: "traffic egress bandwidth",
}
VERBS = {word: verb for verb, words in _VERBS.items() for word in words.split()}
KINDS = {word: kind for kind, words in _KINDS.items() for word in words.split()}

_AT = ("at", "time", "timestamp", "date", "ts", "datetime", "when", "created_at", "occurred_at")
_EVENT = ("event", "action", "what", "event_type", "event_name", "verb", "op", "status", "type")
_KIND = ("resource", "resource_type", "resource_kind", "kind", "object")
_TYPE = (
    "server_type", "instance_type", "commercial_type", "machine_type", "new_type", "to_type", "to",
    "plan", "flavor", "flavour", "sku", "model", "volume_type", "storage_type", "storage", "type",
    "size",
)  # fmt: skip
_WHERE = ("location", "zone", "region", "datacenter", "dc")
_SIZE = ("size_gb", "gb", "size_gib", "volume_gb", "disk_gb", "new_size_gb", "size")
_PARENT = ("server", "server_id", "instance", "instance_id", "attached_to", "of", "parent")
_EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
_LARGEST = Decimal(10) ** 9
_SHOWN = 300


@dataclass(frozen=True, slots=True)
class OwnPrice:
    """A price that an event itself names: what was agreed when the thing was ordered."""

    monthly: Decimal | None
    hourly: Decimal | None
    currency: str
    tax: Literal["net", "gross"]
    is_paid: bool | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """Something that was ordered together with a server."""

    kind: str
    id: str | None = None
    type: str | None = None
    size_gb: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened to something rented."""

    line: int
    """Which event of the file it is, from 1."""
    at: datetime
    verb: str
    kind: str | None
    """None where the event does not say; then what is known under its name."""
    id: str | None
    parent: str | None = None
    """The server that an address or a volume belongs to."""
    provider: str | None = None
    type: str | None = None
    location: str | None = None
    size_gb: Decimal | None = None
    is_off: bool = False
    parts: tuple[Part, ...] = ()
    kept: frozenset[str] = frozenset()
    price: OwnPrice | None = None
    traffic_tb: Decimal | None = None
    raw: Mapping[str, Any] = field(default_factory=dict, compare=False)


@dataclass(frozen=True, slots=True)
class Refused:
    """An event that could not be used, and why."""

    line: int
    event: Any
    """As it was given, shortened where it is long."""
    reason: str
    may_cost: bool = True
    """False where it cannot have cost anything that the bill does not show."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a file held."""

    events: tuple[Event, ...]
    refused: tuple[Refused, ...] = ()
    notes: tuple[str, ...] = ()


class _Unfit(ValueError):
    """Say in one sentence why an event cannot be used."""


def read_events(text: str) -> Reading:
    """Read a file of events; see the head of this module for what is understood."""
    found: list[tuple[int, Any]] = []
    refused: list[Refused] = []
    document = _whole(text)
    if document is not None:
        found = list(enumerate(document, start=1))
    else:
        for line, words in enumerate(text.splitlines(), start=1):
            if not words.strip():
                continue
            try:
                found.append((line, _loads(words)))
            except ValueError as error:
                reason = f"line {line} is no JSON ({_brief(error)}): write one object per line"
                refused.append(Refused(line, shorten(words, _SHOWN), reason))
    reading = read_objects(found)
    return Reading(reading.events, (*refused, *reading.refused), reading.notes)


def read_objects(objects: Iterable[tuple[int, Any]]) -> Reading:
    """Read events that were parsed already, each with its line."""
    events: list[Event] = []
    refused: list[Refused] = []
    notes: list[str] = []
    for line, value in objects:
        try:
            events.append(_event(line, value, notes))
        except _Unfit as error:
            refused.append(Refused(line, _shown(value), str(error)))
    return Reading(tuple(events), tuple(refused), tuple(notes))


def _whole(text: str) -> list[Any] | None:
    """Return the events of one JSON document; None where it is not one."""
    try:
        document = _loads(text)
    except ValueError:
        return None
    if isinstance(document, dict):
        listed = document.get("events")
        return listed if isinstance(listed, list) else [document]
    return document if isinstance(document, list) else [document]


def _loads(text: str) -> Any:
    try:
        return json.loads(text, parse_float=Decimal)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _brief(error: Exception) -> str:
    return str(error).partition(": line")[0]


def _shown(value: Any) -> Any:
    text = json.dumps(value, default=str, ensure_ascii=False)
    return json.loads(text) if len(text) <= 4 * _SHOWN else shorten(text, _SHOWN)


def _event(line: int, value: Any, notes: list[str]) -> Event:
    if not isinstance(value, dict):
        raise _Unfit(f'event {line} is no JSON object: write {{"at": …, "event": "created", …}}')
    row = {str(key).strip().lower().replace("-", "_"): item for key, item in value.items()}
    verb, word_kind, verb_key = _verb(line, row)
    at = _moment(line, row, notes)
    named = _first(row, *_KIND)
    if named is None and verb_key != "type" and _word(row.get("type") or "") in KINDS:
        named = row.pop("type")
    kind = word_kind
    if named is not None:
        kind = KINDS.get(_word(named))
        if kind is None:
            raise _Unfit(
                f"event {line}: there is no kind of thing {named!r}{nearest(str(named), KINDS)}"
            )
    if verb == TRAFFIC:
        kind = TRAFFIC
    own, parent = _names(row, kind)
    return Event(
        line=line,
        at=at,
        verb=verb,
        kind=kind,
        id=own,
        parent=parent,
        provider=_text(row.get("provider")),
        type=_type(row, verb_key),
        location=_text(_first(row, *_WHERE)),
        size_gb=_amount(line, row, *_SIZE) if kind not in (None, SERVER, TRAFFIC) else None,
        is_off=_word(row.get("state") or row.get("power") or "") in ("off", "stopped", "archived"),
        parts=_parts(line, row) if kind in (None, SERVER) else (),
        kept=_kept(row),
        price=_price(line, row),
        traffic_tb=_traffic(line, row) if verb == TRAFFIC else None,
        raw=value,
    )


def _word(value: Any) -> str:
    text = str(value).strip().lower()
    for sign in "-. :/":
        text = text.replace(sign, "_")
    return text


def _verb(line: int, row: Mapping[str, Any]) -> tuple[str, str | None, str]:
    """Return what happened, the kind of thing if the word names it, and the key it stood under."""
    seen: str | None = None
    for key in _EVENT:
        value = row.get(key)
        if not isinstance(value, str) or not value.strip():
            continue
        found = _split(_word(value))
        if found is not None:
            return (*found, key)
        seen = seen or value
    if seen is None:
        raise _Unfit(
            f'event {line} does not say what happened: add "event": "created" or another word'
        )
    raise _Unfit(f"event {line}: {seen!r} is no event known here{nearest(_word(seen), _VERBS)}")


def _split(word: str) -> tuple[str, str | None] | None:
    """Take `volume_created` or `delete_ip` apart."""
    if word in VERBS:
        return VERBS[word], None
    pieces = word.split("_")
    for cut in range(1, len(pieces)):
        head, tail = "_".join(pieces[:cut]), "_".join(pieces[cut:])
        if head in KINDS and tail in VERBS:
            return VERBS[tail], KINDS[head]
        if head in VERBS and tail in KINDS:
            return VERBS[head], KINDS[tail]
        if head in KINDS and tail in KINDS:
            continue
    return None


def _moment(line: int, row: Mapping[str, Any], notes: list[str]) -> datetime:
    value = _first(row, *_AT)
    if value is None:
        raise _Unfit(f'event {line} does not say when: add "at": "2026-05-01T08:00:00Z"')
    try:
        moment = _time(value)
    except (ValueError, OverflowError, OSError, InvalidOperation):
        raise _Unfit(
            f"event {line}: {shorten(str(value), 60)!r} is no time; write it like 2026-05-01T08:00:00Z"
        ) from None
    if moment.tzinfo is None:
        notes.append(f"event {line}: its time has no zone and is read as UTC")
        moment = moment.replace(tzinfo=UTC)
    try:
        moment = moment.astimezone(UTC)
    except OverflowError:
        raise _Unfit(f"event {line}: its time is out of every range") from None
    if moment < _EARLIEST:
        raise _Unfit(
            f"event {line} is dated {moment:%Y-%m-%d}, before any cloud: the clock of whoever wrote it "
            "was not set; correct the time"
        )
    return moment


def _time(value: Any) -> datetime:
    if isinstance(value, bool):
        raise ValueError("no time")
    if isinstance(value, int | Decimal):
        seconds = Decimal(value)
        if seconds > 10**11:
            seconds /= 1000  # Milliseconds, as many systems write them.
        return datetime.fromtimestamp(float(seconds), UTC)
    text = str(value).strip()
    if text.replace(".", "", 1).isdigit() and len(text) > 8:
        return _time(Decimal(text))
    if len(text) == 10:
        return datetime.combine(date.fromisoformat(text), time(0), UTC)
    return datetime.fromisoformat(text)


def _names(row: Mapping[str, Any], kind: str | None) -> tuple[str | None, str | None]:
    """Return the thing's own name and, for what hangs on a server, the server's."""
    if kind in (None, SERVER, "backup", TRAFFIC):
        return _text(_first(row, "id", *_PARENT, "resource_id", "name")), None
    own = {
        IPV4: ("ip_id", "ipv4_id", "ip", "ipv4", "address"),
        VOLUME: ("volume_id", "volume", "disk_id"),
        "snapshot": ("snapshot_id", "snapshot"),
    }.get(kind, ())
    found = next(
        (row[k] for k in own if isinstance(row.get(k), str | int) and row[k] is not True), None
    )
    return _text(
        found if found not in (None, False) else _first(row, "id", "resource_id", "name")
    ), _text(_first(row, *_PARENT))


def _type(row: Mapping[str, Any], verb_key: str) -> str | None:
    for key in _TYPE:
        value = row.get(key)
        is_number = isinstance(value, str) and value.strip().replace(".", "", 1).isdigit()
        if key != verb_key and isinstance(value, str) and value.strip() and not is_number:
            return value.strip()
    return None


def _parts(line: int, row: Mapping[str, Any]) -> tuple[Part, ...]:
    found: list[Part] = []
    address = next(
        (row[k] for k in ("ipv4", "ip", "public_ipv4", "primary_ipv4") if row.get(k)), None
    )
    if address:
        name = address.get("id") if isinstance(address, dict) else address
        found.append(Part(IPV4, None if name is True else _text(name)))
    listed = row.get("volumes")
    for item in listed if isinstance(listed, list) else []:
        if not isinstance(item, dict):
            raise _Unfit(f'event {line}: write each of `volumes` as {{"id": …, "size_gb": …}}')
        size = _amount(line, item, *_SIZE)
        found.append(Part(VOLUME, _text(item.get("id")), _text(item.get("type")), size))
    for key, kind in (("volume_gb", None), ("block_gb", "block"), ("local_gb", "local")):
        size = _amount(line, row, key)
        if size:
            found.append(Part(VOLUME, None, kind, size))
    if row.get("backups") or row.get("backup"):
        found.append(Part("backup"))
    return tuple(found)


def _kept(row: Mapping[str, Any]) -> frozenset[str]:
    names = row.get("kept") or row.get("keep") or ()
    words = [names] if isinstance(names, str) else names if isinstance(names, list) else []
    found = {KINDS.get(_word(word), "") for word in words}
    for kind, keys in (
        (IPV4, ("ip_kept", "keep_ip", "ipv4_kept", "keep_ipv4")),
        (VOLUME, ("volume_kept", "keep_volume", "volumes_kept", "keep_volumes")),
    ):
        if any(row.get(key) for key in keys):
            found.add(kind)
    return frozenset(found - {""})


def _price(line: int, row: Mapping[str, Any]) -> OwnPrice | None:
    monthly = _amount(
        line, row, "price_month", "price_monthly", "monthly", "monthly_price", "per_month"
    )
    hourly = _amount(line, row, "price_hour", "price_hourly", "hourly", "hourly_price", "per_hour")
    if monthly is None and hourly is None:
        return None
    currency = str(row.get("currency") or "EUR").upper()
    if len(currency) != 3 or not currency.isalpha():
        raise _Unfit(f"event {line}: {currency!r} is no currency; write three letters, such as EUR")
    tax = _word(row.get("tax") or row.get("vat") or "net")
    if tax not in ("net", "gross"):
        raise _Unfit(f"event {line}: `tax` is `net` or `gross`, not {tax!r}")
    said = row.get("paid")
    is_paid = said if isinstance(said, bool) else None
    return OwnPrice(monthly, hourly, currency, "net" if tax == "net" else "gross", is_paid)


def _traffic(line: int, row: Mapping[str, Any]) -> Decimal:
    for unit, keys in (
        (Decimal(1), ("tb", "traffic_tb", "out_tb", "outgoing_tb")),
        (Decimal("1e-3"), ("gb", "traffic_gb", "out_gb", "outgoing_gb")),
        (Decimal("1e-12"), ("bytes", "out_bytes", "outgoing_bytes")),
    ):
        found = _amount(line, row, *keys, most=_LARGEST / unit)
        if found is not None:
            return found * unit
    raise _Unfit(
        f'event {line} is about traffic and does not say how much: add "tb", "gb" or "bytes"'
    )


def _amount(
    line: int, row: Mapping[str, Any], *keys: str, most: Decimal = _LARGEST
) -> Decimal | None:
    for key in keys:
        value = row.get(key)
        if value is None or isinstance(value, bool):
            continue
        try:
            number = Decimal(str(value).strip())
        except InvalidOperation:
            if key == "size":
                continue  # `size` is a machine's type in some files.
            raise _Unfit(
                f"event {line}: {key} is {shorten(str(value), 40)!r}, which is no number"
            ) from None
        if not number.is_finite() or number < 0 or number > most:
            raise _Unfit(
                f"event {line}: {key} is {shorten(str(value), 40)}; it must be at least 0 and finite"
            )
        return number
    return None


def _first(row: Mapping[str, Any], *keys: str) -> Any:
    for key in keys:
        value = row.get(key)
        if value is not None and value != "" and not isinstance(value, dict | list | bool):
            return value
    return None


def _text(value: Any) -> str | None:
    text = "" if value is None or isinstance(value, bool | dict | list) else str(value).strip()
    return text or None
