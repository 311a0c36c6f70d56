import contextlib
from typing import Any

import httpx
import pytest

from swarm.core.errors import Transient
from swarm.llm.wire import MAX_ANSWER_BYTES, TAPE, Connections, Tape, TapedTransport, WireStop
from tests.servers.provider import ScriptedProvider
from tests.servers.replies import Reply, error


@pytest.mark.parametrize(
    "fault", [Reply(error("busy"), status=503), Reply(reset_after=3), Reply(cut_after=-1)]
)
async def test_whoever_tries_a_failed_call_again_is_stopped_before_the_wire(fault: Reply) -> None:
    connections = Connections()
    transport: httpx.AsyncBaseTransport = TapedTransport(connections)  # type: ignore[assignment]
    async with ScriptedProvider(faults={1: fault}) as provider:
        token = TAPE.set(Tape(idle_timeout_s=5))
        try:
            # The client closes its transport at the end, as the libraries' own retries do.
            client = httpx.AsyncClient(transport=transport)
            ask: dict[str, Any] = {
                "url": provider.url + "/chat/completions",
                "json": {"messages": []},
            }
            with contextlib.suppress(WireStop):
                await client.post(**ask)
            with pytest.raises(WireStop):
                await client.post(**ask)
            assert len(provider.requests) == 1
            await client.aclose()
        finally:
            TAPE.reset(token)
        await connections.close()


async def test_a_stopped_call_keeps_why_it_first_failed() -> None:
    tape = Tape(idle_timeout_s=5)
    tape.failure = Transient("cut", kind="cut")
    with pytest.raises(WireStop):
        tape.begin()
    assert tape.failure.kind == "cut"


def test_an_endless_answer_is_given_up() -> None:
    tape = Tape(idle_timeout_s=5, content=bytearray(MAX_ANSWER_BYTES))
    with pytest.raises(WireStop):
        tape.take(b"x")
