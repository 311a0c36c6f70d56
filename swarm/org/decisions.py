"""The decisions a role is asked for: their JSON Schemas, and how an answer is read.

The schemas use only what every provider's strict mode knows: all fields required, no `$ref`. What
a schema cannot say (a task depends only on earlier ones) is read leniently, so that every document
that fits the schema is a usable decision.
"""

from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from swarm.core.chat import JsonSchema
from swarm.core.language import NAMES
from swarm.core.order import Frame, Plan, PlannedTask, Review, Verdict
from swarm.core.text import clean_text, shorten

KINDS = ("software", "writing", "research", "analysis", "design", "operations", "support", "other")
TASK_KINDS = (
    "software",
    "bug",
    "testing",
    "operations",
    "writing",
    "translation",
    "marketing",
    "research",
    "design",
    "support",
    "consulting",
    "other",
)
"""Each is a word of `ledger.baseline.classes`; a planner that names none is read all the same."""
MAX_QUESTIONS = 3
MAX_CRITERIA = 8
MAX_TASKS = 12
MAX_HUMAN_HOURS = 2000

_Text = Annotated[str, StringConstraints(strip_whitespace=True)]


class _Answer(BaseModel):
    model_config = ConfigDict(extra="ignore")


class FrameAnswer(_Answer):
    """What the head understood of an order."""

    goal: _Text
    success_criteria: list[_Text]
    language: str
    kind: str
    questions: list[_Text]


class TaskAnswer(_Answer):
    """One task as planned; `depends_on` are numbers of earlier tasks, from 1."""

    title: _Text
    role: str
    brief: _Text
    depends_on: list[int]
    deliverable: _Text
    human_hours: Decimal
    kind: str | None = None


class PlanAnswer(_Answer):
    """A plan as the head wrote it."""

    approach: _Text
    tasks: list[TaskAnswer] = Field(min_length=1)


class ReviewAnswer(_Answer):
    """A verdict as the reviewer wrote it."""

    verdict: Verdict
    reasons: list[_Text]


class DeliveryAnswer(_Answer):
    """The final words of an order."""

    answer: _Text
    lessons: list[_Text]


def _object(**properties: JsonSchema) -> JsonSchema:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _string(description: str) -> JsonSchema:
    return {"type": "string", "description": description}


def _strings(description: str, *, least: int = 0, most: int) -> JsonSchema:
    return {
        "type": "array",
        "description": description,
        "items": {"type": "string"},
        "minItems": least,
        "maxItems": most,
    }


def frame_schema() -> JsonSchema:
    """Return the schema of a frame."""
    return _object(
        goal=_string("What the founder wants to have, in one or two sentences"),
        success_criteria=_strings(
            "How a stranger could check that it is done", least=1, most=MAX_CRITERIA
        ),
        language={"type": "string", "enum": sorted(NAMES), "description": "Of the order"},
        kind={"type": "string", "enum": list(KINDS), "description": "Kind of work"},
        questions=_strings(
            "Only questions whose answer changes the plan; usually none", most=MAX_QUESTIONS
        ),
    )


def plan_schema(roles: Sequence[str]) -> JsonSchema:
    """Return the schema of a plan for the roles there are."""
    task = _object(
        title=_string("A few words"),
        role={"type": "string", "enum": list(roles)},
        brief=_string("All that the role must know: it sees this, not the plan"),
        depends_on={
            "type": "array",
            "description": "Numbers of earlier tasks, from 1, whose results it needs",
            "items": {"type": "integer", "minimum": 1, "maximum": MAX_TASKS},
            "maxItems": MAX_TASKS,
        },
        deliverable=_string("What will be there when it is done, with the file's name"),
        human_hours={
            "type": "number",
            "description": "Hours a competent person would need without AI",
            "minimum": 0.1,
            "maximum": MAX_HUMAN_HOURS,
        },
        kind={"type": "string", "enum": list(TASK_KINDS), "description": "Kind of work"},
    )
    return _object(
        approach=_string("Why this plan, in one or two sentences"),
        tasks={"type": "array", "items": task, "minItems": 1, "maxItems": MAX_TASKS},
    )


