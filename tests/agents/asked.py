"""A mind whose answers are written down beforehand, for tests of how a role thinks and acts."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from swarm.agents.mind import Mind, Question
from swarm.core.chat import Completion, StopReason, ToolCall
from swarm.core.role import Role
from swarm.ledger.book import Caller
from swarm.ledger.metered import Metered
from swarm.llm.base import Capabilities

ROLE = Role(name="cto", title="CTO", reports_to="ceo", tools=("write_file",), prompt="Build.")
CALLER = Caller(role="cto", task_id="t1", token="r1")


def said(text: str, stop: StopReason = StopReason.STOP) -> Completion:
    return Completion(text=text, tool_calls=(), stop=stop)


def calls(*wanted: tuple[str, str], stop: StopReason = StopReason.TOOL_CALLS) -> Completion:
    made = (ToolCall(id=f"c{n}", name=name, arguments=a) for n, (name, a) in enumerate(wanted))
    return Completion(text="", tool_calls=tuple(made), stop=stop)


@dataclass
class Scripted:
    """Stands where a `Mind` stands; keeps what it was asked."""

    answers: Sequence[Completion | Exception]
    native_tools: bool = True
    native_schema: bool = True
    role: Role = ROLE
    order_id: str = "o1"
    node: str = "t1/0.0/w0"
    caller: Caller = CALLER
    asked: list[Question] = field(default_factory=list)

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            native_tools=self.native_tools,
            native_schema=self.native_schema,
            max_output_tokens=100,
        )

    async def think(self, seq: int, question: Question) -> Completion:
        assert seq == len(self.asked)
        self.asked.append(question)
        answer = self.answers[seq]
        if isinstance(answer, Exception):
            raise answer
        return answer

    @property
    def mind(self) -> Mind:
        """Return itself as what it stands for."""
        return cast(Mind, self)

    @property
    def metered(self) -> Metered:
        """Nobody is to be reached but through `think`."""
        raise AssertionError("a scripted mind asks no model")


def user(text: str) -> tuple[dict[str, Any], ...]:
    return ({"role": "system", "content": "You build."}, {"role": "user", "content": text})
