"""The tool that asks the founder."""

from typing import Annotated, ClassVar

from pydantic import Field

from swarm.core.errors import ToolError
from swarm.core.text import clean_text
from swarm.tools.base import Arguments, AskPerson, Effect, ToolContext

MAX_OPTIONS = 6
"""As many as a phone shows without scrolling."""


class AskArguments(Arguments):
    """What to ask."""

    question: str = Field(min_length=1, max_length=2_000)
    options: list[Annotated[str, Field(min_length=1, max_length=200)]] = Field(
        default_factory=list,
        max_length=MAX_OPTIONS,
        description="Answers to choose from; leave it out where any answer is possible.",
    )


class AskFounder:
    """Ask the founder one question; the attempt rests until it is answered."""

    name: ClassVar[str] = "ask_founder"
    description: ClassVar[str] = (
        "Ask the founder one question. It costs the founder's time and the work rests until the "
        "answer comes, so ask only what changes your result and what you cannot decide yourself."
    )
    # The question reaches the person the work is for, by the company's own way, and nobody else.
    effect: ClassVar[Effect] = Effect.READ

    Args: ClassVar[type[Arguments]] = AskArguments

    def reads(self, args: AskArguments) -> tuple[str, ...]:
        """Return no file: nothing of the workspace is shown."""
        return ()

    async def run(self, args: AskArguments, context: ToolContext) -> AskPerson:
        """Return the question, cleaned of signs that would show another text than was written.

        Raises:
            ToolError: Nothing is left of the question or an option, or two options are the same.
        """
        question = clean_text(args.question).strip()
        options = tuple(" ".join(clean_text(option).split()) for option in args.options)
        if not question:
            raise ToolError("ask_founder: the question needs words")
        if not all(options) or len(set(options)) < len(options):
            raise ToolError("ask_founder: options need words, and each must differ from the others")
        return AskPerson(question=question, options=options)
