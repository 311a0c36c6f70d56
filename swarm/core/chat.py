"""Words of a conversation with a model, in the chat-completions shape."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeAlias

from swarm.core.usage import Usage

Message: TypeAlias = dict[str, Any]
"""One chat-completions message: `role`, `content`, and `tool_calls` or `tool_call_id`."""

JsonSchema: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool as a model sees it."""

    name: str
    description: str
    parameters: JsonSchema


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call a model asked for; `arguments` is the text it wrote, not yet checked."""

    id: str
    name: str
    arguments: str


class StopReason(StrEnum):
    """Say why a model stopped writing."""

    STOP = "stop"
    TOOL_CALLS = "tool_calls"
    LENGTH = "length"
    CONTENT_FILTER = "content_filter"
    REFUSAL = "refusal"


@dataclass(frozen=True, slots=True)
class Completion:
    """A model's answer, parsed."""

    text: str
    tool_calls: tuple[ToolCall, ...]
    stop: StopReason


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """One question to a model: free text, a JSON document (`schema`) or tool calls (`tools`)."""

    model: str
    messages: tuple[Message, ...]
    max_output_tokens: int
    schema_name: str | None = None
    schema: JsonSchema | None = None
    tools: tuple[ToolSpec, ...] = ()
    temperature: float | None = None


@dataclass(frozen=True, slots=True)
class RawAnswer:
    """What a provider sent back, before anything of it is interpreted.

    It is charged in this form; only then is it parsed.
    """

    body: dict[str, Any]
    """The chat-completions response: `choices`, `model`, `usage`."""
    model: str
    """The model that answered, as the provider names it; the asked one where it says nothing."""
    usage: Usage | None
    """None where the provider reported none: the call is then unpriced."""
    latency_s: float
    reported_cost: str | None = None
    """Cost in USD as the provider itself reported it, as a decimal text."""
    raw_usage: dict[str, Any] = field(default_factory=dict)
