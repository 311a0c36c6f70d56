"""No spelling of an address leads inside. Each guard is also shown taken away."""

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

import httpcore
import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from swarm.core.errors import ToolError
from swarm.tools import addresses, http, resolving
from swarm.tools.addresses import Url, address_refusal, join_url, parse_url
from swarm.tools.http import WebClient, WebConfig, canonical_host
from tests.tools.hosts import CLOSED_ADDRESSES, HOSTS, OPEN_ADDRESSES, PUBLIC, PUBLIC_V6, URLS
from tests.tools.sites import Names, Net, Site, serving, small_net, visit

OTHER = "8.8.8.8"


@pytest.mark.parametrize("address", CLOSED_ADDRESSES)
def test_a_closed_address_is_known_as_such(address: str) -> None:
    assert address_refusal(ip_address(address))


@pytest.mark.parametrize("address", OPEN_ADDRESSES)
def test_an_address_of_the_public_internet_is_open(address: str) -> None:
    assert address_refusal(ip_address(address)) is None


@given(st.ip_addresses())
def test_what_is_open_is_special_to_no_registry(address: Any) -> None:
    if address_refusal(address) is None and not (address.version == 6 and int(address) < 1 << 125):
        assert not address.is_private
        assert not address.is_multicast
        assert not address.is_reserved
        assert not address.is_link_local


RESOLVERS = (
    Names({}, (PUBLIC,), ("127.0.0.1",)),
    Names({}, ("127.0.0.1",)),
    Names({}, (PUBLIC, "127.0.0.1")),
    Names({}, ("169.254.169.254", PUBLIC)),
)


def spellings(port: int) -> list[str]:
    return [f"http://{host}/" for host in HOSTS] + [f"http://{h}:{port}/x" for h in HOSTS] + [*URLS]


async def hits_of_all_spellings(names: Names) -> Site:
    async with small_net(names, ports=(80, 443, 8080)) as net:
        net.outside.port = 0
        for url in spellings(8080):
            await visit(net, url)
        return net.inside


def test_the_corpus_is_as_long_as_promised() -> None:
    assert len(set(HOSTS)) == len(HOSTS) >= 60
    assert len(set(URLS)) == len(URLS)


@pytest.mark.parametrize("names", RESOLVERS)
async def test_no_spelling_reaches_the_inside(names: Names) -> None:
    assert (await hits_of_all_spellings(names)).hits == 0


