"""Every provider litellm knows, and any server that speaks chat completions.

litellm writes the request and finds the address, once for each kind of request where it does no
more than that (`swarm.llm.roads`); the answer is read from the tape of the wire (`swarm.llm.wire`).
 Where a provider speaks chat completions its answer is handed on as it came;
the others litellm translates, from a body already known to be whole.

litellm is entered by `completion(acompletion=True)` with a log that does nothing, because
`acompletion` adds a thread, a background worker and a price calculation to each call: 5.2 ms of
processor time where this way takes 2.2 (measured on 1.106.2, the pinned version).
"""

import asyncio
import copy
import inspect
import json
import logging
import os
import threading
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeAlias

from swarm.core.chat import ModelRequest, RawAnswer, ToolSpec
from swarm.core.errors import Transient
from swarm.llm.base import Capabilities, LLMConfig
from swarm.llm.reading import Reading
from swarm.llm.roads import Road, Roads
from swarm.llm.wire import TAPE, Connections, Tape, TapedTransport, WireStop

Document: TypeAlias = dict[str, Any]

_OWN_CLIENTS = frozenset(("azure", "azure_text", "text-completion-openai"))
"""Providers that litellm reaches through a vendor's own client; their calls have no tape."""


_IMPORT = threading.Lock()
"""Held while the library is imported. Two threads that import it at once find it half-made, and one
process may have several of our models."""


class LiteLLM:
    """The adapter for all models but the embedded one.

    The first call imports litellm, in a thread: about 2 s of processor time and 120 MB.
    """

    def __init__(self, config: LLMConfig) -> None:
        self._config = config
        self._key = config.api_key.get_secret_value() if config.api_key else None
        self._connections = Connections()
        self._wire = TapedTransport(self._connections)
        self._roads = Roads()
        self._library: _Library | None = None
        self._opening: asyncio.Future[_Library] | None = None

    async def complete(
        self, request: ModelRequest, *, timeout_s: float, idle_timeout_s: float
    ) -> RawAnswer:
        """Ask once, with no retry of its own.

        Raises:
            Transient: `rate_limited`, `overloaded`, `server_error`, `timeout`, `unreachable`, or
                `cut`, where the answer did not come whole.
            Refused: `unauthorized`, `forbidden`, `quota`, `unknown_model`, `context_overflow`,
                `bad_request`, `bad_address`, `bad_certificate`, `missing_package`.
            BadAnswer: `malformed`, or `content_filter` where the provider would not answer.
        """
        library = self._library
        if library is None:
            library = await self._opened()
        tape = Tape(idle_timeout_s)
        token = TAPE.set(tape)
        started = time.monotonic()
        try:
            async with asyncio.timeout(timeout_s):
                return await self._exchange(library, request, tape, timeout_s, started)
        except TimeoutError:
            sentence = f"{request.model}: no whole answer within {timeout_s:g} s"
            raise Transient(sentence, kind="timeout", is_billed_unknown=True) from None
        finally:
            TAPE.reset(token)

    def capabilities(self, model: str) -> Capabilities:
        """Say what `model` can do.

        A server of one's own is taken to speak the whole interface; of the providers litellm's
        map tells, which imports litellm.
        """
        tools, schema = self._config.tools, self._config.json_schema
        is_own = self._config.api_base is not None
        known = None if is_own else self._loaded().known(model)
        return Capabilities(
            native_tools=tools == "native" or (tools == "auto" and (not known or known.tools)),
            native_schema=schema == "native" or (schema == "auto" and (not known or known.schema)),
            max_output_tokens=min(
                self._config.max_output_tokens,
                (known and known.max_output_tokens) or self._config.max_output_tokens,
            ),
        )

    async def close(self) -> None:
        """Close the connections; a later call opens new ones."""
        await self._connections.close()

    async def _opened(self) -> "_Library":
        """Return litellm; one thread imports it, however many calls wait for it."""
        if self._opening is None or self._opening.get_loop() is not asyncio.get_running_loop():
            self._opening = asyncio.ensure_future(asyncio.to_thread(self._loaded))
        try:
            return await asyncio.shield(self._opening)
        finally:
            if self._opening is not None and self._opening.done():
                self._opening = None

    def _loaded(self) -> "_Library":
        """Return litellm, imported on the first use."""
        with _IMPORT:
            if self._library is None:
                self._library = _Library(self._wire)
            return self._library

    async def _exchange(
        self,
        library: "_Library",
        request: ModelRequest,
        tape: Tape,
        timeout_s: float,
        started: float,
    ) -> RawAnswer:
        reading = Reading(request, tape, self._key)
        arguments = self._arguments(library, request)
        kind, road = self._roads.find(arguments)
        response, error = None, None
        if road is not None:
            await self._walk(road, arguments)
        else:
            response, error = await self._ask(library, arguments, tape, timeout_s)
        latency_s = time.monotonic() - started
        if tape.is_used:
            reading.judge()
            if reading.is_chat:
                self._roads.learn(kind, arguments, tape.sent)
                return reading.verbatim(latency_s=latency_s)
        elif error is not None:
            raise reading.untaped(error) from None
        try:
            body = await library.translate(response)
        except Exception:  # noqa: BLE001 - whatever it stumbles over, the bytes are no answer
            raise reading.malformed() from None
        return reading.translated(body, latency_s=latency_s)

    async def _walk(self, road: Road, arguments: Document) -> None:
        """Send the request as litellm would; what became of it is on the tape."""
        with suppress(WireStop):
            await self._wire.exchange(road.request(arguments))

    async def _ask(
        self, library: "_Library", arguments: Document, tape: Tape, timeout_s: float
    ) -> tuple[Any, Exception | None]:
        """Let litellm send the request; what it returns or raises is kept, not yet believed."""
        # litellm edits messages and tools in place; the request belongs to the caller.
        arguments = copy.deepcopy(arguments) | {"timeout": timeout_s}
        try:
            if self._config.api_base is not None:
                response = await library.completion(**arguments)
            else:
                # Some providers fetch credentials before they send, with blocking calls.
                response = await (await asyncio.to_thread(library.completion, **arguments))
            if not tape.is_used:
                # A stream of some providers is asked for only when its first piece is.
                response = await library.drain(response)
        except Exception as error:  # noqa: BLE001 - the tape tells what happened
            return None, error
        return response, None

    def _arguments(self, library: "_Library", request: ModelRequest) -> Document:
        config = self._config
        model = library.qualified(request.model, is_own_server=config.api_base is not None)
        arguments: Document = {
            "model": model,
            "messages": list(request.messages),
            "max_tokens": request.max_output_tokens,
            "temperature": request.temperature,
        }
        if config.api_base is not None:
            arguments |= {"api_base": config.api_base, "api_key": self._key or "none"}
        elif self._key is not None:
            arguments["api_key"] = self._key
        if request.tools:
            arguments |= {"tools": [_tool(t) for t in request.tools], "tool_choice": "auto"}
        if request.schema is not None:
            arguments["response_format"] = _response_format(request)
        if config.stream:
            arguments |= {"stream": True, "stream_options": {"include_usage": True}}
        return arguments


