"""Whatever a server sends or holds back, memory and time are bounded."""

import asyncio
import gzip
import tracemalloc
import zlib
from collections.abc import Iterable
from typing import Any

import pytest

from swarm.core.errors import ToolError
from swarm.tools import http
from swarm.tools.http import WebClient, WebConfig
from tests.tools.hosts import PUBLIC
from tests.tools.sites import Net, Site, Writer, answer, small_net, visit

SECRET = "canary-7f3a"
ZEROS = bytes(1024 * 1024)


def zeros_packed(times: int) -> bytes:
    """Return a gzip stream of so many MiB of zeros, made without packing them all."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    block = packer.compress(ZEROS) + packer.flush(zlib.Z_FULL_FLUSH)
    return b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + block * times


async def fetched_peak(net: Net, url: str) -> tuple[http.Page | None, int]:
    tracemalloc.start()
    try:
        page = await visit(net, url)
        return page, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


class Unbounded(http.BodyReader):
    def take(self, chunk: bytes) -> bool:
        assert self._unpacker is not None
        self.body += self._unpacker.decompress(chunk)
        return len(self.body) < 60_000_000


async def test_ten_gigabytes_packed_small_are_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    packed = zeros_packed(10 * 1024)
    async with small_net() as net:
        net.outside.replies = {"/": answer(packed, Content_Encoding="gzip")}
        page, peak = await fetched_peak(net, "http://shop.example/")
        assert page is not None
        assert (len(page.body), page.is_cut) == (5 * 1024 * 1024, True)
        assert peak < 40_000_000
        monkeypatch.setattr(http, "BodyReader", Unbounded)
        assert (await fetched_peak(net, "http://shop.example/"))[1] > 60_000_000


async def test_ten_gigabytes_in_a_few_kilobytes_are_refused_as_packed_twice() -> None:
    bomb = gzip.compress(zeros_packed(10 * 1024))
    assert len(bomb) < 100_000
    for headers in (b"Content-Encoding: gzip, gzip\r\n", b"Content-Encoding: gzip\r\n" * 2):
        async with small_net() as net:
            head = b"HTTP/1.1 200 X\r\n" + headers
            net.outside.replies = {
                "/": head + b"Content-Length: %d\r\n\r\n" % len(bomb) + bomb,
                "/br": answer(bomb, Content_Encoding="br"),
            }
            for path in ("", "br"):
                with pytest.raises(ToolError, match="packed"):
                    await net.client.fetch(f"http://shop.example/{path}")


async def endless_nothing(writer: Writer) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + zeros_packed(0))
    while True:
        writer.write(b"\0\0\0\xff\xff" * 10_000)
        await writer.drain()


async def test_a_packed_body_that_unpacks_to_nothing_ends_all_the_same() -> None:
    async with small_net(max_bytes=100_000) as net:
        net.outside.replies = {"/": endless_nothing}
        page = await asyncio.wait_for(net.client.fetch("http://shop.example/"), 5)
        assert (page.body, page.is_cut) == (b"", True)


@pytest.mark.parametrize("size", [0, 1, 999, 1_000, 1_001, 200_000])
async def test_a_body_is_whole_up_to_the_limit_and_cut_beyond(size: int) -> None:
    body = bytes(range(256)) * (size // 256 + 1)
    body = body[:size]
    async with small_net(max_bytes=1_000) as net:
        net.outside.replies = {
            "/plain": answer(body),
            "/gzip": answer(gzip.compress(body), Content_Encoding="gzip"),
        }
        for path in ("plain", "gzip"):
            page = await net.client.fetch(f"http://shop.example/{path}")
            assert page.body == body[:1_000]
            assert page.is_cut == (size > 1_000)


async def test_a_packed_body_that_ends_early_is_called_cut() -> None:
    packed = gzip.compress(b"hello " * 100)
    async with small_net() as net:
        net.outside.replies = {
            "/": answer(packed[:-9], Content_Encoding="gzip"),
            "/bad": answer(b"no gzip at all", Content_Encoding="gzip"),
            "/short": answer(b"abc", length=10),
            "/nonsense": b"220 mail.example ESMTP\r\n\r\n",
            "/upgrade": b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n",
        }
        page = await net.client.fetch("http://shop.example/")
        assert page.body.startswith(b"hello")
        assert page.is_cut
        for path in ("bad", "short", "nonsense", "upgrade"):
            with pytest.raises(ToolError, match=r"malformed|another protocol"):
                await net.client.fetch(f"http://shop.example/{path}")


async def test_a_head_request_reads_no_body() -> None:
    async with small_net() as net:
        net.outside.replies = {"/": answer(b"", length=10**12, Content_Encoding="gzip")}
        page = await net.client.fetch("http://shop.example/", method="HEAD")
        assert (page.status, page.body, page.is_cut) == (200, b"", False)


async def endless_header(writer: Writer) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nX: ")
    while True:
        writer.write(b"x" * 65_536)
        await writer.drain()


async def endless_hints(writer: Writer) -> None:
    while True:
        writer.write(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 100)
        await writer.drain()


async def endless_body(writer: Writer) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        writer.write(b"x" * 65_536)
        await writer.drain()


async def test_endless_bodies_headers_and_hints_end() -> None:
    async with small_net() as net:
        net.outside.replies = {"/": endless_body}
        page = await net.client.fetch("http://shop.example/")
        assert (len(page.body), page.is_cut) == (5 * 1024 * 1024, True)
    for reply in (endless_header, endless_hints):
        async with small_net(total_timeout_s=0.5) as net:
            net.outside.replies = {"/": reply}
            refused, peak = await fetched_peak(net, "http://shop.example/")
            assert refused is None
            assert peak < 5_000_000


async def silent(writer: Writer) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
    await asyncio.Event().wait()


async def dripping(writer: Writer) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while True:
        writer.write(b"x")
        await asyncio.sleep(0.02)


async def dripping_head(writer: Writer) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nX: ")
    await dripping(writer)


async def test_a_server_that_falls_silent_is_left() -> None:
    async with small_net(idle_timeout_s=0.1) as net:
        net.outside.replies = {"/": silent}
        with pytest.raises(ToolError, match="fell silent"):
            await net.client.fetch("http://shop.example/")


@pytest.mark.parametrize("reply", [dripping, dripping_head])
async def test_a_server_that_drips_is_left(reply: Any) -> None:
    async with small_net(total_timeout_s=0.4) as net:
        net.outside.replies = {"/": reply}
        with pytest.raises(ToolError, match=r"within 0\.4 seconds"):
            await net.client.fetch("http://shop.example/")
    async with small_net(total_timeout_s=3_600) as net:
        net.outside.replies = {"/": reply}
        # The limit on silence alone would wait for ever.
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(net.client.fetch("http://shop.example/"), 0.6)


async def test_a_resolver_that_hangs_is_left_and_one_that_fails_is_told() -> None:
    async def hanging(host: str) -> Iterable[str]:
        await asyncio.Event().wait()
        return ()

    async def failing(host: str) -> Iterable[str]:
        raise OSError("no such name: " + SECRET)

    for resolver, words in ((hanging, "in time"), (failing, "there is no host shop.example")):
        client = WebClient(WebConfig(resolve_timeout_s=0.05), resolver=resolver)
        with pytest.raises(ToolError, match=words) as told:
            await client.fetch("http://shop.example/")
        assert SECRET not in str(told.value)


async def test_a_host_that_refuses_the_connection_is_told() -> None:
    async with small_net(others={PUBLIC: Site()}) as net:
        with pytest.raises(ToolError, match="cannot be reached"):
            await net.client.fetch("http://shop.example/")
