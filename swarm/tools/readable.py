"""Turn what a server sent into text a model can read, in bounded time and memory.

What a person looking at the page would not see is left out: it is where instructions to models are
hidden. Only what an element says of itself counts; style sheets are not read, so the origin of the
text, not this module, is what keeps it from being obeyed.
"""

import codecs
import re
from dataclasses import dataclass
from itertools import islice
from typing import Any
from urllib.parse import urljoin

from swarm.core.text import clean_text, shorten
from swarm.tools.http import Page

MAX_ELEMENTS = 15_000
"""How far into a page elements are laid out; each costs 25 to 100 µs, deeply nested ones more."""
MAX_LINKS = 40
MAX_LINK_SIGNS = 300

_PLAIN_TYPES = frozenset(
    {"application/json", "application/xml", "application/javascript", "application/yaml"}
    | {"application/x-yaml", "application/toml", "application/x-ndjson", "application/graphql"}
)
_HTML_TYPES = frozenset({"text/html", "application/xhtml+xml"})
# Codecs of the web; Python knows others that are slow, or no encodings of text at all.
_CHARSETS = re.compile(
    r"utf-?(8|16|32)|ascii|iso8859|latin|cp125|cp65001|koi8|gb|big5|euc|shift_jis|cp932|mac|tis"
)
_META_CHARSET = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([\w-]{2,40})", re.IGNORECASE)

