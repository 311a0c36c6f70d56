"""A provider of chat completions on loopback: scripted, or answering any schema at random.

It knows nothing of the project under test. Run it in the loop of a test (`async with`), in a
thread (`in_thread`), or as a process that prints where it listens on its first line:

    python -m tests.servers.provider --port 0 --mode schema --seed 7
"""

import argparse
import asyncio
import contextlib
import json
import os
import random
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Self, TypeAlias

from tests.servers.company import CompanyScript
from tests.servers.replies import Body, Reply, completion
from tests.servers.schema_instances import instance
from tests.servers.wire import Request, Wire

Script: TypeAlias = Callable[[Body], Body | Reply]
ROOT = Path(__file__).parents[2]


def say_hello(request: Body) -> Body:
    """Answer everything with one word."""
    return completion(text="Hello.", model=request.get("model", "scripted-1"))


class ScriptedProvider:
    """Answers `/chat/completions` by a script, with faults at chosen calls.

    `faults` maps a call's number, from 1, to what happens instead; a fault without a body takes
    the script's answer on its way down. `requests` keeps every request in order of arrival.
    """

    def __init__(
        self,
        script: Script = say_hello,
        *,
        faults: Mapping[int, Reply] | None = None,
        delay_s: float = 0.0,
        port: int = 0,
        host: str = "127.0.0.1",
    ) -> None:
        self.script = script
        self.faults = dict(faults or {})
        self.delay_s = delay_s
        self.requests: list[Request] = []
        self.connections = 0
        self._port = port
        self._host = host
        self._wires: set[Wire] = set()
        self._server: asyncio.Server | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def port(self) -> int:
        """Where it listens; stays known after `stop`, when connections are refused."""
        return self._port

    @property
    def url(self) -> str:
        """Base address, up to and including `/v1`."""
        return f"http://127.0.0.1:{self._port}/v1"

    @property
    def bodies(self) -> list[Body]:
        """The documents of all requests."""
        return [r.body for r in self.requests]

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The loop it serves from, while it does."""
        return self._loop

    async def alone(self) -> None:
        """Wait until no client is connected."""
        while self._wires:
            await asyncio.gather(*(wire.lost.wait() for wire in list(self._wires)))

    async def start(self) -> None:
        """Listen, on loopback unless another address was given."""
        loop = self._loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._connect, self._host, self._port, backlog=512)
        self._port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop listening and drop every connection."""
        if self._server is not None:
            self._server.close()
            for wire in list(self._wires):
                wire.close()
            await self._server.wait_closed()
            self._server = self._loop = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @contextlib.contextmanager
    def in_thread(self) -> Iterator[Self]:
        """Serve from a thread of its own, for code under test that blocks or owns its loop."""
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever, name="provider", daemon=True)
        thread.start()
        asyncio.run_coroutine_threadsafe(self.start(), loop).result(10)
        try:
            yield self
        finally:
            asyncio.run_coroutine_threadsafe(self.stop(), loop).result(10)
            loop.call_soon_threadsafe(loop.stop)
            thread.join(10)
            loop.close()

    def _connect(self) -> Wire:
        self.connections += 1
        return Wire(self._handle, self.connections, self._wires)

    def _handle(self, request: Request) -> Reply:
        if request.path.endswith("/models"):
            return Reply({"object": "list", "data": [{"id": "scripted-1", "object": "model"}]})
        self.requests.append(request)
        fault = self.faults.get(len(self.requests))
        if fault is not None and fault.body is not None:
            return fault
        made = self.script(request.body)
        reply = made if isinstance(made, Reply) else Reply(made)
        if fault is not None:
            reply = replace(fault, body=reply.body)
        return reply if reply.delay_s is not None else replace(reply, delay_s=self.delay_s)


class SchemaScript:
    """Answers any request by chance: an instance of its schema, a tool call, or a text.

    Token counts are plausible: a prompt has at most as many tokens as bytes, an answer at most
    `max_tokens`.
    """

    def __init__(self, seed: int = 0, *, text_share: float = 0.2) -> None:
        self._random = random.Random(seed)
        self._text_share = text_share

    def __call__(self, request: Body) -> Body:
        rng = self._random
        shape = request.get("response_format") or {}
        tools = request.get("tools") or []
        usage = self._usage(request)
        model = str(request.get("model", "schema-1"))
        if shape.get("type") == "json_schema":
            document = instance(shape["json_schema"]["schema"], rng)
            return completion(document=document, usage=usage, model=model)
        if tools and rng.random() >= self._text_share:
            function = rng.choice(tools)["function"]
            arguments = instance(function.get("parameters") or {"type": "object"}, rng)
            calls = [(function["name"], arguments)]
            return completion(tool_calls=calls, usage=usage, model=model)
        return completion(text=instance({"type": "string"}, rng), usage=usage, model=model)

    def _usage(self, request: Body) -> dict[str, Any]:
        prompt = json.dumps([request.get("messages"), request.get("tools")], ensure_ascii=False)
        limit = request.get("max_tokens") or request.get("max_completion_tokens") or 4096
        size = len(prompt.encode())
        read = self._random.randint(size // 8 + 1, size // 3 + 1)
        written = self._random.randint(1, min(limit, 400))
        cached = self._random.choice([0, 0, read // 2])
        return {
            "prompt_tokens": read,
            "completion_tokens": written,
            "total_tokens": read + written,
            "prompt_tokens_details": {"cached_tokens": cached},
        }


class SchemaProvider(ScriptedProvider):
    """A provider that answers any request with a random valid answer."""

    def __init__(self, seed: int = 0, **options: Any) -> None:
        super().__init__(SchemaScript(seed), **options)


def build(mode: str, *, seed: int, port: int, delay_s: float) -> ScriptedProvider:
    """Return the provider for a mode of the command line."""
    scripts: dict[str, Callable[[], Script]] = {
        "hello": lambda: say_hello,
        "schema": lambda: SchemaScript(seed),
        "company": CompanyScript,
    }
    return ScriptedProvider(scripts[mode](), port=port, delay_s=delay_s)


async def serve(provider: ScriptedProvider) -> None:
    """Serve until the parent process is gone, or until killed."""
    parent = os.getppid()
    async with provider:
        sys.stdout.write(json.dumps({"port": provider.port, "url": provider.url}) + "\n")
        sys.stdout.flush()
        # No portable signal tells of a parent's death; being handed to another one does.
        while os.getppid() == parent:  # noqa: ASYNC110 - nobody is there to set an event
            await asyncio.sleep(0.5)


@contextlib.contextmanager
def in_process(mode: str = "schema", *, seed: int = 0, delay_s: float = 0.0) -> Iterator[str]:
    """Serve from a process of its own; yields its base address."""
    argv = [sys.executable, "-m", "tests.servers.provider", "--mode", mode]
    argv += ["--seed", str(seed), "--delay", str(delay_s)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, cwd=ROOT, text=True) as process:
        try:
            assert process.stdout is not None
            yield json.loads(process.stdout.readline())["url"]
        finally:
            process.terminate()
            process.wait(10)


def main() -> None:
    """Run a provider as a process."""
    parser = argparse.ArgumentParser(prog="tests.servers.provider")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--mode", choices=["hello", "schema", "company"], default="schema")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--delay", type=float, default=0.0, help="seconds before each answer")
    options = parser.parse_args()
    provider = build(options.mode, seed=options.seed, port=options.port, delay_s=options.delay)
    asyncio.run(serve(provider))


if __name__ == "__main__":
    main()
