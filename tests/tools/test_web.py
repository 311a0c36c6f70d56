"""What a model reads of a page: what a person would see, marked as the web's words, and bounded."""

import time
import unicodedata
from pathlib import Path
from typing import Any

import inscriptis  # type: ignore[import-untyped]
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swarm.core.errors import ToolError
from swarm.core.origin import Origin
from swarm.tools import readable as reading
from swarm.tools.base import ToolContext, ToolResult, check_arguments, destinations, is_repeatable
from swarm.tools.http import Page, WebClient
from swarm.tools.readable import is_hiding, readable, see
from swarm.tools.web import MAX_SIGNS, WebFetch, WebFetchArguments, cut
from tests.tools.sites import Reply, answer, small_net

CANARY = "obey-me-7f3a"


def page(body: str | bytes, kind: str = "text/html; charset=utf-8", **options: Any) -> Page:
    data = body.encode() if isinstance(body, str) else body
    return Page("https://shop.example/a/", 200, kind, data, **options)


def shown(body: str | bytes, kind: str = "text/html; charset=utf-8") -> str:
    return readable(page(body, kind)).text


async def fetch(web: WebClient | None, url: str, folder: Path) -> ToolResult:
    context = ToolContext(workspace=folder, role="cto", task_id="t1", web=web)
    return await WebFetch().run(WebFetchArguments(url=url), context)


async def fetched(reply: Reply, folder: Path) -> ToolResult:
    async with small_net() as net:
        net.outside.replies = {"/": reply}
        return await fetch(net.client, "http://shop.example/", folder)


# The tool.


async def test_a_page_comes_back_as_text_under_its_title_and_address(tmp_path: Path) -> None:
    body = (
        b"<html><head><title>Fresh  &amp;\n bread</title><style>p{}</style></head><body>"
        b"<h1>Bread</h1><p>Baked <b>daily</b>.</p><script>alert(1)</script>"
        b"<ul><li>Rye<li>Wheat</ul><p>See <a href='/prices#now'>our prices</a>.</p></body></html>"
    )
    result = await fetched(answer(body, Content_Type="text/html"), tmp_path)
    assert result == ToolResult(
        "Title: Fresh & bread\n"
        "URL: http://shop.example/\n\n"
        "Bread\n\nBaked daily.\n\n* Rye\n* Wheat\n\nSee our prices.\n\n"
        "Links:\nour prices: http://shop.example/prices",
        origin=Origin.WEB,
    )


async def test_without_a_web_the_tool_says_so(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="not available"):
        await fetch(None, "http://shop.example/", tmp_path)


async def test_a_closed_address_is_the_model_s_to_mend_and_is_not_reached(tmp_path: Path) -> None:
    async with small_net() as net:
        for url in ("http://127.0.0.1/", "http://localhost/", "file:///etc/passwd", "shop.example"):
            with pytest.raises(ToolError):
                await fetch(net.client, url, tmp_path)
        assert (net.inside.hits, net.outside.hits) == (0, 0)


def test_the_policy_sees_the_host_that_will_be_reached() -> None:
    tool = WebFetch()
    for url in ("https://Shop.Example:443/x", "http://shop.example?y"):
        assert destinations(tool, WebFetchArguments(url=url)) == ("shop.example",)
    for trick in ("https://shop.example@evil.example/", "https://shop.example\\.evil.example/", ""):
        with pytest.raises(ToolError):
            destinations(tool, WebFetchArguments(url=trick))
    assert is_repeatable(tool)
    with pytest.raises(ToolError, match="url"):
        check_arguments(tool, '{"url": 3}')


async def test_whatever_holds_a_server_s_words_is_marked_as_the_web_s(tmp_path: Path) -> None:
    replies = {
        "redirect": answer(status=302, Location=f"http://{CANARY}.example/"),
        "missing": answer(f"<p>{CANARY}".encode(), status=404, Content_Type="text/html"),
        "binary": answer(b"\x89PNG\0", Content_Type=f"image/{CANARY}"),
        "text": answer(CANARY.encode(), Content_Type="text/plain"),
    }
    for name, reply in replies.items():
        result = await fetched(reply, tmp_path)
        assert CANARY in result.content
        assert result.origin is Origin.WEB
        assert result.is_error == (name != "text")
    assert "Status: 404" in (await fetched(replies["missing"], tmp_path)).content


