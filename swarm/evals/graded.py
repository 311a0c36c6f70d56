"""The scorer that asks a model. It is off unless a run is told to go online."""

from typing import Any, ClassVar

from pydantic import Field

from swarm.evals.checks import read_file
from swarm.evals.evidence import Evidence
from swarm.evals.scorers import Mark, ScorerArgs, mark, order_of

MAX_SIGNS = 24_000
SCHEMA = {
    "type": "object",
    "properties": {
        "score": {"type": "number", "minimum": 0, "maximum": 1},
        "why": {"type": "string"},
    },
    "required": ["score", "why"],
    "additionalProperties": False,
}


class GradedArgs(ScorerArgs):
    """What a model is asked about a file, or about the final answer."""

    SHORT: ClassVar[str] = "rubric"
    rubric: str = Field(min_length=1)
    path: str | None = None
    at_least: float = Field(default=0.7, ge=0, le=1)


class Graded:
    """Whether a model finds that the work meets a rubric."""

    name: ClassVar[str] = "graded"
    Args: ClassVar[type[ScorerArgs]] = GradedArgs

    def __init__(self, grader: Any = None) -> None:
        """Take who grades: an async function of rubric and text to (score, why); None is offline."""
        self._grader = grader

    async def score(self, evidence: Evidence, args: GradedArgs) -> Mark:
        """Ask; offline, say that nobody was asked."""
        grader = self._grader or evidence.facts.get("grader")
        if grader is None:
            return Mark(0.0, "not graded: offline (`--grade` asks the company's model)", True)
        order = order_of(evidence, args)
        text = read_file(order, args.path) if args.path else order.document.answer or ""
        score, why = await grader(args.rubric, text[:MAX_SIGNS])
        return mark(score >= args.at_least, f"graded {score:.2f}: {why[:300]}")