# Signs without a shape of their own: joiners and marks, fillers, variation selectors, and the tag
# block, in which a whole ASCII text can travel unseen.
_SHAPELESS = re.compile(
    "[\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
_SEPARATORS = str.maketrans({0x2028: "\n", 0x2029: "\n"})

UNSHOWN_TAGS = frozenset(
    {"script", "style", "template", "noscript", "iframe", "object", "audio", "video", "canvas"}
    | {"datalist", "noembed", "noframes", "math-annotation", "annotation", "svg"}
)
_LENGTH_ZERO = r"0*(?:\.0*)?(?:%|[a-z]{0,4})"
_END = r"\s*(?:!|;|$)"
_HIDING = re.compile(
    r"(?:^|;)\s*(?:"
    rf"display\s*:\s*none{_END}"
    rf"|visibility\s*:\s*(?:hidden|collapse){_END}"
    rf"|content-visibility\s*:\s*hidden{_END}"
    rf"|opacity\s*:\s*{_LENGTH_ZERO}{_END}"
    rf"|font-size\s*:\s*(?:{_LENGTH_ZERO}|(?:[01](?:\.\d*)?|\.\d+)(?:px|pt)){_END}"
    rf"|color\s*:\s*transparent{_END}"
    r"|(?:left|top|right|bottom|text-indent|margin-left|margin-top)\s*:\s*-(?:999|\d{4,})"
    r"|clip\s*:\s*rect\(\s*[01](?:px)?[\s,]+[01](?:px)?[\s,]+[01](?:px)?[\s,]+[01](?:px)?\s*\)"
    r"|transform\s*:\s*scale\(\s*0\s*\)"
    r")"
)
_NO_ROOM = re.compile(rf"(?:^|;)\s*(?:max-)?(?:height|width)\s*:\s*{_LENGTH_ZERO}{_END}")
_OVERFLOW = re.compile(r"(?:^|;)\s*overflow(?:-[xy])?\s*:\s*(?:hidden|clip)")
_CSS_ESCAPE = re.compile(r"\\([0-9a-fA-F]{1,6})\s?|\\(.)")
_CSS_COMMENT = re.compile(r"/\*.*?(?:\*/|$)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Readable:
    """A page as text; `refusal` is set instead where it holds none."""

    title: str = ""
    text: str = ""
    links: tuple[str, ...] = ()
    """`words: address`, absolute, each once, at most `MAX_LINKS`."""
    is_cut: bool = False
    refusal: str = ""


def readable(page: Page) -> Readable:
    """Read a page: HTML laid out as text, other text as it is, anything else refused."""
    kind = page.content_type.partition(";")[0].strip().lower() or _sniffed(page.body)
    is_html = kind in _HTML_TYPES
    if not is_html and not _is_plain(kind):
        words = "a PDF" if page.body.startswith(b"%PDF") or kind.endswith("/pdf") else "no text"
        return Readable(refusal=f"This is {words} ({shorten(see(kind), 60)}) and cannot be read.")
    text = _decoded(page, is_html=is_html)
    if "\0" in text[:4_096]:
        return Readable(refusal=f"This claims to be {shorten(see(kind), 60)} but holds no text.")
    return _html(text, page.url) if is_html else Readable(text=see(text))


def see(text: str) -> str:
    """Return what can be seen of a text: no controls, no direction marks, no invisible signs."""
    return _SHAPELESS.sub("", clean_text(text)).translate(_SEPARATORS)


def is_hiding(style: str) -> bool:
    """Return whether an inline style takes its element out of sight."""
    plain = _CSS_ESCAPE.sub(_unescaped, _CSS_COMMENT.sub("", style[:4_096])).lower()
    is_squeezed = _NO_ROOM.search(plain) is not None and _OVERFLOW.search(plain) is not None
    return is_squeezed or _HIDING.search(plain) is not None


def _unescaped(match: re.Match[str]) -> str:
    if match[2]:
        return match[2]
    number = int(match[1], 16)
    return chr(number) if number < 0x110000 else ""


def _sniffed(body: bytes) -> str:
    start = body[:512].lstrip()
    if start.startswith(b"%PDF") or b"\0" in start:
        return "application/octet-stream"
    return "text/html" if start.startswith(b"<") else "text/plain"


def _is_plain(kind: str) -> bool:
    return kind.startswith("text/") or kind in _PLAIN_TYPES or kind.endswith(("+json", "+xml"))


def _decoded(page: Page, *, is_html: bool) -> str:
    body = page.body
    for mark, name in (
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if body.startswith(mark):
            return body.decode(name, "replace")
    declared = re.search(r"charset\s*=\s*[\"']?([\w.:-]{2,40})", page.content_type, re.IGNORECASE)
    meta = _META_CHARSET.search(body[:4_096]) if is_html else None
    name = _codec(declared[1] if declared else meta[1].decode() if meta else "")
    if name:
        return body.decode(name, "replace")
    try:
        return body.decode()
    except UnicodeDecodeError:
        # A cut body may end within a sign; old pages that declare nothing are Windows-1252.
        fallback = "utf-8" if page.is_cut else "cp1252"
        return body.decode(fallback, "replace")


def _codec(name: str) -> str:
    try:
        known = codecs.lookup(name).name if name else ""
    except (LookupError, ValueError):
        return ""
    return known if _CHARSETS.match(known) else ""


def _html(text: str, url: str) -> Readable:
    # None of these packages carries types.
    from inscriptis.css_profiles import CSS_PROFILES  # type: ignore[import-untyped]
    from inscriptis.html_engine import Inscriptis  # type: ignore[import-untyped]
    from inscriptis.html_properties import Display  # type: ignore[import-untyped]
    from inscriptis.model.config import ParserConfig  # type: ignore[import-untyped]
    from inscriptis.model.html_element import HtmlElement as Style  # type: ignore[import-untyped]

    tree = _tree(text)
    if tree is None:
        return Readable()
    title = shorten(see(tree.findtext(".//title") or ""), 200)
    _hide(tree)
    is_cut = _clip(tree)
    links = _links(tree, url)
    _flatten(tree)
    # Without the indent of lists: nested ones could make each short line a long one.
    style = CSS_PROFILES["strict"] | dict.fromkeys(("ul", "ol"), Style(display=Display.block))
    laid_out = Inscriptis(tree, ParserConfig(css=style)).get_text()
    lines = (line.rstrip() for line in see(laid_out).split("\n"))
    shown = re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()
    return Readable(title, shown, links, is_cut)


def _tree(text: str) -> Any:
    # As above.
    from lxml import etree, html  # type: ignore[import-untyped]

    parser = html.HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True)
    try:
        return html.document_fromstring(text.encode(), parser=parser)
    except etree.ParserError:
        return None


def _hide(tree: Any) -> None:
    """Empty what is out of sight, and drop the styles that would steer the layout."""
    for element in list(tree.iter("*")):
        attributes = element.attrib
        style = attributes.pop("style", "")
        for name in ("align", "valign"):
            attributes.pop(name, None)
        is_unseen = "hidden" in attributes or (bool(style) and is_hiding(style))
        if element.tag in UNSHOWN_TAGS or is_unseen:
            element.clear(keep_tail=True)


def _clip(tree: Any) -> bool:
    """Drop what comes after `MAX_ELEMENTS` elements and return whether anything did."""
    over = next(islice(tree.iter(), MAX_ELEMENTS, None), None)
    if over is None:
        return False
    chain = [over, *over.iterancestors()]
    for element in chain[:-1]:
        parent = element.getparent()
        del parent[parent.index(element) + 1 :]
        if element is not over:
            element.tail = None
    over.clear()
    return True


def _links(tree: Any, url: str) -> tuple[str, ...]:
    """List where the page leads, each address once, with the words it is shown under."""
    declared = next((base.get("href") for base in tree.iter("base") if base.get("href")), "")
    start = _joined(url, declared) or url
    found: dict[str, str] = {}
    for anchor in tree.iter("a"):
        target = _joined(start, anchor.get("href", "")).partition("#")[0]
        words = shorten(see(anchor.text_content()), 100)
        is_web = target.startswith(("http://", "https://")) and len(target) <= MAX_LINK_SIGNS
        if words and is_web and target != url:
            found.setdefault(target, f"{words}: {target}")
        if len(found) == MAX_LINKS:
            break
    return tuple(found.values())


def _joined(base: str, reference: str) -> str:
    try:
        return urljoin(base, see(reference).strip())
    except ValueError:
        return ""


def _flatten(tree: Any) -> None:
    """Write tables as lines of cells: aligned columns grow with rows times the longest cell."""
    for row in tree.iter("tr"):
        cells: list[Any] = [cell for cell in row if cell.tag in ("td", "th")]
        for cell in cells[1:]:
            cell.text = f" | {cell.text or ''}"
    for element in list(tree.iter("table", "thead", "tbody", "tfoot", "tr", "caption", "td", "th")):
        element.tag = "span" if element.tag in ("td", "th") else "div"