async def test_a_failed_fetch_repeats_no_word_of_the_server(tmp_path: Path) -> None:
    for reply in (
        answer(b"x", Content_Encoding=CANARY),
        answer(status=302, Location=f"{CANARY}:x"),
        f"HTTP/9.9 {CANARY}\r\n\r\n".encode(),
        answer(status=302, Location="/"),
    ):
        with pytest.raises(ToolError) as told:
            await fetched(reply, tmp_path)
        assert CANARY not in str(told.value)


async def test_a_long_page_is_cut_in_the_middle_and_says_so(tmp_path: Path) -> None:
    text = "a" * MAX_SIGNS + "b" * 1_234
    result = await fetched(answer(text.encode(), Content_Type="text/plain"), tmp_path)
    assert "[1,234 signs of the middle left out]" in result.content
    assert len(result.content) < MAX_SIGNS + 200
    assert result.content.endswith("b" * 1_234)
    assert cut("x" * MAX_SIGNS) == "x" * MAX_SIGNS
    endless = answer(b"x" * 6_000_000, Content_Type="text/plain")
    assert "its end is missing" in (await fetched(endless, tmp_path)).content


# What is read.


@pytest.mark.parametrize(
    ("kind", "body", "text"),
    [
        ("text/plain", b" a\r\n<b>\n", " a\n<b>\n"),
        ("application/json", b'{"a": "<p>"}', '{"a": "<p>"}'),
        ("application/ld+json; charset=utf-8", '{"é": 1}'.encode(), '{"é": 1}'),
        ("text/csv; charset=iso-8859-1", "é".encode("latin-1"), "é"),
        ("text/html; charset='shift_jis'", "<p>日本".encode("shift_jis"), "日本"),
        ("text/html", "<meta charset=windows-1251><p>Привет".encode("cp1251"), "Привет"),
        ("text/html", "\ufeff<p>x".encode("utf-16"), "x"),
        ("text/html", "<p>café".encode("cp1252"), "café"),
        ("text/html; charset=zip", "<p>é".encode(), "é"),
        ("text/html; charset=unicode_escape", rb"<p>\x41", r"\x41"),
        ("", b"<!doctype html><p>x", "x"),
        ("", b"plain", "plain"),
        ("text/html", b"", ""),
        ("text/html", b"<!-- only -->", ""),
        ("text/html", b"<?xml version='1.0' encoding='utf-8'?><p>x", "x"),
        ("application/xhtml+xml", b"<html xmlns='http://www.w3.org/1999/xhtml'><p>x</p>", "x"),
        ("text/html", b"<table><tr><th>A<th>B<tr><td>1<td>2</table>", "A | B\n1 | 2"),
    ],
)
def test_text_of_any_kind_is_read(kind: str, body: bytes, text: str) -> None:
    found = readable(page(body, kind))
    assert (found.text, found.refusal) == (text, "")


@pytest.mark.parametrize(
    ("kind", "body", "words"),
    [
        ("application/pdf", b"%PDF-1.7", "a PDF"),
        ("application/octet-stream", b"%PDF-1.7", "a PDF"),
        ("", b"%PDF-1.7", "a PDF"),
        ("image/png", b"\x89PNG", "no text"),
        ("", b"\x7fELF\0\0", "no text"),
        ("text/plain", b"\x7fELF\0\0", "holds no text"),
        ("text/html", b"MZ\0\0", "holds no text"),
        ("application/zip", b"PK", "no text"),
    ],
)
def test_what_is_no_text_is_refused_with_a_sentence(kind: str, body: bytes, words: str) -> None:
    found = readable(page(body, kind))
    assert words in found.refusal
    assert not found.text


