"""Turn a finished order into a cassette, from what its company's database and folder hold."""

import hashlib
import json
import os
import secrets as random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import sqlalchemy as sa
from pydantic import BaseModel, SecretStr
from sqlalchemy.engine import Connection

from swarm import __version__
from swarm.app import App
from swarm.channels.bound import is_for_customers
from swarm.core.clock import SystemClock, iso, parse_iso
from swarm.core.errors import Conflict, InvalidInput
from swarm.core.lane import lane_of
from swarm.core.message import OutboundKind
from swarm.core.money import plain
from swarm.core.order import OrderState, OrderStatus
from swarm.evals.cassette import FORMAT, Cassette, Entry, Manifest, Provenance, counts_of
from swarm.evals.chats import Chats, read_chats
from swarm.evals.digests import (
    ledger_digest,
    readable_charge,
    readable_usage,
    request_key,
    row_digest,
)
from swarm.evals.excerpts import offered_mcp, prices_of
from swarm.evals.manifest import ModelFacts, ReasonFacts
from swarm.evals.packing import packed
from swarm.evals.secrets import Secrets
from swarm.evals.served import Served, check_kept, read_served
from swarm.evals.shelves import own_skills
from swarm.evals.spoken import hearing_models, is_hearing
from swarm.ledger import budget
from swarm.ledger.attention import ActionKind
from swarm.ledger.baseline.frozen import FROZEN, StoredBaseline, stored
from swarm.ledger.book import FAILED, USED, recorded_answer
from swarm.ledger.calls import requests_of
from swarm.runtime import records
from swarm.runtime.recalling import BEFORE
from swarm.store.tables import approvals, asks, audit, effects, founder_actions, ledger, outbox
from swarm.tools.workspace import listing, reading

MAX_FILE_BYTES = 10 * 1024 * 1024
_SECRET_SECTIONS = (
    "telegram", "slack", "whatsapp", "database_url", "channels", "mcp", "people", "customers",
    "monitoring", "voice", "quiet_hours",
)  # fmt: skip
"""Settings that say how this company is reached; a replay reaches nobody."""


def record(
    app: App,
    order_id: str,
    *,
    provenance: Provenance | None = None,
    known_secrets: Sequence[tuple[str, str]] = (),
    before: Manifest | None = None,
    given: Mapping[str, bytes] = MappingProxyType({}),
    salt: str = "",
) -> Cassette:
    """Record an order that stands still: over, parked, or waiting for somebody.

    What waits is recorded up to there, and its replay waits there too.

    Args:
        app: Where it was worked.
        order_id: Which.
        provenance: Where the models' answers came from; None tells it by the models' names.
        known_secrets: By name; hidden where a person reads, refused where a replay would.
        before: Of an older recording of which this one is a replay: its settings and prices stay.
        given: Files that lay in its workspace before it began, by path.
        salt: Of an older recording, so that equal requests keep their keys; else a new one.

    Raises:
        NotFound: No such order.
        Conflict: It is still being worked on.
        InvalidInput: A secret stands where replacing it would change what is replayed, or a
            customer's conversation is kept no more.
    """
    found = app.store.read(lambda c: _read(c, order_id, app))
    salt = salt or random.token_hex(16)
    guard = Secrets(known_secrets)
    entries = [
        *_model_lane(found, salt, guard),
        *_tool_lane(found),
        *_founder_lane(found),
        *(found.served.entries if found.served else _recall_lane(found)),
        *_baseline_lane(found),
        *found.chats.heard,
        *({"lane": "given", "path": path, **packed(data)} for path, data in given.items()),
        *_message_lane(found),
        # A customer's files are in no recording: what Support was told of them is in the words.
        *(() if found.served else _file_lane(app, found)),
        *_change_lane(app, found),
    ]
    _refuse_secrets(entries, guard)
    manifest = _manifest(app, found, salt, provenance, before)
    manifest.lanes = counts_of(entries)
    if found.order.reason:
        manifest.reason = ReasonFacts(**guard.hidden_in(json.loads(found.order.reason)))
    _refuse_secrets([manifest.model_dump(mode="json")], guard, first=1)
    return Cassette(manifest, tuple(entries))


@dataclass(frozen=True, slots=True)
class _Found:
    """All rows of one order."""

    order: Any
    state: OrderState
    calls: list[Any]
    requests: dict[int, Entry]
    """What each call asked, by its row's id."""
    effects: list[Any]
    asks: list[Any]
    approvals: dict[str, Any]
    """By the ask."""
    outbox: list[Any]
    baselines: list[StoredBaseline]
    actions: list[Any]
    """What people did, oldest first."""
    budgets: list[Entry]
    """Changes of its budget, oldest first, as the audit chain has them."""
    chats: Chats
    served: Served | None = None
    """Of a customer's question: then all of the above is without their name."""


