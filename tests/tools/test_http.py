"""What the one HTTP client sends, and where redirects may lead it."""

import asyncio
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from swarm.core.errors import ToolError
from swarm.tools import addresses, http
from swarm.tools.http import RedirectRefused
from tests.tools.hosts import PUBLIC
from tests.tools.sites import Names, Site, answer, serving, small_net, visit

OTHER = "8.8.8.8"
SECRET = "canary-7f3a"


async def test_redirects_are_followed_and_told() -> None:
    async with small_net() as net:
        net.outside.replies = {
            "/a": answer(status=302, Location="/b?x=1"),
            "/b?x=1": answer(status=308, Location="http://shop.example/c"),
            "/c": answer(b"here", status=200, Content_Type="text/plain; charset=utf-8"),
        }
        page = await net.client.fetch("http://shop.example/a")
    assert page.url == "http://shop.example/c"
    assert page.redirects == ("http://shop.example/a", "http://shop.example/b?x=1")
    assert (page.status, page.body) == (200, b"here")
    assert page.content_type == "text/plain; charset=utf-8"


async def test_redirects_end_at_the_limit() -> None:
    async with small_net() as net:
        net.outside.replies = {"/loop": answer(status=301, Location="/loop")}
        with pytest.raises(ToolError, match="more than 5"):
            await net.client.fetch("http://shop.example/loop")
        assert net.outside.hits == 6


INSIDE_PLACES = (
    *("http://127.0.0.1/", "http://[::1]/", "//169.254.169.254/latest", "http://0x7f.1/"),
    *("http://localhost/", "http://rebind.example/", "file:///etc/passwd", "\\\\127.0.0.1\\x"),
    *("http://shop.example:6379/", "http://127.0.0.1\t/", "http://shop.example@127.0.0.1/"),
)


async def hits_by_redirect(monkeypatch: pytest.MonkeyPatch | None = None) -> int:
    hits = 0
    for place in INSIDE_PLACES:
        known = {"rebind.example": (("10.0.0.1",),)}
        async with small_net(Names(known, (PUBLIC,), ("127.0.0.1",))) as net:
            net.outside.replies = {"/": answer(status=302, Location=place)}
            await visit(net, "http://shop.example/", may_visit=lambda _: True)
            hits += net.inside.hits
    return hits


async def test_no_redirect_leads_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await hits_by_redirect() == 0
    monkeypatch.setattr(addresses, "address_refusal", lambda _: None)
    assert await hits_by_redirect() >= 3


async def test_a_redirect_back_to_the_same_host_is_resolved_and_checked_again() -> None:
    async with small_net(Names({}, (PUBLIC,), ("127.0.0.1",))) as net:
        net.outside.replies = {"/": answer(status=302, Location="/again")}
        with pytest.raises(ToolError, match="closed"):
            await net.client.fetch("http://shop.example/")
        assert net.inside.hits == 0


async def test_a_redirect_to_another_host_needs_to_be_allowed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with small_net() as net:
        net.outside.replies = {"/": answer(status=302, Location="http://evil.example/next")}
        with pytest.raises(RedirectRefused, match=r"fetch http://evil\.example/next") as refused:
            await net.client.fetch("http://shop.example/")
        assert refused.value.url == "http://evil.example/next"
        assert net.names.asked == ["shop.example"]
        asked: list[str] = []

        def may_visit(host: str) -> bool:
            asked.append(host)
            return True

        page = await net.client.fetch("http://shop.example/", may_visit=may_visit)
        assert (page.url, asked) == ("http://evil.example/next", ["evil.example"])
        monkeypatch.setattr(http, "check_redirect", lambda *_: None)
        assert await visit(net, "http://shop.example/")


ELSEWHERE = ("http://other.example/", "http://other.example/back", "http://shop.example:8080/")


