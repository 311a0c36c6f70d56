"""Texts as Slack takes them: mrkdwn in blocks, escaped, cut to fit.

Slack counts a block's text with its marks and escapes, so that is what is counted here.
"""

from collections.abc import Sequence
from typing import Any

from swarm.channels import runs
from swarm.channels.runs import Part, Run
from swarm.core.message import Button

TEXT_UNITS = 3000
"""Longest text of one block; a message may have more blocks, but a phone scrolls better by messages."""
FALLBACK_SIGNS = 3900
"""Longest text for notifications; Slack cuts what is longer than 4,000."""
LABEL_SIGNS = 75
VALUE_SIGNS = 2000
ROW_BUTTONS = 25
"""Most buttons of one row."""
MAX_BLOCKS = 50
_MARKS = {"b": "*", "i": "_", "code": "`"}


def cut(text: str) -> list[Part]:
    """Format a text and cut it into messages of at most `TEXT_UNITS` units each."""
    return runs.cut(text, limit=TEXT_UNITS, write=_marked, counts_marks=True)


def escaped(text: str) -> str:
    """Take the three signs away that Slack reads itself."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _marked(run: Run) -> str:
    text = escaped(run.text)
    if not run.tag or not run.text.strip():
        return text
    if run.tag == "a":
        return f"<{escaped(run.detail).replace('|', '%7C')}|{text.replace('|', '¦')}>"
    if run.tag == "pre":
        return f"```{text}```"
    mark = _MARKS[run.tag]
    return f"{mark}{text}{mark}"


def blocks(
    markup: str | None, text: str, buttons: Sequence[Sequence[Button]]
) -> list[dict[str, Any]]:
    """Return a message's blocks: its text, then its buttons; never more than Slack takes."""
    kind, words = ("mrkdwn", markup) if markup is not None else ("plain_text", text)
    words = (words or "").strip()
    words = words if runs.units(words) <= TEXT_UNITS else words[: TEXT_UNITS // 2]
    found: list[dict[str, Any]] = [{"type": "section", "text": {"type": kind, "text": words}}]
    rows = [list(row) for row in buttons if row]
    if len(rows) + 1 > MAX_BLOCKS:
        flat = [button for row in rows for button in row]
        rows = [flat[at : at + ROW_BUTTONS] for at in range(0, len(flat), ROW_BUTTONS)]
    for number, row in enumerate(rows[: MAX_BLOCKS - 1]):
        elements = [_button(b, f"swarm-{number}-{n}") for n, b in enumerate(row[:ROW_BUTTONS])]
        found.append({"type": "actions", "block_id": f"row-{number}", "elements": elements})
    return found


def _button(button: Button, action_id: str) -> dict[str, Any]:
    return {
        "type": "button",
        "action_id": action_id,
        "text": {"type": "plain_text", "text": button.label[:LABEL_SIGNS], "emoji": True},
        "value": button.token[:VALUE_SIGNS],
    }
