"""The embedded model: real tokens in this process, with no key, no network and no port.

Gemma 3 270M is a base model. It continues texts and follows no instruction; a JSON schema holds
it to a form, never to a sense. It proves that the whole path works.
"""

import asyncio
import hashlib
import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from swarm.core.chat import Message, ModelRequest, RawAnswer
from swarm.core.errors import Refused, Transient
from swarm.core.registry import nearest
from swarm.core.usage import Usage
from swarm.llm.base import Capabilities, LLMConfig
from swarm.llm.bounded import Endless, bounded
from swarm.llm.embedded import (
    CONTEXT,
    ContextOverflow,
    Engine,
    EngineError,
    Generated,
    Job,
    Stopped,
    load,
)
from swarm.llm.gguf import installed_parts, model_file

MODEL = "local/gemma3-270m"
MAX_OUTPUT_TOKENS = 512
"""About 15 s of writing on two cores."""

# A token of prose is 3 to 4 signs, one of JSON or of a language the model hardly knows is 2.
_SIGNS_PER_TOKEN = 2
_SAMPLING = {"top_k": 40, "top_p": 0.95, "min_p": 0.05, "repeat_penalty": 1.1}
_HEADINGS = {"system": "Instructions", "user": "Request", "assistant": "Answer", "tool": "Result"}
_STOP = "\n###"


class LocalLLM:
    """Serve `local/gemma3-270m` in this process; calls run one after the other."""

    def __init__(
        self, config: LLMConfig, *, cache: Path, loader: Callable[[Path], Any] | None = None
    ) -> None:
        """Take the settings; nothing is loaded before the first call.

        Args:
            config: `max_output_tokens` and `json_schema` are used.
            cache: Folder for the model file, 250 MB; created when needed.
            loader: Loads another engine, given `cache`; None loads the embedded model.
        """
        self._config = config
        self._load = partial(loader or load_embedded, cache)
        self._engine = Engine(self._load)

    def capabilities(self, model: str) -> Capabilities:
        """Say what the embedded model can do; native tool calls are not among it."""
        return Capabilities(
            native_tools=False,
            native_schema=self._config.json_schema != "prompt",
            max_output_tokens=min(self._config.max_output_tokens, MAX_OUTPUT_TOKENS),
            compact_prompts=True,
        )

    async def complete(
        self, request: ModelRequest, *, timeout_s: float, idle_timeout_s: float
    ) -> RawAnswer:
        """Ask once. The same request gives the same answer, on the same machine.

        Waiting for earlier calls counts towards `timeout_s`, loading towards both limits.

        Raises:
            ConfigError: The extra `local` is missing, or the cache cannot be written.
            Refused: Unknown model, native tools, a prompt too long for the context
                (`context_overflow`), or a schema that has no short document.
            Transient: `timeout`, or `stopped` where the adapter was closed meanwhile.
        """
        body = self._body(request)
        started = time.monotonic()
        job = self._engine.submit(body)
        try:
            generated = await _wait(job, started + timeout_s, idle_timeout_s)
        except ContextOverflow as error:
            raise Refused(
                f"{MODEL} reads and writes {CONTEXT:,} tokens at most: the prompt has "
                f"{error.prompt_tokens:,}, the answer may have {body['n_predict']:,}",
                kind="context_overflow",
            ) from error
        except EngineError as error:
            raise Refused(f"{MODEL} refused the request: {error}", kind="bad_request") from error
        except Stopped as error:
            raise Transient(f"{MODEL} was closed", kind="stopped") from error
        return _answer(body, generated, latency_s=time.monotonic() - started)

    async def close(self) -> None:
        """Stop the running call and free the model; a later call loads it again."""
        engine, self._engine = self._engine, Engine(self._load)
        await asyncio.to_thread(engine.close)

    def _body(self, request: ModelRequest) -> dict[str, Any]:
        if request.model != MODEL:
            raise Refused(
                f"no embedded model {request.model!r}{nearest(request.model, [MODEL])}",
                kind="unknown_model",
            )
        if request.tools:
            raise Refused(f"{MODEL} has no native tool calls", kind="bad_request")
        limit = min(request.max_output_tokens, self.capabilities(MODEL).max_output_tokens)
        body: dict[str, Any] = {
            **_SAMPLING,
            "prompt": prompt(request.messages, is_json=request.schema is not None),
            "n_predict": limit,
            "temperature": 0.7 if request.temperature is None else request.temperature,
            "stop": [_STOP],
        }
        if request.schema is not None:
            body["json_schema"] = _grammar(request, limit)
            body["stop"] = []
        return {**body, "seed": int(_digest(body)[:8], 16) >> 1}


def load_embedded(cache: Path) -> Any:
    """Load the embedded model, whose file is put into `cache` on the first call.

    Raises:
        ConfigError: The extra `local` is missing or damaged, or `cache` cannot be written.
    """
    return load(model_file(installed_parts(), cache))


def prompt(messages: tuple[Message, ...], *, is_json: bool) -> str:
    """Write a conversation as one text under headings, which a base model can go on with."""
    parts = [
        f"### {_HEADINGS.get(str(message.get('role')), 'Request')}\n{_text(message)}"
        for message in messages
    ]
    text = "\n\n".join([*parts, "### Answer as JSON\n" if is_json else "### Answer\n"])
    # The engine refuses lone surrogates, which JSON can carry and UTF-8 cannot.
    return text.encode("utf-8", "replace").decode("utf-8")


def _text(message: Message) -> str:
    content = message.get("content")
    if isinstance(content, list):
        content = "\n".join(str(part.get("text", "")) for part in content if "text" in part)
    calls = [
        f"{call['function']['name']}({call['function']['arguments']})"
        for call in message.get("tool_calls") or ()
    ]
    return "\n".join([str(content or ""), *calls]).strip()


def _grammar(request: ModelRequest, limit: int) -> dict[str, Any]:
    try:
        narrowed = bounded(request.schema or {}, max_chars=limit * _SIGNS_PER_TOKEN)
    except Endless as error:
        raise Refused(
            f"the schema {request.schema_name or ''} has no document that ends", kind="bad_request"
        ) from error
    # Free white space is where a base model loses itself.
    return {**narrowed, "x-guidance": {"whitespace_flexible": False}}


def _digest(body: dict[str, Any]) -> str:
    text = json.dumps(body, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


async def _wait(job: Job, deadline: float, idle_timeout_s: float) -> Generated:
    future = asyncio.wrap_future(job.future)
    try:
        while not future.done():
            now = time.monotonic()
            seen_at = now if job.seen_at is None else job.seen_at
            rest = min(deadline, seen_at + idle_timeout_s) - now
            if rest <= 0:
                raise Transient(f"{MODEL} did not answer in time", kind="timeout")
            await asyncio.wait({future}, timeout=rest)
        return future.result()
    finally:
        if not future.done():
            job.stop.set()
            future.cancel()


def _answer(body: dict[str, Any], generated: Generated, *, latency_s: float) -> RawAnswer:
    message = {"role": "assistant", "content": generated.text.strip()}
    choice = {"index": 0, "message": message, "finish_reason": generated.finish_reason}
    return RawAnswer(
        body={
            "id": f"local-{_digest(body)[:16]}",
            "object": "chat.completion",
            "model": MODEL,
            "choices": [choice],
            "usage": generated.usage,
        },
        model=MODEL,
        usage=Usage(
            input_tokens=int(generated.usage["prompt_tokens"]),
            output_tokens=int(generated.usage["completion_tokens"]),
        ),
        latency_s=latency_s,
        raw_usage=generated.usage,
    )
