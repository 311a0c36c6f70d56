"""Alternatives go to the founder whole, with price and risk, or not at all."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from swarm.core.errors import ToolError
from swarm.tools.base import AskPerson, ToolContext
from swarm.tools.propose import ProposeArguments, ProposeOptions

CONTEXT = ToolContext(workspace=Path("unused"), role="marketcom", task_id="t1")


def option(name: str, **more: str) -> dict[str, str]:
    return {"name": name, "what": "A page.", "cost": "2 hours.", "risk": "None known.", **more}


async def proposed(*options: dict[str, str], question: str = "Which name?") -> AskPerson:
    args = ProposeArguments.model_validate({"question": question, "options": list(options)})
    return await ProposeOptions().run(args, CONTEXT)


async def test_each_alternative_says_what_it_is_what_it_costs_and_what_may_go_wrong() -> None:
    asked = await proposed(option("Bold"), option("Quiet", risk="Nobody\nnotices."))
    assert asked.question == "Which name?"
    assert asked.options == (
        "Bold: A page. Cost: 2 hours. Risk: None known.",
        "Quiet: A page. Cost: 2 hours. Risk: Nobody notices.",
    )


@pytest.mark.parametrize(
    "options",
    [
        (option("Same"), option("same ")),
        (option("One"), option("Two", cost="\u202e")),
        (option("One"), option("\u202e")),
    ],
)
async def test_no_choice_without_words_or_between_the_same(options: Any) -> None:
    with pytest.raises(ToolError):
        await proposed(*options)


@pytest.mark.parametrize("count", [0, 1, 7])
def test_a_choice_has_two_to_six_alternatives(count: int) -> None:
    options = [option(f"Name {n}") for n in range(count)]
    with pytest.raises(ValidationError):
        ProposeArguments.model_validate({"question": "Which?", "options": options})


async def test_signs_that_would_show_another_text_are_taken_out() -> None:
    asked = await proposed(option("Bo\u202eld"), option("Quiet"), question="Which\u2066?")
    assert asked.options[0].startswith("Bold:")
    assert asked.question == "Which?"