async def test_most_spellings_would_reach_the_inside_without_the_guards(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def lenient(text: str) -> Url:
        try:
            parts = urlsplit(text)
            host = (parts.hostname or "x").encode("ascii", "replace").decode()
            return Url("http", host, parts.port or 80, "/")
        except ValueError as error:
            raise ToolError("malformed") from error

    monkeypatch.setattr(http, "parse_url", lenient)
    monkeypatch.setattr(http, "check_endpoint", lambda *_: None)
    monkeypatch.setattr(addresses, "address_refusal", lambda _: None)
    monkeypatch.setattr(addresses, "is_address", lambda _: False)
    assert (await hits_of_all_spellings(Names({}, ("127.0.0.1",)))).hits > len(HOSTS)


async def test_without_the_check_of_addresses_the_inside_is_hit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(addresses, "address_refusal", lambda _: None)
    for address in ("127.0.0.1", "169.254.169.254", "[::1]", "[::ffff:10.0.0.1]"):
        async with small_net() as net:
            await visit(net, f"http://{address}/")
            assert net.inside.hits == 1


async def test_the_address_that_was_checked_is_the_one_connected_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def by_name(self: Any, host: str, port: int, **options: Any) -> Any:
        return await self._dialler.connect_tcp(host, port, timeout=options["timeout"])

    async def flipped() -> Net:
        async with small_net(Names({}, (PUBLIC,), ("127.0.0.1",))) as net:
            await visit(net, "http://rebind.example/")
            return net

    net = await flipped()
    assert net.names.asked == ["rebind.example"]
    assert net.world.dialled == [PUBLIC]
    assert (net.inside.hits, net.outside.hits) == (0, 1)
    monkeypatch.setattr(resolving.PinnedBackend, "connect_tcp", by_name)
    assert (await flipped()).inside.hits == 1


async def test_one_closed_address_among_the_answers_closes_the_host(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def mixed() -> Net:
        names = Names({}, (PUBLIC, "10.0.0.1"))
        async with small_net(names, others={PUBLIC: Site()}) as net:
            await visit(net, "http://mixed.example/")
            return net

    net = await mixed()
    assert (net.inside.hits, net.world.dialled) == (0, [])

    def only_the_first(host: str, answers: Iterable[str], *, is_open: bool) -> tuple[str, ...]:
        found = tuple(answers)
        resolving.check_addresses(host, found[:1], is_open=is_open)
        return found

    monkeypatch.setattr(http, "check_addresses", only_the_first)
    assert (await mixed()).inside.hits == 1


async def test_a_host_with_several_addresses_is_reached_by_the_one_that_answers() -> None:
    names = Names({}, (OTHER, PUBLIC_V6, PUBLIC))
    async with small_net(names, others={OTHER: Site(), PUBLIC_V6: Site()}) as net:
        page = await net.client.fetch("http://shop.example/")
        assert page.body == b"hello"
        assert net.world.dialled == [OTHER, PUBLIC_V6, PUBLIC]


@pytest.mark.parametrize("answers", [(), ("",), ("nonsense",), ("fe80::1%eth0",), ("127.1",)])
async def test_a_resolver_that_says_nonsense_opens_nothing(answers: tuple[str, ...]) -> None:
    async with small_net(Names({}, answers)) as net:
        with pytest.raises(ToolError, match=r"closed|no host"):
            await net.client.fetch("http://odd.example/")
        assert net.world.dialled == []


async def test_names_of_the_inside_are_not_even_resolved(monkeypatch: pytest.MonkeyPatch) -> None:
    inside = ("localhost", "a.localhost", "metadata.google.internal", "metadata", "printer.local")
    async with small_net() as net:
        for host in inside:
            with pytest.raises(ToolError, match="closed"):
                await net.client.fetch(f"http://{host}/")
        assert net.names.asked == []
        monkeypatch.setattr(addresses, "name_refusal", lambda _: None)
        await visit(net, "http://localhost/")
        assert net.names.asked == ["localhost"]


async def test_other_ports_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    async with small_net() as net:
        for port in (22, 25, 6379, 8080):
            with pytest.raises(ToolError, match="port"):
                await net.client.fetch(f"http://shop.example:{port}/")
        assert net.names.asked == []
        monkeypatch.setattr(http, "check_endpoint", lambda *_: None)
        assert await visit(net, "http://shop.example:6379/")


async def test_an_operator_can_open_an_exact_endpoint_of_the_company_s_own_network() -> None:
    async with serving(Site()) as own, serving(Site()) as neighbour:
        opened = WebConfig(allow_private=(f"127.0.0.1:{own.port}", f"LOCALHOST:{own.port}"))
        client = WebClient(opened)
        for host in ("127.0.0.1", "localhost"):
            page = await client.fetch(f"http://{host}:{own.port}/")
            assert (page.status, page.body) == (200, b"hello")
        for host in ("127.0.0.1", "localhost", "127.0.0.2", "[::1]"):
            with pytest.raises(ToolError):
                await client.fetch(f"http://{host}:{neighbour.port}/")
        with pytest.raises(ToolError):
            await WebClient(WebConfig(ports=(own.port,))).fetch(f"http://127.0.0.1:{own.port}/")
        assert (own.hits, neighbour.hits) == (2, 0)


async def test_metadata_and_link_local_addresses_cannot_be_opened() -> None:
    for address in (
        "169.254.169.254",
        "100.100.100.200",
        "[fd00:ec2::254]",
        "[fe80::1]",
        "0.0.0.0",
    ):
        async with small_net(allow_private=(f"{address}:80",)) as net:
            assert await visit(net, f"http://{address}/") is None
            assert net.inside.hits == 0
    opened = ("intranet.example:80",)
    async with small_net(Names({}, ("10.0.0.7",)), allow_private=opened) as net:
        assert await visit(net, "http://intranet.example/")
    async with small_net(Names({}, ("169.254.169.254",)), allow_private=opened) as net:
        assert await visit(net, "http://intranet.example/") is None


@pytest.mark.parametrize("entry", ["10.0.0.1", "10.0.0.1:x", "10.0.0.0/8:80", "*:80", "", "a:1/x"])
def test_an_entry_that_is_no_endpoint_is_a_configuration_error(entry: str) -> None:
    with pytest.raises(ValidationError):
        WebConfig(allow_private=(entry,))


# Reading URLs.


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("HTTP://Shop.Example", "http://shop.example/"),
        ("https://shop.example:443/a?b=c#d", "https://shop.example/a?b=c"),
        ("http://shop.example:8080?q", "http://shop.example:8080/?q"),
        ("https://bücher.example/straße?q=é", "https://xn--bcher-kva.example/stra%C3%9Fe?q=%C3%A9"),
        ("https://b\u00fccher\u3002example", "https://xn--bcher-kva.example/"),
        ("http://[2606:2800:0220:1:0::1]:80/", "http://[2606:2800:220:1::1]/"),
        (" http://shop.example/a b ", "http://shop.example/a%20b"),
        ("http://shop.example/%zz/%2e%2e?a@b:c", "http://shop.example/%zz/%2e%2e?a@b:c"),
    ],
)
def test_a_url_has_one_canonical_form(written: str, canonical: str) -> None:
    assert str(parse_url(written)) == canonical
    assert parse_url(canonical) == parse_url(written)


