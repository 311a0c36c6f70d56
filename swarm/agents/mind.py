"""One role's way to a model: the request in, a parsed completion out, all of it metered."""

from dataclasses import dataclass
from typing import Any

from swarm.core.chat import Completion, JsonSchema, Message, ModelRequest, ToolSpec
from swarm.core.role import Role
from swarm.ledger.book import Caller, CallKey
from swarm.ledger.metered import Metered
from swarm.llm.base import Capabilities, parse_answer


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked: free text, a document that fits `schema`, or a choice of tool calls."""

    messages: tuple[Message, ...]
    schema_name: str | None = None
    schema: JsonSchema | None = None
    tools: tuple[ToolSpec, ...] = ()


@dataclass(frozen=True, slots=True)
class Mind:
    """One role thinking at one node of one order."""

    metered: Metered
    role: Role
    model: str
    order_id: str
    node: str
    caller: Caller

    @property
    def capabilities(self) -> Capabilities:
        """Say what this role's model can do."""
        return self.metered.access(self.model).llm.capabilities(self.model)

    async def think(self, seq: int, question: Question) -> Completion:
        """Ask once; the answer is charged before it is read.

        Raises:
            BadAnswer: The answer has no readable message.
            SwarmError: As `Metered.call`.
        """
        request = ModelRequest(
            model=self.model,
            messages=question.messages,
            max_output_tokens=self.capabilities.max_output_tokens,
            schema_name=question.schema_name,
            schema=question.schema,
            tools=question.tools,
            temperature=self.role.temperature,
        )
        key = CallKey(self.order_id, self.node, seq)
        return parse_answer(await self.metered.call(key, request, self.caller))


def assistant_message(completion: Completion) -> dict[str, Any]:
    """Write a completion as the assistant's turn of the conversation."""
    message: dict[str, Any] = {"role": "assistant", "content": completion.text or None}
    if completion.tool_calls:
        message["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for call in completion.tool_calls
        ]
    return message
