"""Any document that fits a decision's schema is a usable decision; any other is refused in words."""

import random
from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from typing import Any

import jsonschema  # it ships no types
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm.core.language import NAMES
from swarm.core.order import Verdict
from swarm.core.text import clean_text
from swarm.org import decisions
from tests.agents.fitting import fitting
from tests.servers.schema_instances import instance

ROLES = ["ceo", "cto", "legal"]
FRAME, REVIEW = decisions.frame_schema(), decisions.review_schema()
PLAN, DELIVERY = decisions.plan_schema(ROLES), decisions.delivery_schema()
READERS: dict[str, tuple[dict[str, Any], Callable[[Any], Any]]] = {
    "frame": (FRAME, lambda d: decisions.read_frame(d, language=None)),
    "plan": (PLAN, lambda d: decisions.read_plan(d, roles=ROLES)),
    "review": (REVIEW, lambda d: decisions.read_review(d, reviewer="ceo")),
    "delivery": (DELIVERY, decisions.read_delivery),
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@pytest.mark.parametrize("name", READERS)
def test_every_schema_is_one_that_providers_take(name: str) -> None:
    schema, _ = READERS[name]
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["type"] == "object"
    assert schema["additionalProperties"] is False
    assert sorted(schema["required"]) == sorted(schema["properties"])


@given(fitting(FRAME), st.sampled_from([None, "fr"]))
def test_any_frame_is_usable(document: Any, language: str | None) -> None:
    frame, code = decisions.read_frame(document, language=language)
    assert frame.goal.strip()
    assert 1 <= len(frame.success_criteria) <= decisions.MAX_CRITERIA
    assert all(text.strip() for text in (*frame.success_criteria, *frame.questions))
    assert len(frame.questions) <= decisions.MAX_QUESTIONS
    assert code == (language or document["language"])
    assert code in NAMES


@given(fitting(PLAN))
def test_any_plan_is_usable_and_has_no_cycle(document: Any) -> None:
    plan = decisions.read_plan(document, roles=ROLES)
    assert len(plan.tasks) == len(document["tasks"])
    seen: set[str] = set()
    for task in plan.tasks:
        assert set(task.depends_on) <= seen
        assert task.title
        assert Decimal("0.1") <= task.human_hours <= decisions.MAX_HUMAN_HOURS
        seen.add(task.id)


@given(fitting(DELIVERY))
def test_any_delivery_is_usable(document: Any) -> None:
    delivery = decisions.read_delivery(document)
    assert len(delivery.lessons) <= 3
    assert all(text.strip() for text in delivery.lessons)


@given(fitting(REVIEW))
def test_any_review_is_usable_but_an_objection_needs_a_reason(document: Any) -> None:
    is_empty = not any(clean_text(text).strip() for text in document["reasons"])
    if document["verdict"] == "rework" and is_empty:
        with pytest.raises(ValueError, match="at least one reason"):
            decisions.read_review(document, reviewer="ceo")
        return
    review = decisions.read_review(document, reviewer="ceo")
    assert review.verdict is Verdict(document["verdict"])
    assert review.reviewer == "ceo"


@pytest.mark.parametrize("name", READERS)
def test_hundreds_of_instances_by_chance_are_read(name: str) -> None:
    schema, read = READERS[name]
    chance = random.Random(7)
    for _ in range(300):
        document = instance(schema, chance)
        if document.get("verdict") == "rework" and not any(t.strip() for t in document["reasons"]):
            continue
        read(document)


@pytest.mark.parametrize("name", READERS)
@given(document=JSON)
def test_any_other_document_is_refused_with_a_value_error(name: str, document: Any) -> None:
    _, read = READERS[name]
    with suppress(ValueError):
        read(document)


def test_a_role_that_does_not_exist_is_named_with_those_that_do() -> None:
    task = {
        "title": "T", "role": "cfo", "brief": "B", "depends_on": [], "deliverable": "D",
        "human_hours": 1,
    }  # fmt: skip
    with pytest.raises(ValueError, match=r"no role 'cfo'; the roles are ceo, cto, legal"):
        decisions.read_plan({"approach": "A", "tasks": [task]}, roles=ROLES)
