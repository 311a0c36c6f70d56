"""A short question goes to a colleague, who answers in words."""

from pathlib import Path

import pytest

from swarm.core.errors import ToolError
from swarm.tools.base import ToolContext
from swarm.tools.colleague import AskColleague, QuestionArguments

CONTEXT = ToolContext(Path("unused"), role="cto", task_id="t1", colleagues=("ceo", "cto"))


async def test_a_question_is_a_hand_over_that_wants_words_only() -> None:
    args = QuestionArguments(role="ceo", question="Which\u202e year?")
    handoff = await AskColleague().run(args, CONTEXT)
    assert (handoff.role, handoff.brief, handoff.is_question) == ("ceo", "Which year?", True)


@pytest.mark.parametrize("role", ["cto", "legal", ""])
async def test_only_colleagues_are_asked(role: str) -> None:
    with pytest.raises(ToolError, match="your colleagues: ceo"):
        await AskColleague().run(QuestionArguments(role=role, question="Who?"), CONTEXT)


async def test_a_question_needs_words() -> None:
    with pytest.raises(ToolError, match="words"):
        await AskColleague().run(QuestionArguments(role="ceo", question="\u202e "), CONTEXT)