def _tool(spec: ToolSpec) -> Document:
    function = {
        "name": spec.name,
        "description": spec.description,
        "parameters": spec.parameters,
    }
    return {"type": "function", "function": function}


def _response_format(request: ModelRequest) -> Document:
    named = {
        "name": request.schema_name or "answer",
        "schema": request.schema,
        "strict": True,
    }
    return {"type": "json_schema", "json_schema": named}


@dataclass(frozen=True, slots=True)
class _Known:
    """What litellm's map says of a model; unknown models can nothing."""

    tools: bool
    schema: bool
    max_output_tokens: int | None


class _Library:
    """litellm, imported and silenced."""

    def __init__(self, transport: TapedTransport) -> None:
        litellm = import_silenced()
        from litellm.litellm_core_utils.litellm_logging import Logging
        from litellm.llms.custom_httpx.http_handler import AsyncHTTPHandler

        self._litellm: Any = litellm
        self._providers = frozenset(str(getattr(p, "value", p)) for p in litellm.provider_list)
        self._handler: Any = AsyncHTTPHandler(transport=transport, follow_redirects=False)
        self._log_class: Callable[..., Any] = type(
            "SilentLog", (Logging,), _silent_methods(Logging)
        )

    def qualified(self, model: str, *, is_own_server: bool) -> str:
        """Return the name by which litellm takes the right road.

        On a server of one's own a first part that names no provider belongs to the model's name.
        """
        provider = model.partition("/")[0] if "/" in model else ""
        if is_own_server and provider not in self._providers:
            return f"openai/{model}"
        return model

    def completion(self, *, model: str, **arguments: Any) -> Any:
        """Return a coroutine of the call; the request is built at once, and sent when awaited."""
        if model.partition("/")[0] not in _OWN_CLIENTS:
            arguments["client"] = self._handler
        return self._litellm.completion(
            model=model,
            acompletion=True,
            num_retries=0,
            max_retries=0,
            drop_params=True,
            litellm_logging_obj=self._log(model, arguments),
            # The handler for tools of remote servers needs a package that is not installed.
            _skip_mcp_handler=True,
            **arguments,
        )

    def known(self, model: str) -> _Known:
        """Look a model up in litellm's map."""
        litellm = self._litellm
        try:
            info = litellm.get_model_info(model)
        except Exception:  # noqa: BLE001 - raised bare for a model that is not in the map
            info = {}
        limit = info.get("max_output_tokens") or info.get("max_tokens")
        return _Known(
            tools=bool(litellm.supports_function_calling(model)),
            schema=bool(litellm.supports_response_schema(model)),
            max_output_tokens=limit if isinstance(limit, int) and limit > 0 else None,
        )

    async def drain(self, response: Any) -> Any:
        """Return the pieces of a stream as a list, and a whole answer as it is."""
        is_whole = isinstance(response, list) or hasattr(response, "model_dump")
        return response if is_whole else [piece async for piece in response]

    async def translate(self, response: Any) -> Document:
        """Return litellm's reading of an answer as a plain document, a stream joined to one."""
        response = await self.drain(response)
        if isinstance(response, list):
            response = self._litellm.stream_chunk_builder(response)
        dumped = response.model_dump(warnings=False)
        body: Document = json.loads(json.dumps(dumped, default=str))
        for choice in body.get("choices") or []:
            message = choice.get("message") or {}
            refusal = (message.get("provider_specific_fields") or {}).get("refusal")
            if refusal:
                message["refusal"] = refusal
        return body

    def _log(self, model: str, arguments: Document) -> Any:
        return self._log_class(
            model=model,
            messages=arguments["messages"],
            stream=arguments.get("stream", False),
            call_type="acompletion",
            start_time=datetime.now(UTC),
            litellm_call_id="",
            function_id="",
            kwargs={},
        )


