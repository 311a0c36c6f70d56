"""What a scorer is, where scorers are found by name, and how a scenario's checks use them.

A scorer is a class with `name`, `Args` and `score`; another package announces its own under the
entry point group `swarm.scorer`. A check of a scenario names one: `- status: delivered`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from swarm.core.errors import InvalidInput, SwarmError
from swarm.core.registry import Registry, nearest
from swarm.evals.evidence import Evidence, OrderEvidence

SCORERS = Registry(
    "scorer",
    {
        "status": "swarm.evals.checks:Status",
        "artifact": "swarm.evals.checks:Artifact",
        "json": "swarm.evals.checks:Json",
        "answer": "swarm.evals.checks:Answer",
        "asked": "swarm.evals.checks:Asked",
        "message": "swarm.evals.checks:Message",
        "document": "swarm.evals.checks:Document",
        "command": "swarm.evals.commands:Command",
        "cost": "swarm.evals.limits:Cost",
        "touches": "swarm.evals.limits:Touches",
        "calls": "swarm.evals.limits:Calls",
        "baseline": "swarm.evals.limits:Baseline",
        "facts": "swarm.evals.limits:Facts",
        "policy": "swarm.evals.effects:Policy",
        "forbidden": "swarm.evals.effects:Forbidden",
        "recalled": "swarm.evals.effects:Recalled",
        "graded": "swarm.evals.graded:Graded",
    },
    group="swarm.scorer",
)


class ScorerArgs(BaseModel):
    """Arguments of a scorer; a single value stands for the field that `SHORT` names."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    SHORT: ClassVar[str] = ""

    order: int = Field(default=1, ge=1)
    """Which order of the scenario, counted from 1."""

    @model_validator(mode="before")
    @classmethod
    def _written_short(cls, value: Any) -> Any:
        if isinstance(value, dict) or not cls.SHORT:
            return value
        return {cls.SHORT: value}


@dataclass(frozen=True, slots=True)
class Mark:
    """What a scorer found."""

    score: float
    """From 0 to 1; a check holds at 1, unless its scorer says otherwise."""
    detail: str
    """Evidence, in one sentence."""
    is_skipped: bool = False
    """It could not be scored here, such as a grading model while offline; it counts for nothing."""

    @property
    def holds(self) -> bool:
        """Whether the check is met."""
        return self.is_skipped or self.score >= 1


def mark(is_met: bool, detail: str) -> Mark:
    """Return a mark of all or nothing."""
    return Mark(1.0 if is_met else 0.0, detail)


class Scorer(Protocol):
    """Grade one run of a scenario. Holds no state."""

    name: ClassVar[str]
    Args: ClassVar[type[ScorerArgs]]

    async def score(self, evidence: Evidence, args: Any) -> Mark:
        """Return the mark; raises nothing that the evidence can cause."""


@dataclass(frozen=True, slots=True)
class Check:
    """A scorer with its arguments, ready to be asked."""

    name: str
    words: str
    """As the scenario has it, short."""
    scorer: Any
    args: ScorerArgs

    async def mark(self, evidence: Evidence) -> Mark:
        """Grade a run; a scorer that breaks is a check that does not hold."""
        if self.args.order > len(evidence.orders):
            return mark(False, f"there is no order {self.args.order}")
        try:
            found: Mark = await self.scorer.score(evidence, self.args)
        except (SwarmError, OSError, ValueError) as error:
            return mark(False, f"could not be scored: {error}")
        return found


def order_of(evidence: Evidence, args: ScorerArgs) -> OrderEvidence:
    """Return the order that a check speaks of."""
    return evidence.orders[args.order - 1]


def read_checks(path: Path, checks: tuple[dict[str, Any], ...], line_of: Any) -> list[Check]:
    """Find the scorers that a scenario's checks name, and read their arguments.

    Args:
        path: The scenario's file, for messages.
        checks: As written.
        line_of: Tells the line of a place of the file.

    Raises:
        InvalidInput: The file, the line and what to write instead.
    """
    found = []
    for number, written in enumerate(checks):
        where = f"{path}:{line_of(('checks', number))}: checks.{number}"
        if len(written) != 1:
            raise InvalidInput(f"{where}: name one scorer for each check.")
        ((name, given),) = written.items()
        if name not in SCORERS.names():
            raise InvalidInput(f"{where}: no scorer {name!r}{nearest(name, SCORERS.names())}.")
        scorer = SCORERS.load(name)()
        found.append(Check(name, _short(name, given), scorer, _args(where, scorer, given)))
    return found


def _args(where: str, scorer: Any, given: Any) -> ScorerArgs:
    try:
        args: ScorerArgs = scorer.Args.model_validate({} if given is None else given)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        fields = list(scorer.Args.model_fields)
        is_extra = first["type"] == "extra_forbidden"
        what = f"unknown key{nearest(place, fields)}" if is_extra else first["msg"]
        raise InvalidInput(
            f"{where}: {scorer.name}{'.' if place else ''}{place}: {what}."
        ) from error
    return args


def _short(name: str, given: Any) -> str:
    if isinstance(given, Mapping):
        said = ", ".join(f"{key} {value}" for key, value in given.items())
    else:
        said = str(given)
    text = f"{name}: {said}"
    return text if len(text) <= 120 else text[:119] + "…"
