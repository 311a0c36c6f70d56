"""What happened in an order, step by step, from its rows or from a cassette of it."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any

from swarm.core.money import from_pico, plain
from swarm.core.text import shorten
from swarm.evals.authored import place_of
from swarm.evals.cassette import Cassette, Entry
from swarm.evals.evidence import OrderEvidence, Row

SHOWN = 400
"""Signs of a text that a step shows."""


@dataclass(frozen=True, slots=True)
class Step:
    """One model call, tool call, question or word of a person."""

    at: str
    """When it ended, UTC ISO-8601; empty where nobody noted it."""
    kind: str
    """`model`, `tool`, `asked`, `person`."""
    place: str
    """What the role was doing: `plan`, `t1 work`, `t1 review`."""
    node: str
    seq: int
    who: str
    what: str
    """In a few words: the decision, the tool, the act."""
    text: str
    """The beginning of what was said or came back."""
    digest: str
    """Of all that was said or came back, to compare two runs."""
    fault: str = ""
    """How it went wrong, as a stable word; empty where it did not."""
    rule: str = ""
    """Of a tool call: the policy's decision and its reason."""
    latency_s: float = 0.0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: str | None = None
    """None where it is not known; never 0 for unknown."""
    currency: str | None = None

    @property
    def key(self) -> str:
        """Name the step among those of its order."""
        return f"{self.node} {self.seq} {self.kind} {self.what if self.kind == 'tool' else ''}"

    def as_document(self) -> dict[str, Any]:
        """Return it as programs read it."""
        return asdict(self)


def steps_of(order: OrderEvidence) -> list[Step]:
    """Return the steps of an order, in the order in which they ended."""
    roles = {(row["node"], row["seq"]): row["role"] for row in order.calls}
    steps = [
        *(_model_row(row) for row in order.calls),
        *(_tool(row, row["result"], roles) for row in order.effects),
        *_asks(order),
        *_actions(order),
    ]
    return in_order(steps)


def steps_of_cassette(cassette: Cassette) -> list[Step]:
    """Return the steps that a cassette recorded."""
    model = cassette.lane("model")
    roles = {tuple(_lane(e)): str(e.get("role") or "") for e in model}
    ended = {tuple(_lane(e)): str(e["ended_at"]) for e in model}
    steps = [_model_entry(entry) for entry in model]
    for entry in cassette.lane("tool"):
        at = ended.get((entry["node"], entry["seq"]), "")
        steps.append(_tool({**entry, "at": at}, entry["result"], roles))
    steps += [_word(entry) for entry in cassette.lane("founder")]
    steps += [_heard(entry) for entry in cassette.lane("inbound")]
    return in_order(steps)


def in_order(steps: Iterable[Step]) -> list[Step]:
    """Sort steps by time; at one moment the model speaks before its tools answer."""
    rank = {"model": 0, "tool": 1, "asked": 2, "person": 3}
    return sorted(steps, key=lambda s: (s.at or "~", rank.get(s.kind, 4), s.node, s.seq))


def _lane(entry: Entry) -> tuple[str, int]:
    _, _, rest = str(entry["lane_of"]).partition(" ")
    node, _, seq = rest.rpartition(" ")
    return node, int(seq) if seq.lstrip("-").isdigit() else 0


def _model_row(row: Row) -> Step:
    is_known = row["cost_status"] != "unpriced" and row["state"] == "used"
    body = json.loads(row["answer"]) if row["answer"] else None
    fault = ""
    if row["state"] != "used":
        fault = str(row["error_kind"] or row["state"])
    return _model(
        node=row["node"],
        seq=row["seq"],
        role=row["role"],
        at=row["ended_at"] or row["started_at"],
        body=body,
        fault=fault,
        error=row["error_text"] or "",
        latency_s=row["latency_s"] or 0.0,
        tokens=(_sum(row, "input", "cache_read", "cache_write"), row["output_tokens"] or 0),
        cost=plain(from_pico(row["cost_pico"])) if is_known else None,
        currency=row["currency"],
    )


def _sum(row: Mapping[str, Any], *names: str) -> int:
    return sum(int(row.get(f"{name}_tokens") or 0) for name in names)


def _model_entry(entry: Entry) -> Step:
    node, seq = _lane(entry)
    usage = entry.get("usage") or {}
    error = entry.get("error") or {}
    charge = entry.get("charge") or {}
    is_known = bool(charge) and charge.get("status") != "unpriced" and not error
    return _model(
        node=node,
        seq=seq,
        role=str(entry.get("role") or ""),
        at=entry["ended_at"],
        body=entry.get("answer"),
        fault=str(error.get("kind") or "") if error else "",
        error=str(error.get("text") or ""),
        latency_s=float(entry["latency_s"]),
        tokens=(_sum(usage, "input", "cache_read", "cache_write"), _sum(usage, "output")),
        cost=plain(Decimal(charge["cost"])) if is_known else None,
        currency=charge.get("currency"),
    )


