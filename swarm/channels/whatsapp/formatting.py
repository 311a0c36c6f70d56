"""Texts as WhatsApp takes them, cut to fit, and buttons where there is room for them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from swarm.channels import runs
from swarm.channels.runs import Part, Run
from swarm.core.message import Button
from swarm.core.text import shorten

TEXT_UNITS = 4096
BODY_UNITS = 1024
"""Longest text above buttons, and under a file."""
MAX_BUTTONS = 3
MAX_ROWS = 10
TITLE_SIGNS = 20
"""Longest title of a button."""
ROW_SIGNS = 24
"""Longest title of a row of a list."""
DETAIL_SIGNS = 72
"""Longest line under it."""
_MARKS = {"b": "*", "i": "_", "code": "`"}
_NUMBERED = re.compile(r"\d{1,2}\. ")


@dataclass(frozen=True, slots=True)
class Choice:
    """One way that a person may press."""

    title: str
    token: str
    detail: str = ""


def cut(text: str, *, limit: int = TEXT_UNITS) -> list[Part]:
    """Format a text and cut it into messages of at most `limit` units each."""
    return runs.cut(text, limit=limit, write=_marked, counts_marks=True)


def _marked(run: Run) -> str:
    """Write a run in WhatsApp's marks; nothing can be escaped, so unmarked text stays as it is."""
    if not run.tag or not run.text.strip():
        return run.text
    if run.tag == "a":
        return f"{run.text} ({run.detail})" if run.text != run.detail else run.detail
    if run.tag == "pre":
        return f"```{run.text}```"
    mark = _MARKS[run.tag]
    return f"{mark}{run.text}{mark}"


def numbered(buttons: Sequence[Button]) -> str:
    """Say which number stands for which button; empty where the text says so, or there is one way."""
    if len(buttons) < 2 or all(_NUMBERED.match(button.label) for button in buttons):
        return ""
    return " · ".join(f"{n} {button.label}" for n, button in enumerate(buttons, start=1))


def choices(buttons: Sequence[Button]) -> list[Choice]:
    """Return what can be pressed: three buttons, or up to ten rows of a list.

    More than ten have no place; their numbers are in the text and can be replied. Titles are told
    apart even where they had to be shortened alike, which the platform wants.
    """
    is_list = len(buttons) > MAX_BUTTONS
    room = ROW_SIGNS if is_list else TITLE_SIGNS
    found: list[Choice] = []
    taken: set[str] = set()
    for number, button in enumerate(buttons[:MAX_ROWS], start=1):
        label = " ".join(button.label.split()) or str(number)
        title = _shortened(label, room)
        if title in taken:
            title = _shortened(f"{number} {label}", room)
        taken.add(title)
        detail = _shortened(label, DETAIL_SIGNS) if is_list and title != label else ""
        found.append(Choice(title, button.token, detail))
    return found


def _shortened(text: str, most: int) -> str:
    """Shorten to so many UTF-16 units, which is the strictest way to count them."""
    signs = most
    while runs.units(short := shorten(text, signs)) > most:
        signs -= 1
    return short
