"""Texts as Telegram takes them: HTML, escaped, cut to fit, with no tag and no sign cut in two.

Telegram counts a text in UTF-16 units after it has read the markup, so that is what is counted
here.
"""

import html
from dataclasses import dataclass

from swarm.channels import runs
from swarm.channels.runs import Run, read, units

__all__ = ["CAPTION_UNITS", "TEXT_UNITS", "Part", "cut", "read", "units"]

TEXT_UNITS = 4096
CAPTION_UNITS = 1024


@dataclass(frozen=True, slots=True)
class Part:
    """What one message takes."""

    plain: str
    html: str


def cut(text: str, *, limit: int = TEXT_UNITS) -> list[Part]:
    """Format a text and cut it into messages of at most `limit` units each; see `runs.cut`."""
    found = runs.cut(text, limit=limit, write=_tagged, counts_marks=False)
    return [Part(part.plain, part.marked) for part in found]


def _tagged(run: Run) -> str:
    text = html.escape(run.text, quote=False)
    if not run.tag or not run.text.strip():
        return text
    if run.tag == "a":
        return f'<a href="{html.escape(run.detail)}">{text}</a>'
    if run.tag == "pre" and run.detail:
        name = html.escape(run.detail)
        return f'<pre><code class="language-{name}">{text}</code></pre>'
    return f"<{run.tag}>{text}</{run.tag}>"
