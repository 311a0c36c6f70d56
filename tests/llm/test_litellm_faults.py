import asyncio
import json
import socket
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from pydantic import SecretStr

from swarm.core.chat import RawAnswer
from swarm.core.errors import BadAnswer, ModelError, Refused, Transient
from swarm.llm.base import LLMConfig, parse_answer
from swarm.llm.litellm import LiteLLM
from tests.llm.calls import WRITE_FILE, outcome, question, served
from tests.servers.replies import (
    CONTENT_POLICY,
    CONTEXT_OVERFLOW,
    QUOTA,
    Reply,
    completion,
    error,
)

both_ways = pytest.mark.parametrize("is_streamed", [False, True], ids=["whole", "streamed"])
OOPS = error("Something broke.")

STATUSES: list[tuple[int, Any, type[ModelError], str]] = [
    (401, error("Incorrect API key provided.", code="invalid_api_key"), Refused, "unauthorized"),
    (400, error("API key not valid. Please pass a valid API key."), Refused, "unauthorized"),
    (402, error("Payment required."), Refused, "quota"),
    (403, error("Your key has no access to this model."), Refused, "forbidden"),
    (404, error("The model does not exist.", code="model_not_found"), Refused, "unknown_model"),
    (400, error("Unknown parameter: 'foo'."), Refused, "bad_request"),
    (422, error("Input should be a valid string."), Refused, "bad_request"),
    (400, CONTEXT_OVERFLOW, Refused, "context_overflow"),
    (413, OOPS, Refused, "context_overflow"),
    (400, CONTENT_POLICY, BadAnswer, "content_filter"),
    (408, OOPS, Transient, "timeout"),
    (429, error("Slow down."), Transient, "rate_limited"),
    (429, QUOTA, Refused, "quota"),
    (500, OOPS, Transient, "server_error"),
    (502, b"<html><body>Bad gateway</body></html>", Transient, "server_error"),
    (503, b"", Transient, "overloaded"),
    (504, OOPS, Transient, "server_error"),
    (529, error("Overloaded", type_="overloaded_error"), Transient, "overloaded"),
    (307, OOPS, Refused, "bad_address"),
]


@both_ways
@pytest.mark.parametrize(("status", "body", "kind", "word"), STATUSES)
async def test_a_status_becomes_the_error_of_the_one_who_can_act(
    status: int, body: Any, kind: type[ModelError], word: str, is_streamed: bool
) -> None:
    headers = {"Location": "/elsewhere"} if status == 307 else {}
    fault = Reply(body, status=status, headers=headers)
    async with served(faults={1: fault}, stream=is_streamed) as (provider, llm):
        got = await outcome(llm)
        assert type(got) is kind
        assert got.kind == word
        assert len(provider.requests) == 1


@pytest.mark.parametrize(
    ("status", "is_unknown"),
    [(408, True), (502, True), (504, True), (429, False), (500, False), (503, False)],
)
async def test_money_may_be_owed_where_a_gateway_had_passed_the_call_on(
    status: int, is_unknown: bool
) -> None:
    async with served(faults={1: Reply(OOPS, status=status)}) as (_, llm):
        got = await outcome(llm)
        assert isinstance(got, Transient)
        assert got.is_billed_unknown is is_unknown


@both_ways
@pytest.mark.parametrize(
    ("headers", "wanted"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": "0.5"}, 0.5),
        ({"retry-after-ms": "1500", "Retry-After": "9"}, 1.5),
        ({"Retry-After": "-3"}, 0.0),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "inf"}, None),
        ({}, None),
    ],
)
async def test_the_pause_a_provider_asks_for_is_handed_on(
    headers: dict[str, str], wanted: float | None, is_streamed: bool
) -> None:
    fault = Reply(OOPS, status=429, headers=headers)
    async with served(faults={1: fault}, stream=is_streamed) as (_, llm):
        got = await outcome(llm)
        assert isinstance(got, Transient)
        assert got.retry_after_s == wanted


async def test_a_date_to_retry_after_is_measured_from_the_providers_own_clock() -> None:
    theirs = datetime(2031, 5, 1, 12, tzinfo=UTC)
    headers = {
        "Date": format_datetime(theirs, usegmt=True),
        "Retry-After": format_datetime(theirs + timedelta(seconds=90), usegmt=True),
    }
    async with served(faults={1: Reply(OOPS, status=503, headers=headers)}) as (_, llm):
        got = await outcome(llm)
        assert isinstance(got, Transient)
        assert got.retry_after_s == 90.0