def _read(connection: Connection, order_id: str, app: App) -> _Found:
    order = records.find(connection, order_id)
    if OrderStatus(order.status).is_moving:
        raise Conflict(f"{order_id} is {order.status}: record it once it stands still.")
    state = records.read_state(order.state)
    check_kept(order_id, state)

    def rows(table: sa.Table, *by: Any) -> list[Any]:
        query = sa.select(table).where(table.c.order_id == order_id).order_by(*by)
        return list(connection.execute(query))

    calls = rows(ledger, ledger.c.id)
    found = _Found(
        order=order,
        state=state,
        calls=calls,
        requests=requests_of(calls),
        effects=rows(effects, effects.c.node, effects.c.seq, effects.c.position),
        asks=rows(asks, asks.c.created_at, asks.c.node, asks.c.seq),
        approvals={row.ask_id: row for row in rows(approvals, approvals.c.created_at)},
        outbox=rows(outbox, outbox.c.id),
        actions=rows(founder_actions, founder_actions.c.at, founder_actions.c.id),
        baselines=[row for row in stored(connection, order_id) if row.kind == FROZEN],
        budgets=[
            {"at": row.at, "by": row.actor, **json.loads(row.body)}
            for row in rows(audit, audit.c.seq)
            if row.kind == "budget"
        ],
        chats=read_chats(
            connection, order, state.text, home=app.home, voice=app.settings.voice.model
        ),
    )
    if not is_for_customers(order.channel):
        return found
    served = read_served(connection, app, order, state, calls, found.requests)
    same = ("order", "state", "calls", "requests", "outbox", "chats")
    return replace(found, served=served, **{name: getattr(served, name) for name in same})


def _model_lane(found: _Found, salt: str, guard: Secrets) -> Iterator[Entry]:
    kept = [row for row in found.calls if row.state in (USED, FAILED)]
    for row in sorted(kept, key=lambda row: (row.ended_at, row.id)):
        entry: Entry = {
            "lane": "model",
            "lane_of": lane_of(row.order_id, row.node, row.seq),
            "role": row.role,
            "key": request_key(row.digest, salt),
            "request": guard.hidden_in(found.requests[row.id]),
            "model": row.answered_model or row.model,
            "started_at": row.started_at,
            "ended_at": row.ended_at,
            "latency_s": row.latency_s or 0.0,
            "charge": readable_charge(row),
            "ledger_sha256": row_digest(row),
        }
        if row.state == FAILED:
            owed = row.cost_status == "unpriced"
            entry["error"] = {"kind": row.error_kind, "text": row.error_text, "is_owed": owed}
        else:
            answer = recorded_answer(row)
            entry["answer"] = answer.body
            entry["raw_usage"] = answer.raw_usage
            entry["usage"] = readable_usage(row)
        yield entry


def _tool_lane(found: _Found) -> Iterator[Entry]:
    for row in found.effects:
        if row.seq == BEFORE:
            continue
        yield {
            "lane": "tool",
            "node": row.node,
            "seq": row.seq,
            "position": row.position,
            "tool": row.tool,
            "arguments": row.arguments,
            "decision": row.decision,
            "rule": row.rule,
            "state": row.state,
            "result": json.loads(row.result),
        }


def _recall_lane(found: _Found) -> Iterator[Entry]:
    state = found.state
    yield {
        "lane": "recall",
        "node": "frame",
        "lines": list(state.memories),
        "ids": list(state.recalled),
        "origins": [origin.value for origin in state.mark.origins],
    }
    for row in found.effects:
        if row.seq == BEFORE:
            yield {"lane": "recall", "node": row.node, **json.loads(row.result)}


def _founder_lane(found: _Found) -> Iterator[Entry]:
    """Give what people said elsewhere than on a channel, in the order in which they said it."""
    in_chat = {
        ask_id
        for action in found.actions
        if found.chats.covers(action)
        for ask_id in json.loads(action.asks)
        if action.kind != ActionKind.SHOWN.value
    }
    words = [
        {
            "act": row.kind,
            "node": row.node,
            "seq": row.seq,
            "answer": row.answer,
            "by": row.answered_by,
            "shown_at": row.shown_at,
            "at": row.answered_at,
            **_signature(found.approvals.get(row.id)),
        }
        for row in found.asks
        if row.state == "answered" and row.id not in in_chat
    ]
    words += _acts(found)
    for word in sorted(words, key=lambda word: word["at"] or "~"):
        yield {"lane": "founder", **word}