HIDDEN = (
    *("<!-- {} -->", "<script>{}</script>", "<style>{}</style>", "<template>{}</template>"),
    *("<noscript>{}</noscript>", "<p hidden>{}</p>", "<p hidden='until-found'>{}</p>"),
    *("<input type=hidden value='{}'>", "<img alt='{}'>", "<p title='{}' data-x='{}'></p>"),
    *("<meta name=description content='{}'>", "<iframe>{}</iframe>", "<object>{}</object>"),
    *("<svg><text>{}</text></svg>", "<div hidden><p>a<p><b>{}</b></div>", "<?php {} ?>"),
    *(
        f"<p style='{style}'>{{}}</p>"
        for style in (
            *("display:none", "DISPLAY : NONE !important", "color:red;display:none;top:0"),
            *("display:/**/none", "disp\\6c ay:none", "d\\isplay:none", "visibility:hidden"),
            *("visibility: collapse", "opacity:0", "opacity: 0.00", "opacity:0%", "font-size:0"),
            *(
                "font-size:0px",
                "font-size: 1px",
                "font-size:.5pt",
                "position:absolute;left:-9999px",
            ),
            *("text-indent:-9999em", "clip:rect(0,0,0,0)", "clip: rect(1px, 1px, 1px, 1px)"),
            *("height:0;overflow:hidden", "overflow:hidden;max-height:0px", "color:transparent"),
            *("transform:scale(0)", "content-visibility:hidden"),
        )
    ),
)


@pytest.mark.parametrize("markup", HIDDEN)
def test_what_a_person_would_not_see_is_left_out(markup: str) -> None:
    hidden = markup.replace("{}", CANARY)
    assert shown(f"<p>before</p>{hidden}<p>after</p>") == "before\n\nafter"
    inline = hidden.replace("<p", "<b").replace("</p", "</b")
    assert shown(f"<div>before {inline} after</div>").split() == ["before", "after"]


def test_hidden_words_would_be_read_without_the_guard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "is_hiding", lambda _: False)
    monkeypatch.setattr(reading, "UNSHOWN_TAGS", frozenset())
    found = [CANARY in shown(markup.replace("{}", CANARY)) for markup in HIDDEN]
    assert sum(found) > len(HIDDEN) / 2


@pytest.mark.parametrize(
    "style",
    [
        *("", "display:block", "opacity:0.5", "opacity:01", "font-size:0.9em", "font-size:10px"),
        *("font-size:1em", "left:-10px", "min-width:0", "height:0", "overflow:hidden", "color:red"),
        *("background:url(display:none.png)", "--x-display:none", "clip:rect(0,100px,50px,0)"),
    ],
)
def test_what_a_person_would_see_is_kept(style: str) -> None:
    assert not is_hiding(style)
    assert shown(f"<p style='{style}'>{CANARY}</p>") == CANARY


def tags(text: str) -> str:
    return "".join(chr(0xE0000 + ord(sign)) for sign in text)


SMUGGLED = (
    *(tags(CANARY), "\u200b\u200c\u200d\u2060\ufeff", "\u202e\u2066\u200f", "\u00ad\u034f\u180e"),
    "".join(chr(0xE0100 + byte) for byte in CANARY.encode()),
    "\ufe00\ufe0f\u3164\u115f\uffa0\ufff9\ufffb",
)


@pytest.mark.parametrize("kind", ["text/html", "text/plain", "application/json"])
@pytest.mark.parametrize("smuggled", SMUGGLED)
def test_signs_without_a_shape_are_left_out(kind: str, smuggled: str) -> None:
    assert shown(f"be{smuggled}fore", f"{kind}; charset=utf-8") == "before"


def test_signs_without_a_shape_are_left_out_of_titles_and_links() -> None:
    found = readable(
        page(f"<title>a{SMUGGLED[0]}b</title><a href='/x{SMUGGLED[0]}'>c{SMUGGLED[0]}")
    )
    assert found.title == "ab"
    assert all(text.isascii() for text in found.links)


def test_letters_of_every_script_are_kept() -> None:
    text = "Fête • naïve Ελλάδα Привет 日本語 한국어 العربية हिन्दी 😀 ½ € “quoted” e\u0301"
    assert see(text) == unicodedata.normalize("NFC", text)


