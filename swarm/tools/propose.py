"""The tool that lets the founder choose between real alternatives."""

from typing import Annotated, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from swarm.core.errors import ToolError
from swarm.core.text import clean_text
from swarm.tools.ask import MAX_OPTIONS
from swarm.tools.base import Arguments, AskPerson, Effect, ToolContext

_Short = Annotated[str, Field(min_length=1, max_length=300)]


class Alternative(BaseModel):
    """One way to go."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(min_length=1, max_length=80)] = Field(
        description="A few words that tell it from the others."
    )
    what: _Short = Field(description="What the founder would get.")
    cost: _Short = Field(description="What it costs: money, time, work later.")
    risk: _Short = Field(description="What may go wrong, honestly.")


class ProposeArguments(Arguments):
    """The choice."""

    question: str = Field(min_length=1, max_length=1_000, description="What is to be decided.")
    options: list[Alternative] = Field(min_length=2, max_length=MAX_OPTIONS)


class ProposeOptions:
    """Show the founder alternatives with their price and risk; the attempt rests until they pick."""

    name: ClassVar[str] = "propose_options"
    description: ClassVar[str] = (
        "Where taste or a trade-off decides, show the founder two to six real alternatives, each "
        "with what it costs and risks, and wait for their pick. Alternatives that nobody would "
        "choose waste the founder's time."
    )
    # The choice reaches the person the work is for, by the company's own way, and nobody else.
    effect: ClassVar[Effect] = Effect.READ

    Args: ClassVar[type[Arguments]] = ProposeArguments

    def reads(self, args: ProposeArguments) -> tuple[str, ...]:
        """Return no file: nothing of the workspace is shown."""
        return ()

    async def run(self, args: ProposeArguments, context: ToolContext) -> AskPerson:
        """Return the choice.

        Raises:
            ToolError: No words are left of a part, or two alternatives are the same.
        """
        question = clean_text(args.question).strip()
        options = tuple(_line(option) for option in args.options)
        names = {_clean(option.name).casefold() for option in args.options}
        if not question or len(names) < len(options):
            raise ToolError(
                "propose_options: the question needs words, and each alternative a name of its own"
            )
        return AskPerson(question=question, options=options)


def _line(option: Alternative) -> str:
    name, what, cost, risk = map(_clean, (option.name, option.what, option.cost, option.risk))
    if not (name and what and cost and risk):
        raise ToolError("propose_options: each alternative needs a name, what, cost and risk")
    return f"{name}: {what} Cost: {cost} Risk: {risk}"


def _clean(text: str) -> str:
    return " ".join(clean_text(text).split())
