"""Vectors of texts, from any provider of embeddings that litellm knows or any server like them."""

import asyncio
import json
import struct
import threading
import time
from typing import Any

from swarm.core.chat import ModelRequest, RawAnswer
from swarm.core.errors import BadAnswer, Transient
from swarm.llm.answers import Document, read_usage, reported_cost
from swarm.llm.base import Capabilities, LLMConfig
from swarm.llm.litellm import import_silenced
from swarm.llm.reading import Reading
from swarm.llm.vectors import packed
from swarm.llm.wire import Tape


class Embeddings:
    """An adapter for models that answer with vectors instead of words."""

    def __init__(self, config: LLMConfig) -> None:
        self._config = config
        self._key = config.api_key.get_secret_value() if config.api_key else None
        self._library: Any = None
        self._import = threading.Lock()

    async def complete(
        self, request: ModelRequest, *, timeout_s: float, idle_timeout_s: float
    ) -> RawAnswer:
        """Ask once for a vector per message.

        Raises:
            Transient, Refused, BadAnswer: As `LLM.complete` says.
        """
        library = await asyncio.to_thread(self._loaded)
        started = time.monotonic()
        try:
            async with asyncio.timeout(timeout_s):
                response = await library.aembedding(**self._arguments(request, timeout_s))
        except TimeoutError:
            sentence = f"{request.model}: no vectors within {timeout_s:g} s"
            raise Transient(sentence, kind="timeout", is_billed_unknown=True) from None
        except Exception as error:  # noqa: BLE001 - the library's errors have no common class
            raise Reading(request, Tape(idle_timeout_s), self._key).untaped(error) from None
        return _answer(request, response, time.monotonic() - started)

    def capabilities(self, model: str) -> Capabilities:
        """Say that there are neither tools nor words."""
        return Capabilities(native_tools=False, native_schema=False, max_output_tokens=0)

    async def close(self) -> None:
        """Close the connections that the library keeps."""
        if self._library is not None:
            await self._library.close_litellm_async_clients()

    def _loaded(self) -> Any:
        with self._import:
            if self._library is None:
                self._library = import_silenced()
                # A call that says 0 gets the default, and a hidden second try is a second bill.
                self._library.DEFAULT_MAX_RETRIES = 0
            return self._library

    def _arguments(self, request: ModelRequest, timeout_s: float) -> Document:
        arguments: Document = {
            "model": request.model,
            "input": [message["content"] for message in request.messages],
            "timeout": timeout_s,
            "num_retries": 0,
            "max_retries": 0,
        }
        if self._config.api_base is not None:
            if "/" not in request.model:
                arguments["model"] = f"openai/{request.model}"
            arguments |= {"api_base": self._config.api_base, "api_key": self._key or "none"}
        elif self._key is not None:
            arguments["api_key"] = self._key
        return arguments


def _answer(request: ModelRequest, response: Any, latency_s: float) -> RawAnswer:
    try:
        body: Document = json.loads(json.dumps(response.model_dump(warnings=False), default=str))
        data = sorted(body["data"], key=lambda item: item["index"])
        body["data"] = [item | {"embedding": packed(item["embedding"])} for item in data]
    except (AttributeError, KeyError, TypeError, ValueError, struct.error) as error:
        sentence = f"{request.model}: what came back is no list of vectors"
        raise BadAnswer(sentence, kind="malformed") from error
    usage = body.get("usage")
    raw = {k: v for k, v in usage.items() if v is not None} if isinstance(usage, dict) else {}
    # The library writes zeros where the provider said nothing; a text has at least one token.
    raw = raw if raw.get("prompt_tokens") else {}
    return RawAnswer(
        body=body,
        model=request.model,
        usage=read_usage(raw),
        latency_s=latency_s,
        reported_cost=reported_cost(raw),
        raw_usage=raw,
    )
