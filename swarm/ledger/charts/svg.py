"""Draw bars and lines as SVG that a person, a screen reader and a printer can read.

Colours are the text's own or come with a dark-mode twin, so that a plot stands on any ground.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from swarm.core.text import clean_text

WIDTH = 640
BAR, GAP = 22, 10
LABEL = 190
"""Room for names, left of the bars."""
VALUE = 130
"""Room for what is written beside a bar."""
STYLE = (
    "svg{color:#1b1f24}text{font:13px system-ui,sans-serif;fill:currentColor}"
    ".bar{fill:#2f6fde}.soft{fill:#9db8ea}.line{fill:none;stroke:#2f6fde;stroke-width:2}"
    ".axis{stroke:currentColor;stroke-opacity:.35}.dot{fill:#c2410c}"
    "@media(prefers-color-scheme:dark){svg{color:#e6e8eb}.bar{fill:#7aa7ff}.soft{fill:#3d5a94}"
    ".line{stroke:#7aa7ff}.dot{fill:#ffb08a}}"
)


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar with its name and the words beside it."""

    name: str
    value: float
    """At least 0."""
    text: str
    is_soft: bool = False
    """True draws it paler: a lower bound, or what is not owed."""


@dataclass(frozen=True, slots=True)
class Dot:
    """One point of a plot with logarithmic x."""

    x: float
    y: float
    text: str


def bars(title: str, rows: Sequence[Bar], *, description: str, id: str) -> str:
    """Draw horizontal bars, one a row, with names on the left and words on the right."""
    longest = max((row.value for row in rows), default=0.0) or 1.0
    room = WIDTH - LABEL - VALUE
    parts = []
    for place, row in enumerate(rows):
        y = place * (BAR + GAP) + GAP
        width = max(room * row.value / longest, 1.0 if row.value > 0 else 0.0)
        kind = "soft" if row.is_soft else "bar"
        parts += [
            f'<text x="{LABEL - 8}" y="{y + 16}" text-anchor="end">{_text(_cut(row.name))}</text>',
            f'<rect class="{kind}" x="{LABEL}" y="{y}" width="{width:.1f}" height="{BAR}" rx="3">'
            f"<title>{_text(f'{row.name}: {row.text}')}</title></rect>",
            f'<text x="{LABEL + width + 8:.1f}" y="{y + 16}">{_text(row.text)}</text>',
        ]
    height = len(rows) * (BAR + GAP) + GAP
    return _svg(title, description, id, height, parts)


def curve(
    title: str,
    dots: Sequence[Dot],
    line: Sequence[tuple[float, float]],
    *,
    description: str,
    id: str,
    highest: str,
) -> str:
    """Draw points and a fitted line over a logarithmic x from 1 on.

    Args:
        title: Read aloud and shown as a tooltip.
        dots: At least one.
        line: The fitted shape; may be empty.
        description: What the plot shows, for who cannot see it.
        id: Unique in the page.
        highest: Words at the top of the y axis.
    """
    left, top, height = 70, 16, 220
    last = max(max(dot.x for dot in dots), 2.0)
    most = max([dot.y for dot in dots] + [y for _, y in line]) or 1.0

    def place(x: float, y: float) -> tuple[float, float]:
        along = math.log(max(x, 1.0)) / math.log(last)
        return left + along * (WIDTH - left - 20), top + (1 - y / most) * (height - top - 30)

    foot = place(1, 0)[1]
    parts = [
        f'<line class="axis" x1="{left}" y1="{foot:.1f}" x2="{WIDTH - 20}" y2="{foot:.1f}"/>',
        f'<line class="axis" x1="{left}" y1="{top}" x2="{left}" y2="{foot:.1f}"/>',
        f'<text x="{left - 8}" y="{top + 8}" text-anchor="end">{_text(highest)}</text>',
        f'<text x="{left - 8}" y="{foot:.1f}" text-anchor="end">0</text>',
        f'<text x="{left}" y="{height - 8}">order 1</text>',
        f'<text x="{WIDTH - 20}" y="{height - 8}" text-anchor="end">order {last:,.0f}</text>',
    ]
    if line:
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in line))
        parts.append(f'<polyline class="line" points="{path}"/>')
    for dot in dots:
        x, y = place(dot.x, dot.y)
        parts.append(
            f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="4">'
            f"<title>{_text(dot.text)}</title></circle>"
        )
    return _svg(title, description, id, height, parts)


def alone(drawing: str) -> str:
    """Make a drawing a file of its own, with its style in it."""
    head, sign, rest = drawing.partition(">")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{head}{sign}<style>{STYLE}</style>{rest}\n'


def _svg(title: str, description: str, id: str, height: float, parts: Sequence[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" '
        f'role="img" aria-labelledby="{id}-title {id}-text">'
        f'<title id="{id}-title">{_text(title)}</title>'
        f'<desc id="{id}-text">{_text(description)}</desc>{"".join(parts)}</svg>'
    )


def _cut(name: str, most: int = 26) -> str:
    return name if len(name) <= most else name[: most - 1] + "…"


def _text(text: str) -> str:
    # XML has no way to write most control signs, and two more that Unicode leaves unused.
    return escape(clean_text(text).replace("\ufffe", "").replace("\uffff", ""), quote=True)
