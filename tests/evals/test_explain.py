"""Where an order went wrong is named by rule, with the step, the role and the evidence."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from swarm.evals.cassette import read
from swarm.evals.explain import Past, as_document, explain, first_wrong
from swarm.evals.pasts import past_of_cassette, past_of_evidence
from swarm.evals.performing import Performance
from swarm.evals.runner import evidence_of
from swarm.evals.scenario import load
from swarm.evals.timeline import Step

PACKS = Path(__file__).parents[1] / "scenarios"


def step(kind: str, node: str, seq: int, **more: Any) -> Step:
    place = "t1 work" if "/w" in node else "t1 review" if "/r" in node else node.split("/")[0]
    at = more.pop("at", f"2026-11-23T09:00:{seq:02d}Z")
    words = {"who": "cto", "what": "says", "text": "x", "digest": f"{node}{seq}{kind}", **more}
    return Step(at=at, kind=kind, place=place, node=node, seq=seq, **words)


def past(*steps: Step, **more: Any) -> Past:
    known = Past("o1", "failed", "Do it.", "en", None, "", "", tuple(steps), {}, {})
    return replace(known, **more)


WORK = "t1/0.0/w0"
SAME = {"what": "read_file", "digest": "same", "text": "a → b"}
CASES: list[tuple[str, Past]] = [
    ("provider", past(step("model", WORK, 0, fault="quota"))),
    ("answer", past(step("model", WORK, 0, fault="refusal"))),
    ("schema", past(step("model", "plan/0.0", 1), step("model", "plan/0.0", 0))),
    ("refused_tool", past(step("tool", WORK, 0, fault="denied", rule="deny: no", what="shell"))),
    ("tool_fault", past(step("tool", WORK, 0, fault="tool_fault", what="shell"))),
    ("unknown_outcome", past(step("tool", WORK, 0, fault="unknown_outcome"))),
    ("signature", past(step("person", WORK, 0, fault="refused"))),
    ("sent_back", past(step("person", "", 0, fault="sent_back"))),
    ("review", past(step("model", "t1/0.0/r0", 0, text='{"verdict": "rework", "reasons": []}'))),
    ("loop", past(*(step("tool", WORK, n, **SAME) for n in range(3)))),
    ("budget", past(step("model", WORK, 0), reason_kind="limit", reason="The order's budget of 1")),
    ("config", past(reason_kind="config", reason="no key")),
    ("ignored", past(step("model", WORK, 0), expected={"t1": "a file page.html"}, status="delivered")),
    ("cancelled", past(step("person", "", 0, fault="cancelled"), status="cancelled")),
    ("stopped", past(step("model", WORK, 0), status="parked")),
    ("work", past(step("model", WORK, 0), reason_kind="work", reason="nobody accepts it")),
    ("ignored", past(step("model", "deliver/0.0", 0), language="fr", answer="This is what you get and where it is.")),
    ("check", past(step("model", WORK, 0), failed_checks=(("status: delivered", "is failed"),))),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "story"), CASES, ids=[f"{n} {c[0]}" for n, c in enumerate(CASES)])
def test_each_rule_finds_its_fault(rule: str, story: Past) -> None:
    finds = explain(story)
    first = first_wrong(story, finds)
    assert first is not None
    assert first.rule == rule
    assert first.sentence
    assert first.evidence


def test_nothing_is_found_in_an_order_that_went_well() -> None:
    story = past_of_cassette(read(PACKS / "founding" / "article-in-french.jsonl"))
    assert explain(story) == []
    assert first_wrong(story, []) is None
    assert [s.place for s in story.steps if s.kind == "model"][-1] == "deliver"


def test_a_fault_that_was_got_over_is_told_and_not_blamed() -> None:
    story = past_of_cassette(read(PACKS / "faults" / "storm-of-429.jsonl"))
    finds = explain(story)
    assert {find.rule for find in finds} == {"provider"}
    assert all(find.got_over for find in finds)
    assert first_wrong(story, finds) is None


def test_a_model_that_refused_is_where_it_went_wrong() -> None:
    story = past_of_cassette(read(PACKS / "faults" / "refusal.jsonl"))
    first = first_wrong(story, explain(story))
    assert first is not None
    assert (first.rule, first.place, first.who) == ("answer", "t1 work", "marketcom")
    assert "will not write" in first.evidence


def test_an_attempt_that_changes_nothing_ignores_its_review() -> None:
    again = {"what": "write_file", "digest": "same", "text": "the same file"}
    story = past(
        step("tool", WORK, 0, **again), step("tool", "t1/0.0/w1", 1, **again), status="delivered"
    )
    first = first_wrong(story, explain(story))
    assert first is not None
    assert (first.rule, first.node) == ("ignored", "t1/0.0/w1")


async def test_an_order_and_its_cassette_tell_the_same_story(tmp_path: Path) -> None:
    path = PACKS / "safety" / "a-model-that-obeys.yaml"
    performance = Performance(load(path), tmp_path / "home")
    try:
        await performance.play()
        (order,) = evidence_of(performance).orders
    finally:
        performance.close()
    lived = past_of_evidence(order)
    told = past_of_cassette(read(path.with_suffix(".jsonl")))
    ours = [(s.place, s.seq, s.what, s.digest, s.cost) for s in lived.steps if s.kind == "model"]
    theirs = [(s.place, s.seq, s.what, s.digest, s.cost) for s in told.steps if s.kind == "model"]
    assert ours == theirs
    document = as_document(lived, explain(lived))
    assert [find["rule"] for find in document["finds"]] == ["signature"]
    assert document["went_wrong"] is None
    assert document["costs"][0]["currency"] == "USD"