async def test_a_date_to_retry_after_is_measured_from_here_where_the_provider_has_no_clock() -> (
    None
):
    until = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    fault = Reply(OOPS, status=429, headers={"Retry-After": until})
    async with served(faults={1: fault}) as (_, llm):
        got = await outcome(llm)
        assert isinstance(got, Transient)
        assert got.retry_after_s is not None
        assert 50 <= got.retry_after_s <= 60


@both_ways
async def test_a_refused_connection_is_unreachable_and_owes_nothing(is_streamed: bool) -> None:
    async with served(stream=is_streamed) as (provider, llm):
        await provider.stop()
        got = await outcome(llm)
        assert isinstance(got, Transient)
        assert (got.kind, got.is_billed_unknown) == ("unreachable", False)


async def test_a_name_that_does_not_resolve_is_unreachable() -> None:
    async with served(api_base="http://nowhere.invalid/v1") as (_, llm):
        got = await outcome(llm)
        assert isinstance(got, Transient)
        assert got.kind == "unreachable"


async def test_an_address_without_http_is_the_operators_to_mend() -> None:
    async with served(api_base="127.0.0.1:9/v1") as (_, llm):
        got = await outcome(llm)
        assert isinstance(got, Refused)
        assert got.kind == "bad_address"


async def test_a_server_that_speaks_no_http_gives_no_answer() -> None:
    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example ESMTP ready\r\n")
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, served(api_base=f"http://127.0.0.1:{port}/v1") as (_, llm):
        got = await outcome(llm)
        assert isinstance(got, BadAnswer | Transient)
        assert got.kind in ("malformed", "cut")