async def canaries_seen(status: int) -> tuple[int, int]:
    """Return how often the secret reached its own origin, and another."""
    names = Names({"other.example": ((OTHER,),)}, (PUBLIC,))
    given_headers = {"Authorization": f"Bearer {SECRET}", "cookie": SECRET, "X-Api-Key": SECRET}
    own = others = 0
    for place in ("/same", *ELSEWHERE):
        async with (
            serving(Site()) as other,
            small_net(names, others={OTHER: other}, ports=(80, 8080)) as net,
        ):
            net.outside.replies = {"/": answer(status=status, Location=place)}
            other.replies = {"/back": answer(status=status, Location="http://shop.example/end")}
            await visit(
                net, "http://shop.example/", headers=given_headers, may_visit=lambda _: True
            )
            start, *later = net.outside.heads
            own += start.count(SECRET) + "".join(h for h in later if "/same" in h).count(SECRET)
            others += "".join(h for h in later if "/same" not in h).count(SECRET)
            others += "".join(other.heads).count(SECRET)
    return own, others


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_what_a_caller_gives_stays_with_its_origin(
    status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Three headers each for the four first requests, and for the one redirect within the origin.
    assert await canaries_seen(status) == (15, 0)
    monkeypatch.setattr(http, "carried", lambda headers, *_: headers)
    assert (await canaries_seen(status))[1] > 0


@pytest.mark.parametrize(("status", "method"), [(301, "GET"), (303, "GET"), (307, "POST")])
async def test_a_body_goes_along_within_its_origin_alone(status: int, method: str) -> None:
    async with serving(Site()) as other:
        names = Names({"other.example": ((OTHER,),)}, (PUBLIC,))
        async with small_net(names, others={OTHER: other}) as net:
            net.outside.replies = {
                "/": answer(status=status, Location="/next"),
                "/out": answer(status=status, Location="http://other.example/"),
            }
            options = {"method": "POST", "body": SECRET.encode(), "may_visit": lambda _: True}
            await visit(net, "http://shop.example/", **options)
            assert net.outside.heads[1].startswith(f"{method} /next")
            assert net.outside.bodies[1] == (SECRET.encode() if method == "POST" else b"")
            await visit(net, "http://shop.example/out", **options)
            assert other.bodies in ([], [b""])
            assert bool(other.bodies) == (method == "GET")


async def test_no_cookie_is_kept() -> None:
    async with small_net() as net:
        net.outside.replies = {"/": answer(status=302, Location="/b", Set_Cookie=f"id={SECRET}")}
        await net.client.fetch("http://shop.example/")
        await net.client.fetch("http://shop.example/b")
        assert len(net.outside.heads) == 3
        assert SECRET not in "".join(net.outside.heads)


async def test_no_proxy_is_taken_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    async with small_net() as net:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{net.inside.port}")
        with httpx.Client(timeout=5) as naive:
            assert (await asyncio.to_thread(naive.get, "http://shop.example/")).text == "hello"
        assert net.inside.hits == 1, "the environment does steer a client that trusts it"
        await net.client.fetch("http://shop.example/")
        assert (net.inside.hits, net.outside.hits) == (1, 1)


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "127.0.0.1"},
        {"x": "a\r\nHost: 127.0.0.1"},
        {"x\r\n": "a"},
        {"Transfer-Encoding": "chunked"},
        {"Content-Length": "5"},
        {"x": "é"},
        {"": "a"},
        {"Proxy-Authorization": "a"},
    ],
)
async def test_no_header_changes_the_request_it_goes_with(headers: dict[str, str]) -> None:
    async with small_net() as net:
        with pytest.raises(ToolError, match="header"):
            await net.client.fetch("http://shop.example/", headers=headers)
        with pytest.raises(ToolError, match="method"):
            await net.client.fetch("http://shop.example/", method="GET / HTTP/1.1\r\nX: y")
        assert net.outside.hits == 0


async def test_a_request_names_its_host_once_and_nothing_of_the_machine() -> None:
    async with small_net(user_agent="probe/1") as net:
        await net.client.fetch("http://SHOP.example:80/a?b#c")
        assert sorted(net.outside.heads[0].strip().split("\r\n")) == sorted(
            (
                *("GET /a?b HTTP/1.1", "host: shop.example", "user-agent: probe/1", "accept: */*"),
                *("accept-encoding: gzip", "connection: close"),
            )
        )


# TLS.


def certificate(folder: Path, name: str) -> Path:
    """Write a certificate signed by itself for one name, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = folder / "site.pem"
    path.write_bytes(private + signed.public_bytes(pem))
    return path


async def test_tls_names_and_checks_the_host_while_the_address_is_pinned(tmp_path: Path) -> None:
    pem = certificate(tmp_path, "shop.example")
    server_tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server_tls.load_cert_chain(pem)
    named: list[str | None] = []
    server_tls.sni_callback = lambda _, name, __: named.append(name)
    trusted = ssl.create_default_context(cafile=str(pem))
    async with small_net(tls=trusted, server_tls=server_tls) as net:
        page = await net.client.fetch("https://shop.example/")
        assert (page.body, page.url) == (b"hello", "https://shop.example/")
        assert net.world.dialled == [PUBLIC]
        for url in ("https://other.example/", f"https://{PUBLIC}/"):
            with pytest.raises(ToolError, match="certificate"):
                await net.client.fetch(url)
        assert named == ["shop.example", "other.example", None]
        assert len(net.outside.heads) == 1
    async with small_net(server_tls=server_tls) as net:
        with pytest.raises(ToolError, match="certificate"):
            await net.client.fetch("https://shop.example/")
        assert net.outside.heads == []


async def test_many_fetches_at_once_share_nothing() -> None:
    async with small_net() as net:
        net.outside.replies = {f"/{n}": answer(str(n).encode()) for n in range(30)}
        urls = [f"http://shop.example/{n}" for n in range(30)]
        pages = await asyncio.gather(*(net.client.fetch(url) for url in urls))
        assert [page.body.decode() for page in pages] == [str(n) for n in range(30)]
