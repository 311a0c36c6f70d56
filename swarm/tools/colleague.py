"""The tool that asks a colleague a short question."""

from typing import ClassVar

from pydantic import Field

from swarm.core.errors import ToolError
from swarm.core.text import clean_text
from swarm.tools.base import Arguments, Effect, Handoff, ToolContext


class QuestionArguments(Arguments):
    """Whom to ask what."""

    role: str = Field(description="The colleague's role.")
    question: str = Field(
        min_length=1,
        max_length=4_000,
        description="The question, with all the colleague must know to answer it.",
    )


class AskColleague:
    """Ask a colleague; they answer in a few sentences, without tools and without a file."""

    name: ClassVar[str] = "ask"
    description: ClassVar[str] = (
        "Ask a colleague one short question and get a few sentences back. It costs one model "
        "call; for work that needs files or tools use delegate instead."
    )
    # Nothing leaves the company, and a colleague who answers has no tools.
    effect: ClassVar[Effect] = Effect.READ

    Args: ClassVar[type[Arguments]] = QuestionArguments

    def reads(self, args: QuestionArguments) -> tuple[str, ...]:
        """Return no file: nothing of the workspace is shown."""
        return ()

    async def run(self, args: QuestionArguments, context: ToolContext) -> Handoff:
        """Return the question as a hand-over that wants words only.

        Raises:
            ToolError: No such colleague (the known ones are named), the caller itself, or no words.
        """
        others = [name for name in context.colleagues if name != context.role]
        if args.role not in others:
            known = ", ".join(others) or "none"
            raise ToolError(f"no colleague {args.role!r} to ask; your colleagues: {known}")
        question = clean_text(args.question).strip()
        if not question:
            raise ToolError("ask: the question needs words")
        return Handoff(role=args.role, title="Question", brief=question, is_question=True)
