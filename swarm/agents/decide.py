"""Ask a role for a decision that fits a schema; what does not fit is repaired once."""

import json
import re
from collections.abc import Callable
from typing import Any, TypeVar

from pydantic import ValidationError

from swarm.agents.mind import Mind, Question, assistant_message
from swarm.core.chat import Completion, JsonSchema, Message, StopReason
from swarm.core.errors import BadAnswer

T = TypeVar("T")


async def decide(
    mind: Mind,
    messages: tuple[Message, ...],
    *,
    name: str,
    schema: JsonSchema,
    read: Callable[[Any], T],
) -> T:
    """Return the decision `read` makes of the model's JSON document.

    Args:
        mind: Who decides, and where in the order.
        messages: The conversation so far.
        name: Name of the schema, `[a-z_]+`.
        schema: JSON Schema of the document, without `$ref`.
        read: Turns the parsed document into the value; a ValueError says what does not fit.

    Raises:
        BadAnswer: Refused, filtered, or unusable twice. `kind` says which.
    """
    is_native = mind.capabilities.native_schema
    if not is_native:
        messages = with_schema(messages, schema)
    for seq in range(2):
        question = Question(
            messages,
            schema_name=name if is_native else None,
            schema=schema if is_native else None,
        )
        try:
            completion = await mind.think(seq, question)
        except BadAnswer as error:
            if error.kind != "malformed" or seq == 1:
                raise
            continue
        try:
            _check_stop(completion)
            return read(parse_document(completion.text))
        except ValueError as error:
            if seq == 1:
                raise BadAnswer(
                    f"{mind.role.name}'s answer did not fit {name} twice: {_fault(error)}",
                    kind="schema",
                ) from error
            messages = (
                *messages,
                assistant_message(completion)
                if completion.text
                else {"role": "assistant", "content": "(empty)"},
                {"role": "user", "content": _repair(name, error)},
            )
    raise BadAnswer(f"{mind.role.name} gave no readable {name}", kind="malformed")


def parse_document(text: str) -> Any:
    """Read a JSON document that may stand in a code fence or between sentences.

    Raises:
        ValueError: There is none.
    """
    if not text.strip():
        raise ValueError("the answer is empty")
    fence = re.search(r"```(?:json)?\s*\n(.*?)```", text, re.DOTALL)
    candidate = fence.group(1) if fence else text
    try:
        return json.loads(candidate)
    except json.JSONDecodeError as error:
        start, end = candidate.find("{"), candidate.rfind("}")
        if 0 <= start < end and (start > 0 or end < len(candidate) - 1):
            try:
                return json.loads(candidate[start : end + 1])
            except json.JSONDecodeError:
                pass  # The first error names the better place.
        raise ValueError(f"not JSON: {error.msg} at character {error.pos}") from error
    except RecursionError as error:
        raise ValueError("the document is nested too deeply") from error


def _check_stop(completion: Completion) -> None:
    if completion.stop is StopReason.REFUSAL:
        raise BadAnswer(f"the model refused: {completion.text[:200]}", kind="refusal")
    if completion.stop is StopReason.CONTENT_FILTER:
        raise BadAnswer("the provider's content filter stopped the answer", kind="content_filter")
    if completion.stop is StopReason.LENGTH:
        raise ValueError("the answer was cut off at the token limit; write much less")


def _repair(name: str, error: ValueError) -> str:
    return (
        f"That was not a valid {name} document: {_fault(error)}. "
        "Answer again with the whole corrected JSON document and nothing else."
    )


def _fault(error: ValueError) -> str:
    if isinstance(error, ValidationError):
        return "; ".join(
            f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']}"
            for item in error.errors(include_url=False, include_input=False)[:5]
        )
    return str(error)


def with_schema(messages: tuple[Message, ...], schema: JsonSchema) -> tuple[Message, ...]:
    """Write the schema into the last message, for a model without `response_format`."""
    *rest, last = messages
    text = (
        f"{last['content']}\n\nAnswer with one JSON document that fits this JSON Schema, "
        f"and nothing else:\n{json.dumps(schema, ensure_ascii=False)}"
    )
    return (*rest, {**last, "content": text})
