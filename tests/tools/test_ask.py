"""What the founder can be asked."""

import json
from pathlib import Path
from typing import Any

import pytest

from swarm.core.errors import ToolError
from swarm.tools.ask import AskFounder
from swarm.tools.base import AskPerson, ToolContext, check_arguments

CONTEXT = ToolContext(workspace=Path("unused"), role="cto", task_id="t1")


async def ask(**arguments: Any) -> AskPerson:
    tool = AskFounder()
    return await tool.run(check_arguments(tool, json.dumps(arguments)), CONTEXT)  # type: ignore[arg-type]  # checked above


async def test_a_question_goes_out_with_its_options() -> None:
    assert await ask(question=" Red or blue? ", options=["red", " blue\n"]) == AskPerson(
        "Red or blue?", ("red", "blue")
    )


async def test_a_question_needs_no_options() -> None:
    assert await ask(question="Which name?") == AskPerson("Which name?", ())


@pytest.mark.parametrize(
    "arguments",
    [
        {"question": ""},
        {"question": "\u202e \x07"},
        {"question": "x" * 2_001},
        {"question": "a?", "options": list("abcdefg")},
        {"question": "a?", "options": ["a", ""]},
        {"question": "a?", "options": ["a", "\u200e"]},
        {"question": "a?", "options": ["a", "a "]},
        {"question": "a?", "urgent": True},
    ],
)
async def test_a_question_nobody_could_answer_is_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ToolError, match="ask_founder"):
        await ask(**arguments)


async def test_the_founder_sees_the_text_that_was_written() -> None:
    asked = await ask(question="pay \u202e100\u202c?", options=["ye\u2066s", "no"])
    assert asked == AskPerson("pay 100?", ("yes", "no"))
