"""Say where an order first went wrong: by rule, with the step, the role and the evidence.

Each rule is a small function of what happened; it gives what it finds, and says whether the order
got over it. The first find that it did not get over is where it went wrong.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from decimal import Decimal
from itertools import pairwise
from typing import Any, TypeAlias

from swarm.core.language import detect
from swarm.evals.timeline import Step

LOOP = 3
"""The same call with the same result this often is a loop."""
PROVIDER = (
    "rate_limited", "overloaded", "server_error", "timeout", "unreachable", "cut", "unauthorized",
    "quota", "forbidden", "unknown_model", "bad_address", "bad_request", "context_overflow", "imported",
)  # fmt: skip
UNUSABLE = ("malformed", "length", "content_filter", "refusal", "adapter")
GOOD_ENDS = ("delivered", "accepted")
STOPPED_ENDS = ("parked", "failed")


@dataclass(frozen=True, slots=True)
class Past:
    """What is known of an order that has run."""

    order_id: str
    status: str
    text: str
    language: str | None
    answer: str | None
    reason_kind: str
    reason: str
    steps: tuple[Step, ...]
    expected: dict[str, str]
    """The deliverable that each task was to make, in the plan's words."""
    files: dict[str, str]
    """What was delivered: the task, by path."""
    failed_checks: tuple[tuple[str, str], ...] = ()
    """Checks of a scenario that do not hold: check, detail."""
    provenance: str = ""
    """Of a cassette: where its answers came from, as `authored by Ada`."""


@dataclass(frozen=True, slots=True)
class Find:
    """Something that went wrong."""

    rule: str
    at: str
    place: str
    node: str
    seq: int
    who: str
    sentence: str
    evidence: str
    got_over: bool
    """Whether the order went on well from there."""


def explain(past: Past) -> list[Find]:
    """Return what went wrong, in the order in which it happened."""
    found = [find for rule in RULES for find in rule(past)]
    if past.status in STOPPED_ENDS and not found:
        found.append(_stopped(past))
    return sorted(found, key=lambda find: (find.at or "~", find.node, find.seq))


def first_wrong(past: Past, finds: Sequence[Find]) -> Find | None:
    """Return where it first went wrong: a fault it did not get over, else the first of all."""
    lasting = [find for find in finds if not find.got_over]
    if lasting or past.status in GOOD_ENDS:
        return lasting[0] if lasting else None
    return finds[0] if finds else None


def _find(step: Step, rule: str, sentence: str, *, got_over: bool, evidence: str = "") -> Find:
    said = evidence or step.text
    return Find(rule, step.at, step.place, step.node, step.seq, step.who, sentence, said, got_over)


def _faults_of_provider(past: Past) -> Iterator[Find]:
    for step in past.steps:
        if step.kind == "model" and step.fault in PROVIDER:
            over = _answered_later(past, step)
            yield _find(step, "provider", f"the provider failed: {step.fault}", got_over=over)


def _answered_later(past: Past, step: Step) -> bool:
    """Say whether a later attempt at the very same call, or the next of its node, was answered."""
    return any(
        other.kind == "model" and not other.fault and other.node == step.node
        and other.seq >= step.seq and other.at >= step.at
        for other in past.steps
    )  # fmt: skip


def _unusable_answers(past: Past) -> Iterator[Find]:
    for step in past.steps:
        if step.kind != "model":
            continue
        is_decision = step.place in ("frame", "plan", "deliver") or step.place.endswith("review")
        if step.fault in UNUSABLE:
            what = "refused" if step.fault == "refusal" else f"gave no usable answer ({step.fault})"
            over = _answered_later(past, step) and past.status in GOOD_ENDS
            yield _find(step, "answer", f"the model {what}", got_over=over)
        elif is_decision and step.seq > 0 and not step.fault:
            first = next(
                (s for s in past.steps if s.node == step.node and s.seq == step.seq - 1), step
            )
            sentence = "the answer did not fit its schema and had to be asked for again"
            yield _find(first, "schema", sentence, got_over=True)
        elif is_decision and step.seq > 0:
            yield _find(
                step, "schema", "the answer fitted its schema in no attempt", got_over=False
            )