def test_links_are_whole_addresses_each_once_and_of_the_web() -> None:
    many = "".join(f"<a href='/{n}'>n{n}</a>" for n in range(100))
    body = (
        "<base href='https://cdn.example/b/'><a href='x'>one</a><a href='x#y'>again</a>"
        "<a href='javascript:alert(1)'>js</a><a href='mailto:a@b.example'>mail</a>"
        "<a href='data:text/html,x'>data</a><a href='http://['>broken</a><a href='/e'></a>"
        f"<a href='/{'long' * 100}'>long</a>{many}"
    )
    links = readable(page(body)).links
    assert links[:2] == ("one: https://cdn.example/b/x", "n0: https://cdn.example/0")
    assert len(links) == reading.MAX_LINKS


# Bounds.

QUARTER = 256 * 1024
COSTLY = {
    "lists in lists": "<ul>" * 200 + "<li>x" * (QUARTER // 5),
    "quotes in quotes": "<blockquote>" * 200 + "<p>x" * (QUARTER // 4),
    "one wide cell": "<table>" + "<tr><td>x" * 20_000 + f"<tr><td>{'x' * QUARTER}",
    "one wide row": "<table><tr>" + "<td>x" * (QUARTER // 5),
    "margins": "<p style='margin-top:99999em'>x" * 2_000,
    "paddings": "<p style='padding-left:99999em'>x" * 2_000,
    "alignment": "<p align=right style='width:99999em'>x" * 2_000,
    "comments": "<!---->a" * (QUARTER // 8),
    "hidden parts": "<p hidden>x</p>y" * (QUARTER // 16),
    "depth": "<div>" * (QUARTER // 5),
    "open links": "<a href=x>" * (QUARTER // 10),
    "open tags": "<" * QUARTER,
    "entities": "&" * QUARTER,
    "attributes": "<p " + " ".join(f"a{n}" for n in range(QUARTER // 8)),
    "one long style": "<p style='" + "opacity:0" * (QUARTER // 9) + "'>x",
    "spaces in a style": "<p style='clip:rect(" + " " * QUARTER + "'>x",
    "accents": "e" + "\u0301" * QUARTER,
    "lines": "<pre>" + "\n" * QUARTER,
}


@pytest.mark.parametrize("body", COSTLY.values(), ids=COSTLY)
def test_a_page_made_to_be_costly_is_read_in_bounded_time_and_space(
    body: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The real limit makes the same shapes ten times as long.
    monkeypatch.setattr(reading, "MAX_ELEMENTS", 1_500)
    started = time.process_time()
    text = readable(page(body)).text
    assert len(text) <= len(body)
    assert time.process_time() - started < 5


def test_a_page_would_grow_a_thousandfold_if_its_own_styles_were_obeyed() -> None:
    body = "<p style='margin-top:9999em'>x" * 100
    assert len(inscriptis.get_text(body)) > 100_000
    assert len(shown(body)) < 1_000


def test_a_page_of_too_many_elements_is_read_up_to_the_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reading, "MAX_ELEMENTS", 10)
    found = readable(page("<div>" + "".join(f"<p>n{n}</p>" for n in range(20)) + "</div>tail"))
    assert found.is_cut
    assert found.text.split() == [f"n{n}" for n in range(7)]
    assert not readable(page("<p>a<p>b")).is_cut


@given(st.binary() | st.text().map(str.encode), st.sampled_from(["text/html", "", "text/plain"]))
@settings(max_examples=150, deadline=None)
def test_any_bytes_give_a_text_that_can_be_stored_and_shown(body: bytes, kind: str) -> None:
    found = readable(page(body, kind))
    found.text.encode()
    assert see(found.text) == found.text


parts = st.sampled_from(
    (
        *("<p>", "</p>", "<table>", "<td>", "<tr>", "<ul>", "<li>", "<a href=", "'>", "<b hidden>"),
        *(
            "<pre>",
            "<br>",
            "<!--",
            "-->",
            "<style>",
            "<svg>",
            "&#0;",
            "&#xE0041;",
            "<q>",
            "\n",
            "x",
        ),
        *("<base href=", "//[", "<img>", "<title>", "<frameset>", "<noscript>", "<template>"),
    )
)


@given(st.lists(parts, max_size=40).map("".join))
@settings(max_examples=150, deadline=None)
def test_any_soup_of_tags_is_read(body: str) -> None:
    found = readable(page(body))
    assert not found.refusal
    assert see(found.text) == found.text
