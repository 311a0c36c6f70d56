"""An order goes through frame, plan, tasks, review and delivery, and its document tells it all."""

import hashlib
import json
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import jsonschema  # it ships no types

from swarm.core.clock import parse_iso
from swarm.core.document import OrderDocument
from swarm.core.money import from_pico
from tests.acceptance.at_work import (
    AtWork,
    Row,
    kind_of,
    prompt_of,
    provider_of,
    role_of,
    system_of,
    task,
)
from tests.acceptance.conftest import Open

THREE = (
    task("Build the page", "cto", human_hours=6.0),
    task("Write the post", "marketcom", human_hours=3.0),
    task("Write the answers", "support", 1, 2, human_hours=1.0),
)
"""Two tasks side by side, and one that needs them both."""

FIELDS = {
    "": {
        "id", "status", "reason", "text", "language", "goal", "success_criteria", "questions",
        "plan", "baseline", "forecast", "artifacts", "answer", "receipt", "created_at",
        "delivered_at",
    },
    "plan.tasks.0": {
        "id", "role", "title", "brief", "depends_on", "deliverable", "status", "attempts", "review",
    },
    "plan.tasks.0.review": {"verdict", "reasons"},
    "baseline": {"hours", "cost", "method", "frozen_at"},
    "baseline.hours": {"p10", "p50", "p90"},
    "baseline.cost": {"p10", "p50", "p90", "currency"},
    "forecast": {"low", "high", "currency"},
    "artifacts.0": {"path", "sha256", "bytes", "role", "task"},
    "receipt": {
        "model_cost", "tokens", "calls", "unanswered_intents", "wall_s", "working_s",
        "critical_path_s", "founder_s",
    },
    "receipt.model_cost": {"amount", "currency", "status"},
    "receipt.tokens": {"input", "cache_read", "cache_write", "output", "reasoning"},
}  # fmt: skip
"""What programs may rely on in an order's document, by place."""


def at(document: Any, place: str) -> Any:
    for part in place.split(".") if place else ():
        document = document[int(part) if part.isdigit() else part]
    return document


async def test_an_order_goes_through_frame_plan_tasks_review_and_delivery(opened: Open) -> None:
    async with opened(provider_of(THREE)) as company:
        done = await company.deliver()
        kinds = [kind_of(body) for body in company.provider.bodies]
    assert kinds[:2] == ["frame", "plan"]
    assert kinds[-1] == "delivery"
    assert kinds.count("review") == 3
    assert done.plan is not None
    assert [t.status for t in done.plan.tasks] == ["accepted"] * 3
    assert [t.depends_on for t in done.plan.tasks] == [[], [], ["t1", "t2"]]
    assert done.answer == "The work is done; the files are attached."


async def test_the_document_of_an_order_has_every_field_and_fits_its_schema(opened: Open) -> None:
    async with opened(provider_of(THREE)) as company:
        done = await company.deliver()
    document = json.loads(done.model_dump_json())
    for place, names in FIELDS.items():
        assert names <= at(document, place).keys(), place
    schema = OrderDocument.model_json_schema(mode="serialization")
    jsonschema.Draft202012Validator(schema).validate(document)
    assert OrderDocument.model_validate(document) == done


async def test_the_document_is_whole_and_fits_its_schema_before_any_work(opened: Open) -> None:
    async with opened(provider_of(questions=["Which bakery?"])) as company:
        waiting = await company.work()
    document = json.loads(waiting.model_dump_json())
    schema = OrderDocument.model_json_schema(mode="serialization")
    jsonschema.Draft202012Validator(schema).validate(document)
    assert document["plan"] is document["baseline"] is document["delivered_at"] is None


async def test_artifacts_on_disk_are_what_the_document_says(opened: Open) -> None:
    async with opened(provider_of(THREE)) as company:
        done = await company.deliver()
    assert {a.task for a in done.artifacts} == {"t1", "t2", "t3"}
    for artifact in done.artifacts:
        data = (Path(done.workspace) / artifact.path).read_bytes()
        assert hashlib.sha256(data).hexdigest() == artifact.sha256
        assert len(data) == artifact.bytes


async def test_the_receipt_is_the_sum_of_the_ledger_and_of_what_the_provider_counted(
    opened: Open,
) -> None:
    async with opened(provider_of(THREE)) as company:
        done = await company.deliver()
        rows, provider = company.ledger(done.id), company.provider
        order_budget = company.budgets()[f"order:{done.id}"]
    receipt = done.receipt
    assert receipt.calls == len(rows) == len(provider.requests)
    assert receipt.tokens.input == sum(row["input_tokens"] for row in rows)
    assert receipt.tokens.output == sum(row["output_tokens"] for row in rows)
    assert receipt.model_cost.amount == sum((from_pico(r["cost_pico"]) for r in rows), Decimal(0))
    # 0.15 and 0.60 USD for a million tokens of this model.
    assert receipt.model_cost.amount == (
        receipt.tokens.input * Decimal("0.15") + receipt.tokens.output * Decimal("0.60")
    ) / Decimal(1_000_000)
    assert sum(line.amount for line in receipt.by_role) == receipt.model_cost.amount
    assert from_pico(order_budget["spent_pico"]) == receipt.model_cost.amount
    assert order_budget["reserved_pico"] == 0
    assert receipt.unanswered_intents == 0


