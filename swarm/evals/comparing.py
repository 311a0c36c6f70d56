"""Set what a replay came to beside what was recorded, and name the first difference of each part."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from swarm.core.lane import lane_of
from swarm.core.message import OutboundKind
from swarm.core.order import OrderStatus
from swarm.evals.cassette import Cassette
from swarm.evals.digests import readable_charge, readable_usage, row_digest
from swarm.evals.lanes import Entry
from swarm.evals.stage import readable_effect
from swarm.ledger.book import FAILED, USED
from swarm.llm.cassette import Miss, difference

NOTHING = "(nothing)"


def calls(
    cassette: Cassette, rows: Iterable[Any], *, digest: Callable[[Any], str] = row_digest
) -> Iterator[Miss]:
    """Give the model calls that were counted, priced or noted otherwise."""
    now: dict[str, list[Any]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: (row.node, row.seq, row.attempt)):
        if row.state in (USED, FAILED):
            now[lane_of(row.order_id, row.node, row.seq)].append(row)
    then: dict[str, list[Entry]] = defaultdict(list)
    for entry in cassette.lane("model"):
        then[entry["lane_of"]].append(entry)
    for lane, entries in then.items():
        for index, (entry, row) in enumerate(zip(entries, now[lane], strict=False)):
            if found := _call(lane, index, entry, row, digest):
                yield found


def _call(
    lane: str, index: int, entry: Entry, row: Any, digest: Callable[[Any], str]
) -> Miss | None:
    # What was used first: a cost that follows from it is no difference of its own.
    used = difference(lane, index, {"usage": entry.get("usage")}, {"usage": readable_usage(row)})
    if used is not None:
        return used
    told = {
        "model": entry["model"],
        "role": entry["role"],
        "ended_at": entry["ended_at"],
        "latency_s": entry["latency_s"],
        "charge": entry["charge"],
    }
    got = {
        "model": row.answered_model or row.model,
        "role": row.role,
        "ended_at": row.ended_at if row.state == USED else entry["ended_at"],
        "latency_s": row.latency_s or 0.0,
        "charge": readable_charge(row),
    }
    found = difference(lane, index, told, got)
    if found is not None or entry["ledger_sha256"] == digest(row):
        return found
    # All that can be read is the same: the answer itself is not what was recorded.
    return Miss(lane, index, lane, "answer", entry["ledger_sha256"], digest(row))


def tools(cassette: Cassette, rows: Iterable[Mapping[str, Any]]) -> Iterator[Miss]:
    """Give the tool calls that were decided otherwise, came to something else, or are not there."""
    order_id = cassette.manifest.order["id"]
    now = {(r["node"], r["seq"], r["position"]): readable_effect(r) for r in rows}
    then = {(e["node"], e["seq"], e["position"]): readable_effect(e) for e in cassette.lane("tool")}
    for place in sorted({*now, *then}):
        node, seq, position = place
        lane = lane_of(order_id, node, seq)
        if place not in now:
            yield Miss(lane, position, lane, "tool", then[place]["tool"], NOTHING)
        elif place not in then:
            yield Miss(lane, position, "", "tool", NOTHING, now[place]["tool"])
        elif found := difference(lane, position, then[place], now[place]):
            yield found


def messages(cassette: Cassette, rows: Iterable[Any]) -> Iterator[Miss]:
    """Give the messages that say something else, are missing, or are new."""
    now = {
        row.dedupe_key: {"kind": row.kind, "text": row.body}
        for row in rows
        if row.kind != OutboundKind.PROGRESS.value
    }
    then = {e["key"]: {"kind": e["kind"], "text": e["text"]} for e in cassette.lane("message")}
    yield from _by_key("message", then, now)


def files(cassette: Cassette, now: Mapping[str, str]) -> Iterator[Miss]:
    """Give the files of the workspace that came out otherwise."""
    then = {e["path"]: {"sha256": e["sha256"]} for e in cassette.lane("file")}
    if cassette.manifest.status == OrderStatus.CANCELLED.value:
        # What a role was at when it was stopped is on no books, neither then nor now.
        now = {path: digest for path, digest in now.items() if path in then}
    yield from _by_key("file", then, {path: {"sha256": digest} for path, digest in now.items()})


def _by_key(what: str, then: Mapping[str, Entry], now: Mapping[str, Entry]) -> Iterator[Miss]:
    for key in sorted({*now, *then}):
        lane = f"{what} {key}"
        if key not in now:
            yield Miss(lane, 0, lane, what, "(recorded)", NOTHING)
        elif key not in then:
            yield Miss(lane, 0, "", what, NOTHING, "(new)")
        elif found := difference(lane, 0, then[key], now[key]):
            yield found