_ENVIRONMENT = {
    # Else it fetches its price list from the network while it is imported.
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    # Else it reads any `.env` file from its own folder upwards into this process.
    "LITELLM_MODE": "PRODUCTION",
    # Takes OpenAI and everything like it over the same handler as the others, whose transport is
    # ours; else it uses OpenAI's client, which keeps connections and tries again by itself, and
    # costs 3 ms more a call.
    "EXPERIMENTAL_OPENAI_BASE_LLM_HTTP_HANDLER": "True",
}
"""What litellm reads from the environment and from nowhere else."""


def import_silenced() -> Any:
    """Import litellm so that it prints, fetches and reports nothing."""
    os.environ.update(_ENVIRONMENT)  # noqa: TID251 - set, not read; see above
    with warnings.catch_warnings():
        # Pydantic warns of types in litellm's models while it builds them, some on first use.
        warnings.simplefilter("ignore")
        import litellm

        litellm.ModelResponse()
        litellm.ModelResponseStream()
    litellm.telemetry = False
    litellm.suppress_debug_info = True
    for name in ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy"):
        logging.getLogger(name).disabled = True
    return litellm


_ACCOUNTING = (
    "pre_call",
    "post_call",
    "success_handler",
    "failure_handler",
    "async_success_handler",
    "async_failure_handler",
    "dispatch_success_handlers",
    "dispatch_failure_handlers",
)
"""What litellm's log does with a call: debug texts, callbacks, prices."""


def _silent_methods(log_class: type) -> dict[str, Callable[..., Any]]:
    """Return what takes the place of litellm's own accounting, and does nothing."""

    def nothing(*_: Any, **__: Any) -> None:
        return None

    async def nothing_later(*_: Any, **__: Any) -> None:
        return None

    is_async = inspect.iscoroutinefunction
    return {
        name: nothing_later if is_async(getattr(log_class, name)) else nothing
        for name in _ACCOUNTING
    }