CALL = {"index": 0, "id": "c", "function": {"name": "write_file", "arguments": '{"path":"a"}'}}
SMALL = {
    "choices": [{"index": 0, "message": {"tool_calls": [CALL]}, "finish_reason": "tool_calls"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1},
}
WHOLE = json.dumps(SMALL, separators=(",", ":")).encode()
STREAM = b"".join(
    b"data: " + data + b"\n\n"
    for data in (
        b'{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"c",'
        b'"function":{"name":"write_file","arguments":"{\\"path\\":"}}]}}]}',
        b'{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"\\"a\\"}"}}]}}]}',
        b'{"choices":[{"delta":{},"finish_reason":"tool_calls"}]}',
        b'{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1}}',
        b"[DONE]",
    )
)
FINISH = b'"finish_reason":"tool_calls"'
FINISHED = STREAM.index(b"\n\n", STREAM.index(FINISH))
"""From here on nothing of the answer itself is missing."""


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
async def test_a_whole_answer_cut_at_any_byte_is_never_taken(framing: Any) -> None:
    cuts = range(-1, len(WHOLE))
    faults = {
        number: Reply(WHOLE, framing=framing, cut_after=cut) for number, cut in enumerate(cuts, 1)
    }
    async with served(faults=faults) as (provider, llm):
        for _ in cuts:
            got = await outcome(llm, question(tools=(WRITE_FILE,)))
            assert isinstance(got, Transient), got
            assert (got.kind, got.is_billed_unknown) == ("cut", True)
        assert len(provider.requests) == len(cuts)


@pytest.mark.parametrize("framing", ["chunked", "close"])
async def test_a_stream_cut_at_any_byte_is_an_error_or_the_whole_answer(framing: Any) -> None:
    cuts = range(-1, len(STREAM))
    faults = {
        number: Reply(STREAM, framing=framing, cut_after=cut) for number, cut in enumerate(cuts, 1)
    }
    async with served(faults=faults, stream=True) as (_, llm):
        for cut in cuts:
            got = await outcome(llm, question(tools=(WRITE_FILE,)))
            if isinstance(got, RawAnswer):
                assert cut >= FINISHED
                assert parse_answer(got).tool_calls[0].arguments == '{"path":"a"}'
            else:
                assert isinstance(got, Transient), got
                assert (got.kind, got.is_billed_unknown) == ("cut", True)


@both_ways
async def test_a_connection_reset_in_the_middle_is_a_cut(is_streamed: bool) -> None:
    body = STREAM if is_streamed else WHOLE
    cuts = [-1, *range(0, FINISHED if is_streamed else len(WHOLE), 23)]
    faults = {number: Reply(body, reset_after=cut) for number, cut in enumerate(cuts, 1)}
    async with served(faults=faults, stream=is_streamed) as (provider, llm):
        for _ in cuts:
            got = await outcome(llm)
            assert isinstance(got, Transient)
            assert (got.kind, got.is_billed_unknown) == ("cut", True)
        assert len(provider.requests) == len(cuts), "a broken call was sent again"


async def test_a_stream_that_breaks_before_its_usage_is_cut() -> None:
    async with served(faults={1: Reply(STREAM, cut_after=FINISHED + 2)}, stream=True) as (_, llm):
        got = await outcome(llm)
        assert isinstance(got, Transient)
        assert (got.kind, got.is_billed_unknown) == ("cut", True)


async def test_a_document_that_came_whole_survives_what_the_wire_does_next() -> None:
    fault = Reply(WHOLE, framing="chunked", cut_after=len(WHOLE))
    async with served(faults={1: fault}) as (_, llm):
        got = await outcome(llm)
        assert isinstance(got, RawAnswer)
        assert got.body == SMALL


async def test_a_stream_that_breaks_after_its_usage_is_whole() -> None:
    cut = STREAM.index(b"data: [DONE]")
    async with served(faults={1: Reply(STREAM, reset_after=cut)}, stream=True) as (_, llm):
        got = await outcome(llm)
        assert isinstance(got, RawAnswer)
        assert got.usage is not None


async def test_a_stream_that_is_done_but_never_ends_is_whole() -> None:
    fault = Reply(STREAM, stall_after=len(STREAM))
    async with served(faults={1: fault}, stream=True) as (_, llm):
        got = await outcome(llm, idle_timeout_s=20)
        assert isinstance(got, RawAnswer)


async def test_a_stream_in_good_order_without_a_finish_reason_is_cut() -> None:
    body = STREAM.replace(FINISH, b'"finish_reason":null')
    async with served(faults={1: Reply(body)}, stream=True) as (_, llm):
        got = await outcome(llm)
        assert isinstance(got, Transient)
        assert (got.kind, got.is_billed_unknown) == ("cut", True)


@both_ways
@pytest.mark.parametrize("stalled_after", [-1, 0, 40])
async def test_a_silent_provider_is_given_up_after_the_idle_timeout(
    stalled_after: int, is_streamed: bool
) -> None:
    fault = Reply(STREAM if is_streamed else WHOLE, stall_after=stalled_after)
    async with served(faults={1: fault}, stream=is_streamed) as (provider, llm):
        got = await outcome(llm, idle_timeout_s=0.05)
        assert isinstance(got, Transient)
        assert (got.kind, got.is_billed_unknown) == ("timeout", True)
        assert len(provider.requests) == 1


async def test_a_stream_that_drips_is_given_up_after_the_total_timeout() -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
        writer.write(head)
        hung_up = asyncio.ensure_future(reader.read())
        while not hung_up.done():
            writer.write(b": still thinking\n\n")
            await asyncio.wait([hung_up], timeout=0.01)
        writer.close()
        ended.set()

    ended = asyncio.Event()

    server = await asyncio.start_server(drip, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, served(api_base=f"http://127.0.0.1:{port}/v1", stream=True) as (_, llm):
        got = await outcome(llm, timeout_s=0.2, idle_timeout_s=5)
        assert isinstance(got, Transient)
        assert (got.kind, got.is_billed_unknown) == ("timeout", True)
        await asyncio.wait_for(ended.wait(), 20)


NO_ANSWERS = [b"", b"OK", b"null", b"[]", b"{}", b'{"object": "list", "data": []}', b"\xff\xfe{"]


@both_ways
@pytest.mark.parametrize("body", NO_ANSWERS)
async def test_bytes_that_are_no_completion_are_malformed(body: bytes, is_streamed: bool) -> None:
    async with served(faults={1: Reply(body)}, stream=is_streamed) as (_, llm):
        got = await outcome(llm)
        assert isinstance(got, BadAnswer)
        assert got.kind == "malformed"


async def test_an_event_that_is_no_json_is_malformed() -> None:
    body = STREAM.replace(FINISH, b'"finish_reason":tool_calls')
    async with served(faults={1: Reply(body)}, stream=True) as (_, llm):
        got = await outcome(llm)
        assert isinstance(got, BadAnswer)
        assert got.kind == "malformed"


@both_ways
async def test_an_error_inside_a_successful_response_is_an_error(is_streamed: bool) -> None:
    inside = {"error": {"message": "Upstream is overloaded.", "code": 503}}
    async with served(faults={1: Reply(inside)}, stream=is_streamed) as (_, llm):
        got = await outcome(llm)
        assert isinstance(got, Transient)
        assert (got.kind, got.is_billed_unknown) == ("overloaded", True)


async def test_an_error_in_the_middle_of_a_stream_is_an_error() -> None:
    event = b'data: {"error": {"message": "The worker died."}, "choices": []}\n\n'
    body = STREAM[: STREAM.index(b"\n\n") + 2] + event
    async with served(faults={1: Reply(body)}, stream=True) as (_, llm):
        got = await outcome(llm)
        assert isinstance(got, Transient)
        assert (got.kind, got.is_billed_unknown) == ("server_error", True)


@both_ways
@pytest.mark.parametrize("choices", [[], [{"index": 0, "message": None}]])
async def test_a_completion_without_a_message_is_handed_on_to_be_charged(
    choices: Any, is_streamed: bool
) -> None:
    body = completion(text="x") | {"choices": choices}
    async with served(faults={1: Reply(json.dumps(body).encode())}, stream=is_streamed) as (_, llm):
        got = await outcome(llm)
        assert isinstance(got, RawAnswer)
        assert got.usage is not None
        with pytest.raises(BadAnswer):
            parse_answer(got)


@both_ways
async def test_a_key_that_an_error_repeats_is_taken_out(is_streamed: bool) -> None:
    key = "very-private-1"
    said = f"Wrong key {key}, and sk-proj-abcdefgh1234 is not better; " + "blah " * 200
    fault = Reply(error(said), status=401)
    async with served(faults={1: fault}, stream=is_streamed, api_key=SecretStr(key)) as (_, llm):
        got = await outcome(llm)
        assert isinstance(got, Refused)
        assert key not in str(got)
        assert "sk-proj" not in str(got)
        assert len(str(got)) < 300


@both_ways
async def test_an_error_is_one_sentence_in_our_words_and_the_providers(is_streamed: bool) -> None:
    fault = Reply(error("Something broke\nbadly."), status=500)
    async with served(faults={1: fault}, stream=is_streamed) as (_, llm):
        got = await outcome(llm)
        assert str(got) == "scripted-1: the provider failed (500): Something broke badly."


@both_ways
async def test_nothing_is_printed_whatever_happens(
    is_streamed: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    replies = [
        Reply(OOPS, status=500),
        Reply(OOPS, status=401),
        Reply(b"{"),
        Reply(WHOLE, reset_after=20),
    ]
    faults = dict(enumerate(replies, 1))
    async with served(faults=faults, stream=is_streamed) as (_, llm):
        for _ in range(5):
            await outcome(llm)
        await outcome(llm, question(model="no such/model name"))
    nowhere = LiteLLM(LLMConfig(stream=is_streamed))
    await outcome(nowhere, question(model="no-such-model"))
    nowhere.capabilities("no-such-model")
    await nowhere.close()
    assert capfd.readouterr() == ("", "")


@both_ways
async def test_a_cancelled_call_ends_at_once_and_the_next_one_works(is_streamed: bool) -> None:
    asked = asyncio.Event()

    def answer(request: dict[str, Any]) -> Reply:
        asked.set()
        return Reply(STREAM if is_streamed else WHOLE)

    async with served(answer, stream=is_streamed) as (provider, llm):
        await outcome(llm)
        asked.clear()
        provider.faults = {2: Reply(stall_after=10)}
        task = asyncio.create_task(outcome(llm))
        await asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert isinstance(await outcome(llm), RawAnswer)


async def test_a_port_nobody_answers_on_times_out_as_unreachable() -> None:
    # A full backlog: the kernel neither accepts nor refuses.
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        try:
            async with served(api_base=f"http://127.0.0.1:{full.getsockname()[1]}/v1") as (_, llm):
                got = await outcome(llm, idle_timeout_s=0.1)
                assert isinstance(got, Transient)
                assert (got.kind, got.is_billed_unknown) == ("unreachable", False)
        finally:
            for filler in fillers:
                filler.close()
