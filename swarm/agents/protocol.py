"""How tools are offered to a model: native tool calls, or a document that names the tool."""

import json
from typing import Any, Protocol

from swarm.agents.decide import parse_document, with_schema
from swarm.agents.mind import Question
from swarm.agents.turns import CallResult
from swarm.core.chat import Completion, JsonSchema, Message, StopReason, ToolCall, ToolSpec
from swarm.core.errors import BadAnswer
from swarm.llm.base import Capabilities

FINISH = "finish"
"""The tool name by which a model without native calls says that it is done."""


class ToolProtocol(Protocol):
    """One way to offer tools and to read the choice."""

    def prepare(
        self, messages: tuple[Message, ...], specs: tuple[ToolSpec, ...]
    ) -> tuple[Message, ...]:
        """Add to the conversation what the model must know about its tools."""

    def question(self, messages: tuple[Message, ...], specs: tuple[ToolSpec, ...]) -> Question:
        """Ask for the next step."""

    def read(self, completion: Completion) -> Completion:
        """Return the completion with its tool calls; raises BadAnswer (`schema`)."""

    def write(self, assistant: Message, results: tuple[CallResult, ...]) -> tuple[Message, ...]:
        """Write the step and its results as turns of the conversation."""


class NativeTools:
    """The provider's own tool calls."""

    def prepare(
        self, messages: tuple[Message, ...], specs: tuple[ToolSpec, ...]
    ) -> tuple[Message, ...]:
        """Add nothing: the provider explains the tools."""
        return messages

    def question(self, messages: tuple[Message, ...], specs: tuple[ToolSpec, ...]) -> Question:
        """Offer the tools natively."""
        return Question(messages, tools=specs)

    def read(self, completion: Completion) -> Completion:
        """Take the calls as they are."""
        return completion

    def write(self, assistant: Message, results: tuple[CallResult, ...]) -> tuple[Message, ...]:
        """Answer each call by its id."""
        answers = (
            {"role": "tool", "tool_call_id": r.call.id, "content": r.content} for r in results
        )
        return (assistant, *answers)


class SchemaTools:
    """A JSON document that names one tool and its arguments.

    Where the model has no `response_format` either, its schema stands in the prompt.
    """

    def __init__(self, *, has_native_schema: bool = True) -> None:
        self._has_native_schema = has_native_schema

    def prepare(
        self, messages: tuple[Message, ...], specs: tuple[ToolSpec, ...]
    ) -> tuple[Message, ...]:
        """Explain the tools in the last message."""
        *rest, last = messages
        lines = "\n".join(f"- {s.name}: {s.description}" for s in specs)
        text = (
            f"{last['content']}\n\nWork step by step. Each answer is one JSON document with the "
            f"tool to use and its arguments. Tools:\n{lines}\n"
            f"- {FINISH}: Say that the task is done; `text` is the result in words."
        )
        prepared = (*rest, {**last, "content": text})
        return prepared if self._has_native_schema else with_schema(prepared, action_schema(specs))

    def question(self, messages: tuple[Message, ...], specs: tuple[ToolSpec, ...]) -> Question:
        """Bind the answer to one of the tools."""
        if not self._has_native_schema:
            return Question(messages)
        return Question(messages, schema_name="action", schema=action_schema(specs))

    def read(self, completion: Completion) -> Completion:
        """Turn the document into a tool call, or into the final words."""
        if completion.stop is not StopReason.STOP:
            return completion
        try:
            action = parse_document(completion.text)["action"]
            name, arguments = action["tool"], action["arguments"]
        except (ValueError, KeyError, TypeError) as error:
            raise BadAnswer(
                f"not a document with an action of `tool` and `arguments`: {error}", kind="schema"
            ) from error
        if name == FINISH:
            text = arguments.get("text") if isinstance(arguments, dict) else None
            return Completion(text=str(text or ""), tool_calls=(), stop=StopReason.STOP)
        call = ToolCall(id="action", name=str(name), arguments=json.dumps(arguments))
        return Completion(text="", tool_calls=(call,), stop=StopReason.TOOL_CALLS)

    def write(self, assistant: Message, results: tuple[CallResult, ...]) -> tuple[Message, ...]:
        """Repeat the action as it was asked for, and its result as the next word."""
        turns: list[Message] = []
        for result in results:
            action: dict[str, Any] = {
                "tool": result.call.name,
                "arguments": json.loads(result.call.arguments),
            }
            said = json.dumps({"action": action}, ensure_ascii=False)
            turns.append({"role": "assistant", "content": said})
            turns.append({"role": "user", "content": f"Result: {result.content}"})
        return tuple(turns)


def action_schema(specs: tuple[ToolSpec, ...]) -> JsonSchema:
    """Return the schema of one action: exactly one tool with that tool's arguments."""
    finish = ToolSpec(
        name=FINISH,
        description="",
        parameters={
            "type": "object",
            "properties": {"text": {"type": "string"}},
            "required": ["text"],
            "additionalProperties": False,
        },
    )
    actions = [
        {
            "type": "object",
            "properties": {
                "tool": {"type": "string", "enum": [spec.name]},
                "arguments": spec.parameters,
            },
            "required": ["tool", "arguments"],
            "additionalProperties": False,
        }
        for spec in (*specs, finish)
    ]
    # Providers want an object at the root, so the choice stands one level down.
    return {
        "type": "object",
        "properties": {"action": {"anyOf": actions}},
        "required": ["action"],
        "additionalProperties": False,
    }


def protocol_for(capabilities: Capabilities, *, has_tools: bool) -> ToolProtocol:
    """Choose by what the model supports; without tools there is nothing to explain."""
    if capabilities.native_tools or not has_tools:
        return NativeTools()
    return SchemaTools(has_native_schema=capabilities.native_schema)