def test_the_host_for_the_allowlist_is_the_host_that_is_reached() -> None:
    assert canonical_host("https://Shop.EXAMPLE:8443/x") == "shop.example"
    assert canonical_host("http://[2606:2800:220:0001::1]/") == "2606:2800:220:1::1"
    for trick in ("http://shop.example@evil.example/", "http://shop.example\\.evil.example/"):
        with pytest.raises(ToolError):
            canonical_host(trick)


signs = st.sampled_from(
    [*"/\\@:#?%.[]0x1aé。\0\t\r\n ", "①", "\u200b", "\ud800", "%00", "127.0.0.1"]
)


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """Return a URL of the corpus, or a good one, with signs put in, taken out or doubled."""
    plain = [f"http://{host}/" for host in HOSTS] + [*URLS, "https://shop.example/a?b#c"]
    url = draw(st.sampled_from(plain))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(url)))
        url = url[:at] + draw(signs | st.just("")) + url[at + draw(st.integers(0, 2)) :]
    return url


@given(mutated())
@settings(max_examples=250, deadline=None)
def test_every_reader_finds_the_same_host_in_a_url_that_was_let_through(url: str) -> None:
    try:
        read = parse_url(url)
    except ToolError:
        return
    text = str(read)
    assert parse_url(text) == read
    assert canonical_host(url) == read.host == urlsplit(text).hostname
    assert httpx.URL(text).raw_host.decode() == read.host
    assert text.isascii()
    assert not set(text) & set("\\ \r\n\t\0")
    assert (urlsplit(text).port or addresses.DEFAULT_PORTS[read.scheme]) == read.port


class Recorder:
    """Connect nowhere, and remember where to."""

    def __init__(self) -> None:
        self.dialled: list[str] = []

    async def connect_tcp(self, host: str, port: int, **options: Any) -> Any:
        self.dialled.append(host)
        raise httpcore.ConnectError("nobody answers")


@given(st.lists(mutated(), min_size=20, max_size=20))
@settings(max_examples=15, deadline=None)
def test_no_mutated_url_is_connected_to_anything_but_a_checked_address(urls: list[str]) -> None:
    recorder = Recorder()

    async def visit_all() -> None:
        for url in urls:
            names = Names({}, (PUBLIC,), ("127.0.0.1",))
            with pytest.raises(ToolError):
                await WebClient(resolver=names, dialler=recorder).fetch(url)

    asyncio.run(visit_all())
    for address in recorder.dialled:
        assert address == PUBLIC or address_refusal(ip_address(address)) is None


@given(st.text() | st.sampled_from(["//", "///x", "http:x", "https:/x", "//[", "?a", "#b", ".."]))
def test_a_redirect_of_any_words_leads_to_a_plain_url_or_to_words_to_act_on(where: str) -> None:
    base = parse_url("https://shop.example/a/b?c")
    with suppress(ToolError):
        joined = join_url(base, where)
        assert parse_url(str(joined)) == joined