def review_schema() -> JsonSchema:
    """Return the schema of a review."""
    return _object(
        verdict={"type": "string", "enum": [v.value for v in Verdict]},
        reasons=_strings("For rework: what exactly must change, and where", most=MAX_CRITERIA),
    )


def delivery_schema() -> JsonSchema:
    """Return the schema of the final answer."""
    return _object(
        answer=_string("What the founder gets, where it is, what was not done"),
        lessons=_strings("What to do better next time; usually none", most=3),
    )


def read_frame(document: Any, *, language: str | None) -> tuple[Frame, str]:
    """Return the frame and the language: the one detected in the order, else the model's.

    Raises:
        ValueError: No goal, or no success criterion.
    """
    answer = FrameAnswer.model_validate(document)
    criteria = _lines(answer.success_criteria, MAX_CRITERIA)
    goal = _line(answer.goal)
    return (
        Frame(
            goal=goal or "(no goal given)",
            success_criteria=criteria or (goal or "(no criterion given)",),
            kind=answer.kind if answer.kind in KINDS else "other",
            questions=_lines(answer.questions, MAX_QUESTIONS),
        ),
        language or (answer.language if answer.language in NAMES else "en"),
    )


def read_plan(document: Any, *, roles: Sequence[str]) -> Plan:
    """Return the plan; ids are `t1`, `t2`, … in the order of the document.

    Raises:
        ValueError: No task, or a role that does not exist.
    """
    answer = PlanAnswer.model_validate(document)
    tasks = []
    for number, task in enumerate(answer.tasks[:MAX_TASKS], start=1):
        if task.role not in roles:
            raise ValueError(
                f"tasks.{number}.role: there is no role {shorten(task.role, 40)!r}; "
                f"the roles are {', '.join(roles)}"
            )
        tasks.append(_planned(number, task))
    return Plan(approach=_line(answer.approach), tasks=tuple(tasks))


def _planned(number: int, task: TaskAnswer) -> PlannedTask:
    hours = task.human_hours if task.human_hours.is_finite() else Decimal(1)
    # Only earlier tasks count, so that the graph can have no cycle.
    earlier = sorted({d for d in task.depends_on if 1 <= d < number})
    return PlannedTask(
        id=f"t{number}",
        role=task.role,
        title=shorten(_line(task.title), 120) or f"Task {number}",
        brief=clean_text(task.brief) or task.title,
        depends_on=tuple(f"t{d}" for d in earlier),
        deliverable=_line(task.deliverable),
        human_hours=min(max(hours, Decimal("0.1")), Decimal(MAX_HUMAN_HOURS)),
        kind=task.kind if task.kind and task.kind in TASK_KINDS else "",
    )


def read_review(document: Any, *, reviewer: str) -> Review:
    """Return the review.

    Raises:
        ValueError: A rework without any reason: nobody could act on it.
    """
    answer = ReviewAnswer.model_validate(document)
    reasons = _lines(answer.reasons, MAX_CRITERIA)
    if answer.verdict is Verdict.REWORK and not reasons:
        raise ValueError("reasons: a rework needs at least one reason")
    return Review(verdict=answer.verdict, reasons=reasons, reviewer=reviewer)


def read_delivery(document: Any) -> DeliveryAnswer:
    """Return the final words, cleaned."""
    answer = DeliveryAnswer.model_validate(document)
    return DeliveryAnswer(
        answer=clean_text(answer.answer).strip(), lessons=list(_lines(answer.lessons, 3))
    )


def _line(text: str) -> str:
    return clean_text(text).strip()


def _lines(texts: Sequence[str], most: int) -> tuple[str, ...]:
    cleaned = (_line(text) for text in texts)
    return tuple(text for text in cleaned if text)[:most]