async def test_the_baseline_is_frozen_before_the_first_working_call(opened: Open) -> None:
    async with opened(provider_of(THREE)) as company:
        done = await company.deliver()
        started = [parse_iso(r["started_at"]) for r in company.ledger(done.id) if r["task_id"]]
    assert done.baseline is not None
    assert done.baseline.frozen_at is not None
    assert done.baseline.frozen_at < min(started)
    assert done.baseline.hours.p10 < done.baseline.hours.p50 < done.baseline.hours.p90


async def test_independent_tasks_run_side_by_side_and_dependents_wait(opened: Open) -> None:
    async with opened(provider_of(THREE)) as company:
        company.provider.delay_s = 0.2
        done = await company.deliver()
        rows = company.ledger(done.id)
    spans = {name: _span(rows, name) for name in ("t1", "t2", "t3")}
    assert spans["t1"][0] < spans["t2"][1]
    assert spans["t2"][0] < spans["t1"][1]
    assert spans["t3"][0] >= max(spans["t1"][1], spans["t2"][1])
    assert _most_at_once(rows) == 2
    assert done.receipt.critical_path_s < done.receipt.working_s


def _span(rows: list[Row], task_id: str) -> tuple[datetime, datetime]:
    own = [row for row in rows if row["task_id"] == task_id]
    return (
        min(parse_iso(row["started_at"]) for row in own),
        max(parse_iso(row["ended_at"]) for row in own),
    )


def _most_at_once(rows: list[Row]) -> int:
    """Return how many calls were open at the same moment, at most."""
    spans = [(str(row["started_at"]), str(row["ended_at"])) for row in rows]
    return max(sum(start <= moment < end for start, end in spans) for moment, _ in spans)


async def test_what_a_task_came_to_reaches_the_tasks_that_need_it(opened: Open) -> None:
    async with opened(provider_of(THREE)) as company:
        done = await company.deliver()
        bodies = [b for b in company.asked("work") if role_of(b) == "support"]
    paths = [a.path for a in done.artifacts if a.task in ("t1", "t2")]
    assert all(path in prompt_of(bodies[0]) for path in paths)


async def test_a_french_order_is_worked_in_french_by_every_role(opened: Open) -> None:
    text = "Écris une page de lancement pour la boulangerie qui ouvre en mai."
    async with opened(provider_of(THREE)) as company:
        done = await company.deliver(text)
        bodies = company.provider.bodies
    assert done.language == "fr"
    assert {role_of(b) for b in bodies} == {"ceo", "cto", "marketcom", "support"}
    assert all("the order in French (fr). Write everything" in system_of(b) for b in bodies)


async def test_an_english_order_is_worked_in_english_by_every_role(company: AtWork) -> None:
    done = await company.deliver()
    assert done.language == "en"
    assert all("the order in English (en)" in system_of(b) for b in company.provider.bodies)


async def test_a_text_too_short_to_tell_takes_the_language_that_the_head_names(
    opened: Open,
) -> None:
    frame = {
        "goal": "Ein Logo.",
        "success_criteria": ["Es gibt ein Logo."],
        "language": "de",
        "kind": "design",
        "questions": [],
    }
    async with opened(provider_of(answers={"frame": frame})) as company:
        done = await company.deliver("Logo?")
        frame_call, *others = company.provider.bodies
    assert done.language == "de"
    assert "in the language in which the founder wrote the order" in system_of(frame_call)
    assert all("German (de)" in system_of(b) for b in others)


LEGAL = """\
---
title: Counsel
reports_to: ceo
summary: Reads contracts.
tools: [list_files, read_file, write_file, deliver]
---
You read contracts and say what they bind us to.
"""


async def test_a_fifth_role_is_one_more_file_and_the_head_can_give_it_work(opened: Open) -> None:
    plan = (task("Read the lease", "legal"),)
    async with opened(provider_of(plan), roles={"legal": LEGAL}) as company:
        done = await company.deliver("Check the lease of our bakery for me.")
        planned = company.asked("plan")[0]
        worked = company.asked("work")
    roles = planned["response_format"]["json_schema"]["schema"]["properties"]["tasks"]["items"]
    assert roles["properties"]["role"]["enum"] == ["ceo", "cto", "legal", "marketcom", "support"]
    assert "- legal (Counsel): Reads contracts." in prompt_of(planned)
    assert all("You read contracts" in system_of(b) for b in worked)
    assert [a.role for a in done.artifacts] == ["legal"]


async def test_the_same_update_twice_is_one_order(company: AtWork) -> None:
    one = await company.place(update_id="update-7")
    assert await company.place(update_id="update-7") == one
    await company.halt(one)
    assert len(company.app.documents.orders()) == 1
