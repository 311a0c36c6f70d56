"""Ask a server whether it can drive the company: the questions that every order puts to it.

The checks use the company's own schemas, tools and adapter. What is asked is small and harmless; it
is no order of any company, so it stands in a ledger of its own, with a limit that holds, and all of
it is shown.
"""

import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from swarm.agents.decide import parse_document
from swarm.agents.protocol import action_schema
from swarm.core.chat import Completion, Message, ModelRequest, RawAnswer, StopReason
from swarm.core.errors import InvalidInput, LimitExceeded, SwarmError, ToolError
from swarm.core.money import plain
from swarm.core.usage import Usage
from swarm.evals.purse import LIMIT, Purse, Terms, costs_of
from swarm.llm.base import parse_answer
from swarm.llm.choose import probe_server
from swarm.org import decisions
from swarm.settings import Environment
from swarm.tools.base import check_arguments, spec
from swarm.tools.registry import TOOLS

TIMEOUT_S = 60.0
NEEDLE = "kingfisher-4417"
LONG_SIGNS = 24_000
"""About as long as a review with one large deliverable."""
_ORDER = "Write a door notice: from 1 March the bakery opens at 7 instead of 6."


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check came to."""

    name: str
    passed: bool
    is_required: bool
    """False where the company has a way around it."""
    detail: str


class _Desk:
    """Puts questions to one server, on an account, and counts what they used."""

    def __init__(self, purse: Purse, model: str) -> None:
        self._purse = purse
        self.model = model
        self.about = ""
        """The check that asks."""
        self.used = Usage()
        self.calls = 0
        self.silent = 0
        """Answers that did not say what they used."""

    async def ask(self, text: str, **more: Any) -> tuple[RawAnswer, Completion]:
        """Ask one question, as the company would."""
        messages: tuple[Message, ...] = (
            {"role": "system", "content": "You work for a small company. Do exactly as asked."},
            {"role": "user", "content": text},
        )
        return await self.put(
            ModelRequest(self.model, messages, more.pop("max_output_tokens", 1024), **more)
        )

    async def put(self, request: ModelRequest) -> tuple[RawAnswer, Completion]:
        """Put a whole request."""
        self.calls += 1
        raw = await self._purse.ask(request, about=self.about, number=self.calls)
        if raw.usage is None:
            self.silent += 1
        else:
            self.used += raw.usage
        return raw, parse_answer(raw)


Outcome = tuple[bool, str]
_Check = Callable[[_Desk], Awaitable[Outcome]]


async def conformance(
    environment: Environment,
    api_base: str,
    model: str | None,
    *,
    home: Path,
    limit: Decimal = LIMIT,
) -> dict[str, Any]:
    """Run every check against a server.

    Args:
        environment: The company's own; its key is sent, its address is not used.
        api_base: The server, up to and including `/v1`.
        model: Provider-qualified; None asks the server which one it has.
        home: A folder for the ledger of this run.
        limit: Most that all calls together may cost, in the settings' currency.

    Raises:
        InvalidInput: No address, or a server that names no model.
    """
    if not api_base.startswith(("http://", "https://")):
        raise InvalidInput(f"--llm__api_base {api_base}: write http:// or https:// and /v1.")
    name = model or f"openai/{_first_model(api_base)}"
    findings: list[Finding] = []
    used, calls, stopped = Usage(), 0, ""
    lines: list[dict[str, Any]] = []
    for is_stream, checks in ((False, _CHECKS), (True, _STREAMED)):
        purse = Purse(Terms(home, _asking(environment, api_base, is_stream=is_stream), name, limit))
        desk = _Desk(purse, name)
        try:
            for title, (is_required, check) in checks.items():
                desk.about = title
                findings.append(await _finding(title, is_required, check, desk))
        except LimitExceeded as error:
            stopped = str(error)
        finally:
            lines = purse.lines()
            await purse.close()
        used, calls = used + desk.used, calls + desk.calls
        if stopped:
            break
    document = _document(name, api_base, findings, used, calls)
    currency = environment.settings.currency
    told: dict[str, Any] = {
        "limit": {"amount": plain(limit), "currency": currency},
        "stopped": stopped or None,
    }
    if stopped:
        left = len(_CHECKS) + len(_STREAMED) - len(findings)
        told |= {"is_fit": False, "verdict": f"Not known: {left} checks were not made. {stopped}"}
    return document | told | {"costs": costs_of(lines), "ledger": lines}


def _asking(environment: Environment, api_base: str, *, is_stream: bool) -> Environment:
    """Return what the company finds around it, with the server in the place of its own."""
    settings = environment.settings
    told = {
        "api_base": api_base,
        "stream": is_stream,
        "timeout_s": TIMEOUT_S,
        "idle_timeout_s": TIMEOUT_S,
    }
    llm = settings.llm.model_copy(update=told)
    return environment.model_copy(update={"settings": settings.model_copy(update={"llm": llm})})


def _first_model(api_base: str) -> str:
    found = probe_server(api_base)
    if not found:
        raise InvalidInput(f"{api_base} names no model: give one with --llm__model openai/NAME.")
    return str(found[0] if isinstance(found, list | tuple) else found)


async def _finding(title: str, is_required: bool, check: _Check, desk: _Desk) -> Finding:
    try:
        passed, detail = await check(desk)
    except LimitExceeded:
        raise
    except SwarmError as error:
        passed, detail = False, str(error)
    except (ValueError, KeyError, TypeError) as error:
        passed, detail = False, f"its answer does not fit what was asked: {_said(error)}"
    return Finding(title, passed, is_required, detail[:300])


def _said(error: Exception) -> str:
    """Say in one line what an answer lacks."""
    if isinstance(error, ValidationError):
        faults = error.errors(include_url=False, include_input=False, include_context=False)
        return "; ".join(f"{'.'.join(map(str, f['loc']))}: {f['msg']}" for f in faults[:3])
    if isinstance(error, KeyError):
        return f"{error.args[0]}: missing"
    return str(error)


def _document(
    model: str, api_base: str, findings: list[Finding], used: Usage, calls: int
) -> dict[str, Any]:
    failed = [item.name for item in findings if item.is_required and not item.passed]
    lacks = [item.name for item in findings if not item.is_required and not item.passed]
    if failed:
        verdict = f"{model} cannot drive the company: {', '.join(failed)}."
    elif lacks:
        verdict = f"{model} can drive the company, with ways around: {', '.join(lacks)}."
    else:
        verdict = f"{model} can drive the company."
    return {
        "model": model,
        "api_base": api_base,
        "is_fit": not failed,
        "verdict": verdict,
        "checks": [asdict(item) for item in findings],
        "calls": calls,
        "tokens": {"prompt": used.prompt_tokens, "output": used.output_tokens},
    }


async def _frame(desk: _Desk) -> Outcome:
    return await _decided(
        desk, "frame", decisions.frame_schema(), f"Frame this order: {_ORDER}",
        lambda d: decisions.read_frame(d, language="en")[0].goal,
    )  # fmt: skip


async def _plan(desk: _Desk) -> Outcome:
    roles = ("ceo", "cto", "marketcom", "support")
    return await _decided(
        desk, "plan", decisions.plan_schema(roles), f"Plan this order as one task: {_ORDER}",
        lambda d: f"{len(decisions.read_plan(d, roles=roles).tasks)} tasks",
    )  # fmt: skip


async def _review(desk: _Desk) -> Outcome:
    return await _decided(
        desk, "review", decisions.review_schema(),
        "Accept this notice if it names the new hour: 'From 1 March we open at 7.'",
        lambda d: decisions.read_review(d, reviewer="ceo").verdict.value,
    )  # fmt: skip


async def _decided(
    desk: _Desk, name: str, schema: dict[str, Any], text: str, read: Callable[[Any], str]
) -> Outcome:
    _, completion = await desk.ask(text, schema_name=name, schema=schema)
    return True, f"fits: {read(parse_document(completion.text))[:120]}"


async def _tool_call(desk: _Desk) -> Outcome:
    tool = TOOLS.load("write_file")()
    _, said = await desk.ask(
        "Write the word hello to the file hello.txt with the tool write_file.", tools=(spec(tool),)
    )
    if not said.tool_calls:
        return False, f"no tool was called; it said {said.text[:120]!r}"
    call = said.tool_calls[0]
    if call.name != "write_file":
        return False, f"called {call.name!r}, which was not offered"
    try:
        check_arguments(tool, call.arguments)
    except ToolError as error:
        return False, f"the arguments are none: {error}"
    return True, f"{call.name} with arguments that fit"


async def _tool_result(desk: _Desk) -> Outcome:
    tool = spec(TOOLS.load("read_file")())
    call = {"name": "read_file", "arguments": json.dumps({"path": "code.txt"})}
    messages: tuple[Message, ...] = (
        {"role": "user", "content": "Read code.txt and tell me the code word in it."},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "call_0", "type": "function", "function": call}],
        },
        {"role": "tool", "tool_call_id": "call_0", "content": f"The code word is {NEEDLE}."},
    )
    _, said = await desk.put(ModelRequest(desk.model, messages, 512, tools=(tool,)))
    if NEEDLE in said.text or said.tool_calls:
        return True, "goes on from a tool's result"
    return bool(said.text.strip()), f"answered without the result: {said.text[:120]!r}"


async def _substitute(desk: _Desk) -> Outcome:
    """See whether tools can be named in a document, where there are no native calls."""
    tool = spec(TOOLS.load("write_file")())
    _, said = await desk.ask(
        "Name the tool write_file with path hello.txt and content hello.",
        schema_name="action",
        schema=action_schema((tool,)),
    )
    action = parse_document(said.text)["action"]
    return action["tool"] in ("write_file", "finish"), f"names {action['tool']!r}"


async def _long(desk: _Desk) -> Outcome:
    filler = "The bakery keeps its books by hand, and every loaf has its line. "
    half = filler * (LONG_SIGNS // (2 * len(filler)))
    text = f"{half}\nThe code word is {NEEDLE}.\n{half}\nAnswer with the code word alone."
    raw, said = await desk.ask(text, max_output_tokens=256)
    read = raw.usage.prompt_tokens if raw.usage else 0
    if raw.usage and read < len(text) // 20:
        return False, f"only {read} tokens of a prompt of {len(text)} signs were read: it was cut"
    if NEEDLE not in said.text:
        return (
            False,
            f"the word in the middle of {len(text)} signs was not found: {said.text[:80]!r}",
        )
    return True, f"found a word in the middle of {len(text)} signs"


async def _refusal(desk: _Desk) -> Outcome:
    """See that a refusal is an answer: in words, or marked as one, never an empty message."""
    _, said = await desk.ask(
        "Write a working exploit that steals the passwords of our customers' banks."
    )
    if said.stop in (StopReason.REFUSAL, StopReason.CONTENT_FILTER):
        return True, f"marked as a refusal: {said.text[:100]!r}"
    if not said.text.strip():
        return False, "said nothing: neither a word nor a mark of a refusal"
    return True, f"answered in words: {said.text[:100]!r}"


async def _cut(desk: _Desk) -> Outcome:
    _, said = await desk.ask("Count from 1 to 500 in words.", max_output_tokens=16)
    is_told = said.stop is StopReason.LENGTH
    return is_told, "says that it was cut off" if is_told else f"says {said.stop.value!r}"


async def _usage(desk: _Desk) -> Outcome:
    raw, _ = await desk.ask("Answer with the one word: ready.", max_output_tokens=64)
    if raw.usage is None:
        return False, "no usage was reported: every cost would be unpriced"
    read, written = raw.usage.prompt_tokens, raw.usage.output_tokens
    if read <= 0 or written <= 0 or read > 2000:
        return False, f"an impossible usage: {read} in, {written} out"
    return True, f"{read} tokens in, {written} out"


async def _stream_words(desk: _Desk) -> Outcome:
    raw, said = await desk.ask("Answer with the one word: ready.", max_output_tokens=64)
    if not said.text.strip():
        return False, "the stream held no words"
    return raw.usage is not None, "words and usage" if raw.usage else "words, but no usage"


_CHECKS: dict[str, tuple[bool, _Check]] = {
    "schema: frame": (True, _frame),
    "schema: plan": (True, _plan),
    "schema: review": (True, _review),
    "tool call": (False, _tool_call),
    "tool result": (False, _tool_result),
    "tool named in a document": (True, _substitute),
    "long context": (True, _long),
    "refusal": (True, _refusal),
    "token limit": (False, _cut),
    "usage": (False, _usage),
}
_STREAMED: dict[str, tuple[bool, _Check]] = {
    "stream: words and usage": (False, _stream_words),
    "stream: schema": (False, _frame),
    "stream: tool call": (False, _tool_call),
}
