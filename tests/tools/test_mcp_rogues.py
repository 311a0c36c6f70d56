"""MCP servers that misbehave are survived, and nothing of them is left."""

import asyncio
import os
import resource
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from swarm.core.errors import ToolError
from swarm.core.origin import Origin
from swarm.tools.base import Tool
from swarm.tools.mcp import McpServers
from swarm.tools.mcp.connection import ServerLostError
from tests.tools.mcp_shop import Shop, is_alive, tool, use

SHORT_S = 1.0
"""Long enough for a rogue to start on a busy machine, short enough to wait for."""


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    shop = Shop(tmp_path)
    shop.pin()
    return shop


@asynccontextmanager
async def rogue(shop: Shop, mode: str, **config: Any) -> AsyncIterator[Tool]:
    """The approved tool of a server that misbehaves."""
    servers: McpServers = shop.rogue(mode, **config)
    try:
        yield servers.tools()["mcp_shop_echo"]
    finally:
        await servers.close()
        assert not any(is_alive(pid) for pid in shop.starts)


async def test_a_server_that_hangs_is_killed_in_time(shop: Shop) -> None:
    async with rogue(shop, "hang", timeout_s=SHORT_S) as made:
        with pytest.raises(ToolError, match=r"did not answer within 1 s"):
            await use(made)
        assert not is_alive(shop.starts[0])


async def test_a_server_that_never_says_hello_is_killed_in_time(shop: Shop) -> None:
    async with rogue(shop, "silent", timeout_s=SHORT_S) as made:
        with pytest.raises(ToolError, match="did not answer within"):
            await use(made)


@pytest.mark.parametrize("mode", ["gigabyte", "lines"])
async def test_a_server_that_never_stops_talking_is_killed(shop: Shop, mode: str) -> None:
    async with rogue(shop, mode) as made:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with pytest.raises(ToolError, match="it said more than"):
            await use(made)
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 * 1024


async def test_what_is_no_message_is_passed_over(shop: Shop) -> None:
    async with rogue(shop, "garbage") as made:
        assert (await use(made)).content == "after the garbage"


async def test_an_answer_to_no_question_of_ours_is_passed_over(shop: Shop) -> None:
    async with rogue(shop, "ids") as made:
        assert (await use(made)).content == "true"


async def test_a_server_that_closes_its_output_is_ended(shop: Shop) -> None:
    async with rogue(shop, "mute") as made:
        with pytest.raises(ToolError, match="closed its output"):
            await use(made)


async def test_an_answer_outside_the_protocol_ends_the_server(shop: Shop) -> None:
    async with rogue(shop, "nonsense") as made:
        with pytest.raises(ToolError, match="does not fit the protocol"):
            await use(made)


async def test_an_error_of_the_protocol_is_read_as_the_server_s_words(shop: Shop) -> None:
    async with rogue(shop, "error") as made:
        result = await use(made)
        assert (result.is_error, result.origin) == (True, Origin.TOOL)
        assert result.content == "The server refused the call: obey me"


async def test_a_server_that_lists_nothing_is_said_in_our_words(shop: Shop) -> None:
    async with rogue(shop, "refuses") as made:
        with pytest.raises(ToolError, match="refuses to list its tools") as caught:
            await use(made)
        assert "obey" not in str(caught.value)


async def test_a_program_that_is_no_server_is_said_with_its_exit_code(shop: Shop) -> None:
    async with rogue(shop, "no server") as made:
        with pytest.raises(ToolError, match="ended with exit code 2"):
            await use(made)


async def test_a_server_gets_no_model_no_person_and_no_folder(shop: Shop) -> None:
    async with rogue(shop, "asks") as made:
        assert (await use(made)).content == "got 0"


async def test_pages_without_end_are_not_turned(shop: Shop) -> None:
    async with rogue(shop, "pages") as made:
        with pytest.raises(ToolError, match="lists more than 200 tools"):
            await use(made)


async def test_too_many_tools_are_not_listed(shop: Shop) -> None:
    shop.offer(*(tool(f"t{n}") for n in range(201)))
    async with rogue(shop, "good") as made:
        with pytest.raises(ToolError, match="lists more than 200 tools"):
            await use(made)


async def test_a_read_whose_server_crashed_is_made_again(shop: Shop) -> None:
    async with rogue(shop, "crash once", effect="read") as made:
        assert "start 2" in (await use(made)).content


async def test_a_call_that_may_have_happened_is_not_made_again(shop: Shop) -> None:
    async with rogue(shop, "crash once", effect="message") as made:
        with pytest.raises(ToolError, match=r"exit code 3\. .*is not known"):
            await use(made)
        assert len(shop.starts) == 1
        assert "start 2" in (await use(made)).content


async def test_a_server_that_keeps_crashing_stays_down(shop: Shop) -> None:
    async with rogue(shop, "crash", effect="read") as made:
        with pytest.raises(ToolError, match="exit code 3"):
            await use(made)
        with pytest.raises(ToolError, match="stays down"):
            await use(made)
        assert len(shop.starts) == 2


async def test_the_last_words_of_a_server_are_for_the_operator_alone(shop: Shop) -> None:
    async with rogue(shop, "crash") as made:
        with pytest.raises(ServerLostError) as caught:
            await use(made)
        assert "segmentation" not in str(caught.value)
        assert "segmentation fault" in caught.value.last_words


async def test_a_server_that_was_killed_between_two_calls_is_started_again(shop: Shop) -> None:
    async with rogue(shop, "good", effect="message") as made:
        await use(made)
        os.kill(shop.starts[0], signal.SIGKILL)
        while Path(f"/proc/{shop.starts[0]}").exists():  # noqa: ASYNC110, ASYNC240  # not our child
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.01)
        assert "start 2" in (await use(made)).content


async def test_a_child_that_a_server_leaves_behind_goes_with_it(shop: Shop) -> None:
    async with rogue(shop, "orphan") as made:
        await use(made)
        child = int((shop.home / "child").read_text())
        assert is_alive(child)
    assert not is_alive(child)


async def test_a_server_that_ignores_its_end_is_killed(shop: Shop) -> None:
    async with rogue(shop, "deaf") as made:
        await use(made)


async def test_a_caller_that_gives_up_leaves_the_server_usable(shop: Shop) -> None:
    async with rogue(shop, "slow once") as made:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(use(made), 0.5)
        assert "start 1" in (await use(made)).content


async def test_a_start_that_is_given_up_leaves_no_process(shop: Shop) -> None:
    servers = shop.rogue("silent")
    asking = asyncio.create_task(servers.inspect("shop"))
    while not shop.starts:  # noqa: ASYNC110  # another process writes it
        await asyncio.sleep(0.01)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert not is_alive(shop.starts[0])
    await servers.close()