def _acts(found: _Found) -> Iterator[Entry]:
    """Give the words that answered no ask."""
    reasons = _reworks(found)
    limits = _limits(found)
    # Without its own row the time of a correction is not known; it stood at the next delivery.
    reworked = [row for row in found.actions if row.kind == ActionKind.REWORK.value]
    for number, reason in enumerate(reasons):
        row = reworked[number] if number < len(reworked) else None
        if row is None or not found.chats.covers(row):
            by = {"by": row.who.partition(":")[2] or row.who} if row else {}
            yield {"act": "rework", "reason": reason, "at": row.at if row else None, **by}
    for row in found.actions:
        if found.chats.covers(row):
            continue
        if row.kind == ActionKind.RESUMED.value:
            yield {"act": "resume", "by": row.who, "at": row.at}
        elif row.kind == ActionKind.CANCELLED.value:
            yield {"act": "cancel", "by": _name(found, row.who), "at": row.at}
        elif row.id in limits:
            yield {"act": "budget", "by": row.who, "at": row.at, "limit": limits[row.id]}
        elif row.kind == ActionKind.ACCEPTED.value:
            order = found.order
            sign = order.signed_off_by or ""
            yield {"act": "accept", "by": order.accepted_by, "sign": sign, "at": row.at}
    yield from found.chats.pauses


def _limits(found: _Found) -> dict[int, str | None]:
    """Return the new limits of its budget by the rows that tell of the changes.

    Of changes that an older version made only the time is known.
    """
    changes = [row.id for row in found.actions if row.kind == ActionKind.BUDGET.value]
    known = changes[len(changes) - len(found.budgets) :]
    return {id: told["limit"] for id, told in zip(known, found.budgets, strict=False)}


def _name(found: _Found, who: str) -> str:
    """Return the name by which an order was cancelled, which its reason says."""
    text = str(json.loads(found.order.reason or "{}").get("text", ""))
    said = text.removeprefix("Cancelled by ").removesuffix(".")
    return said if said != text else who.partition(":")[2] or who


def _signature(row: Any) -> Entry:
    if row is None:
        return {}
    return {"signed": row.state in ("signed", "used"), "reason": row.reason, "who": row.approver}


def _reworks(found: _Found) -> list[str]:
    """Return the corrections that were no refusals of a plan: those of delivered results."""
    refused = {
        row.answer.removeprefix("rejected: ")
        for row in found.asks
        if row.kind == "approval" and (row.answer or "").startswith("rejected: ")
    }
    return [text for text in found.state.corrections if text not in refused]


def _baseline_lane(found: _Found) -> Iterator[Entry]:
    for row in found.baselines:
        body = row.baseline.model_dump(mode="json")
        yield {"lane": "baseline", "plan_revision": row.plan_revision, "body": body}


def _message_lane(found: _Found) -> Iterator[Entry]:
    for row in found.outbox:
        if not found.chats.explains(row):
            continue
        entry = {"lane": "message", "key": row.dedupe_key, "kind": row.kind, "text": row.body}
        sent = {"at": row.created_at, "sent_at": row.sent_at, "sent_id": row.sent_id}
        yield entry | (sent if row.sent_id else {})


def _file_lane(app: App, found: _Found) -> Iterator[Entry]:
    workspace = app.home / "workspace" / found.order.id
    for name, size in listing(workspace).files:
        if size > MAX_FILE_BYTES or _is_lost(workspace / name, found):
            continue
        with reading(workspace, name) as descriptor, os.fdopen(os.dup(descriptor), "rb") as stream:
            yield {"lane": "file", "path": name, **packed(stream.read(MAX_FILE_BYTES))}


def _is_lost(path: Path, found: _Found) -> bool:
    """Say whether a file came of a tool that was at work, and lost, when its order was cancelled.

    Nothing on the books tells of it: it is younger than the last call that stands there.
    """
    if found.order.status != OrderStatus.CANCELLED.value:
        return False
    booked = [parse_iso(row.at).timestamp() for row in found.effects]
    return path.lstat().st_mtime > max(booked, default=0.0)


def _change_lane(app: App, found: _Found) -> Iterator[Entry]:
    """Give the files that commands changed, as each command left them."""
    kept = app.home / "kept" / found.order.id
    for row in found.effects:
        changed = json.loads(row.result).get("changed") if row.seq != BEFORE else None
        for path, digest in (changed or {}).items():
            entry: Entry = {"lane": "change", "node": row.node, "seq": row.seq}
            entry |= {"position": row.position, "path": path, "sha256": digest}
            copy = kept / str(digest)
            yield entry | (packed(copy.read_bytes()) if digest and copy.is_file() else {})


def _refuse_secrets(entries: Sequence[Entry], guard: Secrets, *, first: int = 2) -> None:
    for number, entry in enumerate(entries, start=first):
        if finds := guard.found_in(entry, f"line {number}, lane {entry['lane']}"):
            raise InvalidInput(
                f"Not recorded: {finds[0].what} stands in {finds[0].where}, where hiding it would "
                "change what is replayed. Order it again without the secret in its texts or files."
            )


