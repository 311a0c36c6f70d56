"""Texts as Telegram counts and reads them."""

import html
import re
from html.parser import HTMLParser

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from swarm.channels.runs import Run, read, units
from swarm.channels.telegram.formatting import TEXT_UNITS, cut
from swarm.core.text import clean_text

MARKS = st.sampled_from(
    ["```py\n", "\n```\n", "**", "`", "[a](https://x.y/?a=1&b=2)", "<b>", "&amp;", "# H\n", "\n\n",
     " ", "\u200d", "\U0001f468\u200d\U0001f469", "\u0301", "\U0001f1eb\U0001f1f7", "*", "_", "\x00"]
)  # fmt: skip
TEXTS = st.lists(MARKS | st.text(max_size=30), max_size=60).map("".join)
LIMITS = st.integers(min_value=40, max_value=300)


class Strict(HTMLParser):
    """Read HTML as Telegram does: known tags alone, each closed, in order."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: object) -> None:
        assert tag in ("b", "i", "code", "pre", "a")
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def understood(markup: str) -> str:
    parser = Strict()
    parser.feed(markup)
    parser.close()
    assert parser.open == []
    return parser.text


@given(TEXTS, LIMITS)
@example("x" * 500, 40)
@example("\U0001f600" * 200, 41)
def test_every_part_fits_and_its_markup_is_whole(text: str, limit: int) -> None:
    for part in cut(text, limit=limit):
        assert 0 < units(part.plain) <= limit
        assert part.plain.strip()
        assert understood(part.html) == part.plain
        part.plain.encode("utf-8")


@given(TEXTS, LIMITS)
def test_no_word_is_lost(text: str, limit: int) -> None:
    whole = "".join(run.text for run in read_clean(text))
    parts = cut(text, limit=limit)
    said = "".join(
        re.sub(r"\n\(\d+/\d+\)\Z", "", p.plain) if len(parts) > 1 else p.plain for p in parts
    )
    if whole.strip():
        assert re.sub(r"\s", "", said) == re.sub(r"\s", "", whole)


def read_clean(text: str) -> list[Run]:
    return list(read(clean_text(text).strip()))


@pytest.mark.parametrize(
    ("text", "markup"),
    [
        ("a < b & c", "a &lt; b &amp; c"),
        ("**bold** and `x<y`", "<b>bold</b> and <code>x&lt;y</code>"),
        ("# Head\nbody", "<b>Head</b>\nbody"),
        ("[words](https://a.b/?c=1&d=2)", '<a href="https://a.b/?c=1&amp;d=2">words</a>'),
        ("[words](javascript:alert)", "[words](javascript:alert)"),
        ("snake_case_name and 2*3*4", "snake_case_name and 2*3*4"),
        (
            "```py\nprint('<')\n```\nend",
            "<pre><code class=\"language-py\">print('&lt;')</code></pre>\nend",
        ),
        ("```\nnever closed", "<pre>never closed</pre>"),
        ("<script>x</script>", "&lt;script&gt;x&lt;/script&gt;"),
    ],
)
def test_marks_of_models_become_markup(text: str, markup: str) -> None:
    (part,) = cut(text)
    assert part.html == markup
    assert html.unescape(re.sub(r"<[^>]+>", "", part.html)) == part.plain


def test_a_fence_that_is_cut_is_closed_and_opened_again() -> None:
    first, second = cut("```py\n" + "line of code\n" * 500 + "```")
    for part in (first, second):
        assert part.html.startswith('<pre><code class="language-py">')
        assert part.html.count("</code></pre>") == 1
    assert first.plain.endswith("(1/2)")


def test_a_text_of_exactly_the_limit_is_one_part() -> None:
    assert len(cut("x" * TEXT_UNITS)) == 1
    assert len(cut("\U0001f600" * (TEXT_UNITS // 2))) == 1
    assert len(cut("x" * (TEXT_UNITS + 1))) == 2


def test_a_blank_text_says_so() -> None:
    assert [part.plain for part in cut(" \n\t")] == ["(no words)"]


def test_what_the_eye_sees_as_one_sign_is_not_cut() -> None:
    family = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
    for part in cut(family * 40, limit=61):
        body = part.plain.rpartition("\n")[0]
        assert body.replace(family, "") == ""