def _refused_tools(past: Past) -> Iterator[Find]:
    for step in past.steps:
        if step.kind != "tool" or not step.fault:
            continue
        over = _node_went_on(past, step)
        if step.fault == "denied":
            sentence = f"{step.what} was refused by policy ({step.rule})"
            yield _find(step, "refused_tool", sentence, got_over=over)
        elif step.fault == "tool_fault":
            sentence = f"the call of {step.what} was at fault"
            yield _find(step, "tool_fault", sentence, got_over=over)
        else:
            sentence = f"nobody knows whether {step.what} happened"
            yield _find(step, "unknown_outcome", sentence, got_over=False)


def _node_went_on(past: Past, step: Step) -> bool:
    return any(
        other.node == step.node and other.seq > step.seq and not other.fault for other in past.steps
    )


def _people_said_no(past: Past) -> Iterator[Find]:
    for step in past.steps:
        if step.kind == "person" and step.fault == "refused":
            over = past.status in GOOD_ENDS
            yield _find(step, "signature", f"{step.who} refused what was asked", got_over=over)
        elif step.kind == "person" and step.fault == "sent_back":
            over = past.status in GOOD_ENDS
            yield _find(step, "sent_back", f"{step.who} sent the result back", got_over=over)
        elif step.kind == "person" and step.fault == "cancelled":
            yield _find(
                step,
                "cancelled",
                f"{step.who} cancelled it",
                got_over=False,
                evidence=step.text or step.what,
            )


_REWORK = re.compile(r'"verdict"\s*:\s*"rework"')


def _rejected_reviews(past: Past) -> Iterator[Find]:
    for step in past.steps:
        if step.kind == "model" and step.place.endswith(" review") and _REWORK.search(step.text):
            over = any(
                other.place == step.place and other.at > step.at and not _REWORK.search(other.text)
                and not other.fault and other.kind == "model"
                for other in past.steps
            )  # fmt: skip
            sentence = f"{step.who} sent the work of {step.place.split()[0]} back"
            yield _find(step, "review", sentence, got_over=over)


def _loops(past: Past) -> Iterator[Find]:
    seen: Counter[tuple[str, str, str]] = Counter()
    for step in past.steps:
        if step.kind != "tool":
            continue
        key = (step.node, step.what, step.digest)
        seen[key] += 1
        if seen[key] == LOOP:
            sentence = f"{step.what} was called {LOOP} times with the same words and result"
            yield _find(step, "loop", sentence, got_over=past.status in GOOD_ENDS)


def _ignored_instructions(past: Past) -> Iterator[Find]:
    """Give what was asked for in plain words and plainly not done."""
    if past.answer and past.language:
        found = detect(past.answer)
        if found and found != past.language:
            sentence = f"ordered in {past.language}, answered in {found}"
            yield from _at_last(past, "deliver", "ignored", sentence, past.answer[:200])
    delivered = {path.rpartition("/")[2].casefold() for path in past.files}
    for task, words in past.expected.items():
        named = re.findall(r"[\w-]+\.[A-Za-z][A-Za-z0-9]{0,5}\b", words)
        missing = [name for name in named if name.casefold() not in delivered]
        # What was stopped before it handed anything over ignored nothing.
        is_done = past.status in GOOD_ENDS or task in past.files.values()
        if missing and is_done and any(step.place == f"{task} work" for step in past.steps):
            sentence = f"the plan asked for {missing[0]}, which was not delivered"
            yield from _at_last(past, f"{task} work", "ignored", sentence, words)
    yield from _same_again(past)