def _model(
    *,
    node: str,
    seq: int,
    role: str,
    at: str,
    body: Any,
    fault: str,
    error: str,
    latency_s: float,
    tokens: tuple[int, int],
    cost: str | None,
    currency: str | None,
) -> Step:
    text, what, own_fault = read_body(body) if body is not None else (error, "no answer", fault)
    return Step(
        at=at,
        kind="model",
        place=place_of(node),
        node=node,
        seq=seq,
        who=role,
        what=what,
        text=shorten(text, SHOWN),
        digest=_digest(text),
        fault=fault or own_fault,
        latency_s=latency_s,
        input_tokens=tokens[0],
        output_tokens=tokens[1],
        cost=cost,
        currency=currency if cost is not None else None,
    )


def read_body(body: Any) -> tuple[str, str, str]:
    """Return what an answer says, what it is in a few words, and how it is at fault."""
    choices = body.get("choices") if isinstance(body, dict) else None
    choice = choices[0] if isinstance(choices, list) and choices else {}
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(message, dict):
        return json.dumps(body, ensure_ascii=False)[:SHOWN], "no message", "malformed"
    if message.get("refusal"):
        return str(message["refusal"]), "refuses", "refusal"
    if choice.get("finish_reason") in ("length", "max_tokens"):
        return str(message.get("content") or ""), "cut off", "length"
    calls = message.get("tool_calls") or []
    if calls:
        names = [str((call.get("function") or {}).get("name", "?")) for call in calls]
        return (
            json.dumps(calls, sort_keys=True, ensure_ascii=False),
            f"calls {', '.join(names)}",
            "",
        )
    content = message.get("content")
    text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
    return text, "decides" if text.lstrip().startswith("{") else "says", ""


def _tool(row: Mapping[str, Any], result: Mapping[str, Any], roles: Mapping[Any, str]) -> Step:
    content = str(result.get("content") or "")
    fault = ""
    if row["decision"] == "deny":
        fault = "denied"
    elif result.get("is_fault"):
        fault = "tool_fault"
    elif row.get("state") in ("unknown", "started"):
        fault = "unknown_outcome"
    arguments = row["arguments"]
    given = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    return Step(
        at=str(row.get("at") or ""),
        kind="tool",
        place=place_of(str(row["node"])),
        node=str(row["node"]),
        seq=int(row["seq"]),
        who=roles.get((row["node"], row["seq"]), ""),
        what=str(row["tool"]),
        text=shorten(f"{given} → {content}", SHOWN),
        digest=_digest(f"{given}\n{content}"),
        fault=fault,
        rule=f"{row['decision']}: {row['rule']}",
    )


def _asks(order: OrderEvidence) -> Iterator[Step]:
    signed = {row["ask_id"]: row for row in order.approvals}
    for row in order.asks:
        yield _said(row["created_at"], "asked", row, row["asked_by"], row["kind"], row["text"])
        if row["state"] != "answered":
            continue
        answer = str(row["answer"] or "")
        is_refused = answer.startswith("rejected: ") or (
            row["id"] in signed and signed[row["id"]]["state"] == "refused"
        )
        fault = "refused" if is_refused else ""
        who = str(row["answered_by"] or "")
        yield _said(row["answered_at"] or "", "person", row, who, "answers", answer, fault)


def _actions(order: OrderEvidence) -> Iterator[Step]:
    """Give the acts that answer no question: sending back, accepting, cancelling, going on."""
    words = {"rework": "sends it back", "accepted": "accepts", "cancelled": "cancels"}
    words |= {"resumed": "lets it go on", "budget": "sets a budget"}
    for row in order.actions:
        kind = str(row["kind"])
        if kind in words:
            place = {"node": "", "seq": 0}
            fault = _ACTS_AT_FAULT.get(kind, "")
            yield _said(row["at"], "person", place, row["who"], words[kind], "", fault)


_ACTS_AT_FAULT = {"rework": "sent_back", "cancelled": "cancelled", "cancel": "cancelled"}


def _said(
    at: str, kind: str, row: Mapping[str, Any], who: str, what: str, text: str, fault: str = ""
) -> Step:
    node = str(row["node"] or "")
    return Step(
        at=at,
        kind=kind,
        place=place_of(node) if node else "",
        node=node,
        seq=int(row["seq"] or 0),
        who=who,
        what=what,
        text=shorten(text, SHOWN),
        digest=_digest(text),
        fault=fault,
    )


def _word(entry: Entry) -> Step:
    answer = str(entry.get("answer") or entry.get("reason") or "")
    is_refused = answer.startswith("rejected: ") or entry.get("signed") is False
    fault = "refused" if is_refused else _ACTS_AT_FAULT.get(entry["act"], "")
    place = {"node": entry.get("node") or "", "seq": entry.get("seq") or 0}
    who = str(entry.get("by") or "founder")
    return _said(entry.get("at") or "", "person", place, who, str(entry["act"]), answer, fault)


def _heard(entry: Entry) -> Step:
    """Return what a person wrote or pressed on a channel, as far as it says what it did."""
    button = entry.get("button") or {}
    act = str(button.get("do") or entry["outcome"].removeprefix("command "))
    fault = "refused" if act in ("reject", "edit") else _ACTS_AT_FAULT.get(act, "")
    place = {"node": "", "seq": 0}
    text = entry["text"] or (f"presses {act}" if button else "")
    return _said(entry["at"], "person", place, entry["sender_name"], act, text, fault)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