def _manifest(
    app: App,
    found: _Found,
    salt: str,
    provenance: Provenance | None,
    before: Manifest | None,
) -> Manifest:
    # An order that was refused before its first call was refused for the company's own model.
    asked = {row.model for row in found.calls if not is_hearing(row.node)}
    models = sorted(asked or {app.choice.model})
    order = found.order
    served = {"customers": found.served.settings} if found.served else {}
    return Manifest(
        format=FORMAT,
        swarm=__version__,
        recorded_at=iso(SystemClock().now()),
        provenance=provenance or _provenance(models),
        order={
            name: getattr(order, name)
            for name in (
                "id",
                "created_at",
                "channel",
                "account",
                "update_id",
                "chat_id",
                "thread_id",
                "sender_id",
                "is_auto_signed",
                "origin",
                "customer",
                "delivered_at",
            )
        }
        | {"text": found.state.text, "budget": _budget(app, found)},
        settings=before.settings if before else plain_settings(app) | served,
        roles=_own_roles(app.home / "roles"),
        roles_sha256=roles_digest(app),
        prices=before.prices if before else app.prices.id,
        books=prices_of(app, found.calls, before.books if before else ()),
        mcp=before.mcp if before else offered_mcp(app, found.requests.values()),
        asks={f"{row.node} {row.seq}": row.id for row in found.asks},
        customer=found.served.facts if found.served else None,
        people=list(found.chats.people),
        skills=before.skills if before else own_skills(app),
        models={name: _model(app, name) for name in models} | hearing_models(app, found.calls),
        salt=salt,
        status=order.status,
        ledger_sha256=ledger_digest(found.calls),
        dropped=_dropped(found),
    )


def _budget(app: App, found: _Found) -> str | None:
    """Return the limit that the order began with, which a plan's prompt may name."""
    if found.budgets:
        first: str | None = found.budgets[0]["before"]
        return first
    scope = budget.order_scope(found.order.id)
    known = app.store.read(lambda c: budget.find(c, scope))
    return None if known is None or known.limit is None else plain(known.limit)


def _provenance(models: Sequence[str]) -> Provenance:
    if models and all(model.startswith("local/") for model in models):
        return Provenance(kind="embedded", by=models[0])
    return Provenance(kind="recorded", by=", ".join({m.partition("/")[0]: 0 for m in models}))


def _model(app: App, name: str) -> ModelFacts:
    access = app.access(name)
    known = access.llm.capabilities(name)
    facts = {field: getattr(known, field) for field in known.__dataclass_fields__}
    return ModelFacts(is_own_hardware=access.is_own_hardware, **facts)


def _dropped(found: _Found) -> list[str]:
    cut = [row for row in found.calls if row.state not in (USED, FAILED)]
    dropped = [f"{len(cut)} model calls that were cut off or overtaken"] if cut else []
    changes = sum(row.kind == ActionKind.BUDGET.value for row in found.actions)
    if changes > len(found.budgets):
        dropped.append("a change of its budget: a replay has the last limit from the beginning")
    silent = [row for row in found.outbox if not found.chats.explains(row)]
    shown = sum(row.kind == OutboundKind.PROGRESS.value for row in silent)
    if shown:
        dropped.append(f"{shown} messages of how work went on: they follow the seconds of the day")
    if len(silent) > shown:
        dropped.append(f"{len(silent) - shown} replies to what is not recorded")
    return [*dropped, *found.chats.dropped]


def plain_settings(app: App) -> Entry:
    """Return the settings without secrets and without what says how the company is reached."""
    document: Entry = json.loads(app.settings.model_dump_json())
    document = {key: value for key, value in document.items() if key not in _SECRET_SECTIONS}
    document["llm"] = {**document["llm"], "model": app.choice.model, "api_base": None}
    return _without_secrets(app.settings, document)


def _without_secrets(model: BaseModel, document: Entry) -> Entry:
    kept = {}
    for name, value in document.items():
        field = getattr(model, name)
        if isinstance(field, SecretStr):
            continue
        kept[name] = _without_secrets(field, value) if isinstance(field, BaseModel) else value
    return kept


def roles_digest(app: App) -> str:
    """Return the SHA-256 of all roles in force."""
    roles = sorted((role.name, role.prompt, sorted(role.tools)) for role in app.org.roles.values())
    return hashlib.sha256(json.dumps(roles, ensure_ascii=False).encode()).hexdigest()


def _own_roles(folder: Path) -> dict[str, str]:
    files = sorted(folder.glob("*.md")) if folder.is_dir() else []
    return {file.stem: file.read_text(encoding="utf-8") for file in files}