def _same_again(past: Past) -> Iterator[Find]:
    """Give attempts after a review that wrote the very same file again, or nothing at all."""
    places = dict.fromkeys(s.place for s in past.steps if s.place.endswith(" work"))
    for place in places:
        attempts: dict[str, list[Step]] = {}
        for step in past.steps:
            if step.place == place and step.kind in ("model", "tool"):
                attempts.setdefault(step.node, []).append(step)
        nodes = list(attempts)
        for before, after in pairwise(nodes):
            old, new = _written(attempts[before]), _written(attempts[after])
            if old and (not new or new <= old):
                sentence = "was sent back, and changed nothing that was asked for"
                yield _find(attempts[after][0], "ignored", sentence, got_over=False)


def _written(steps: Sequence[Step]) -> set[str]:
    return {s.digest for s in steps if s.what in ("write_file", "edit_file", "shell", "python")}


def _at_last(past: Past, place: str, rule: str, sentence: str, evidence: str) -> Iterator[Find]:
    last = next((s for s in reversed(past.steps) if s.place == place and s.kind == "model"), None)
    if last is not None:
        yield _find(last, rule, sentence, got_over=False, evidence=evidence)


def _limits(past: Past) -> Iterator[Find]:
    if past.reason_kind not in ("limit", "config"):
        return
    what = "a limit stopped it" if past.reason_kind == "limit" else "the set-up stopped it"
    rule = "budget" if "budget" in past.reason.casefold() else past.reason_kind
    yield _after_last(past, rule, what)


def _stopped(past: Past) -> Find:
    """Return where an order stopped of which no rule says why."""
    found = _after_last(past, past.reason_kind or "stopped", "it stopped")
    return found if found.evidence else replace(found, evidence="nothing recorded says why")


def _after_last(past: Past, rule: str, what: str) -> Find:
    """Return a find of the whole order, at the last call that it made."""
    last = next((s for s in reversed(past.steps) if s.kind == "model"), None)
    return Find(
        rule=rule,
        at=last.at if last else "",
        place=last.place if last else "",
        node=last.node if last else "",
        seq=last.seq if last else 0,
        who=last.who if last else "",
        sentence=what + (" after this step" if last else " before any call"),
        evidence=past.reason,
        got_over=False,
    )


def _checks(past: Past) -> Iterator[Find]:
    """Give failed checks of a scenario, at the last step that could have met them."""
    for check, detail in past.failed_checks:
        named = re.search(r"path ([^\s,]+)", check)
        steps = [s for s in past.steps if s.kind in ("model", "tool")]
        wrote = [s for s in steps if named and s.kind == "tool" and named[1] in s.text]
        candidates = wrote or steps
        if candidates:
            last = candidates[-1]
            yield _find(
                last, "check", f"the check `{check}` fails", got_over=False, evidence=detail
            )


Rule: TypeAlias = Callable[[Past], Iterator[Find]]
RULES: tuple[Rule, ...] = (
    _faults_of_provider,
    _unusable_answers,
    _refused_tools,
    _people_said_no,
    _rejected_reviews,
    _loops,
    _ignored_instructions,
    _limits,
    _checks,
)


def as_document(past: Past, finds: Sequence[Find]) -> dict[str, Any]:
    """Return an explanation as programs read it."""
    first = first_wrong(past, finds)
    known = [step for step in past.steps if step.cost is not None]
    costs: dict[str, Decimal] = {}
    for step in known:
        currency = step.currency or ""
        costs[currency] = costs.get(currency, Decimal(0)) + Decimal(step.cost or 0)
    return {
        "order": past.order_id,
        "status": past.status,
        "reason": past.reason or None,
        "provenance": past.provenance or None,
        "went_wrong": None if first is None else asdict(first),
        "finds": [asdict(find) for find in finds],
        "costs": [{"amount": f"{a:f}", "currency": c} for c, a in sorted(costs.items())],
        "timeline": [step.as_document() for step in past.steps],
    }
