"""A person's recorded word, said again."""

import json
from typing import Any

from swarm.evals.lanes import Entry
from swarm.runtime.office import Office

MIDWAY = ("cancel", "budget", "pause", "unpause")
"""Words that need no halt: what they do depends on how far the work had come."""


def answer_with(office: Office, row: Any, word: Entry) -> None:
    """Say a recorded word on one open ask.

    Args:
        office: Of the company that is played.
        row: The ask.
        word: What was said on it.
    """
    by, text = word["by"] or "founder", str(word["answer"])
    if word["act"] == "question":
        office.answer(row.id, text, by=by)
    elif word["act"] == "choice":
        option, _, reason = text.partition(" (because: ")
        options: list[str] = json.loads(row.options)
        if option in options:
            number = options.index(option) + 1
            office.choose(row.id, number, by=by, reason=reason.removesuffix(")"))
        else:
            office.answer(row.id, text, by=by)
    elif text.startswith("rejected: ") or word.get("signed") is False:
        office.reject(row.id, word.get("reason") or text.removeprefix("rejected: "), by=by)
    else:
        office.approve(row.id, by=by)
