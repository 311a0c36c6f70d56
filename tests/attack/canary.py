"""A server on loopback that nobody has a reason to speak to."""

import asyncio
from typing import Self


class Canary:
    """Counts the connections it gets, and keeps the first bytes of each."""

    def __init__(self) -> None:
        self._server: asyncio.Server | None = None
        self._heard: list[str] = []
        self.address = ""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._hear, "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()[:2]
        self.address = f"{host}:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    def taken(self) -> list[str]:
        """Return what was heard since the last call, one sentence for each connection."""
        heard, self._heard = self._heard, []
        return heard

    async def _hear(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Counted on connection: a knock without a word has already told somebody something.
        number = len(self._heard)
        self._heard.append("the canary was reached")
        said = await reader.read(200)
        if number < len(self._heard):
            self._heard[number] += f": {said!r}"
        writer.close()
