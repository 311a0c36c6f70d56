"""What every model adapter does, and how an answer is read."""

from dataclasses import dataclass
from typing import Protocol

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from swarm.core.chat import Completion, ModelRequest, RawAnswer, StopReason, ToolCall
from swarm.core.errors import BadAnswer


class LLMConfig(BaseModel):
    """How models are reached. Environment: `SWARM_LLM__<FIELD>`."""

    model_config = ConfigDict(extra="forbid")

    model: str | None = None
    """Provider-qualified, `anthropic/claude-sonnet-4-5`; None looks for keys, then local servers,
    then the embedded model."""
    fallback: str | None = None
    """Asked once the tries with `model` are used up."""
    api_base: str | None = None
    """Address of a chat-completions server, up to and including `/v1`."""
    api_key: SecretStr | None = None
    stream: bool = False
    """Receive answers piece by piece, so that `idle_timeout_s` sees a stalled one early."""
    timeout_s: float = Field(default=600, gt=0)
    """Longest whole call, in seconds."""
    idle_timeout_s: float = Field(default=120, gt=0)
    """Longest silence of a provider, in seconds: before the answer, and between its pieces."""
    max_output_tokens: int = Field(default=4096, ge=16)
    """Most tokens one answer may have; a call reserves their price beforehand."""
    max_attempts: int = Field(default=5, ge=1, le=20)
    """Tries of one call where the provider fails in a way that may pass."""
    backoff_s: float = Field(default=1.0, ge=0)
    """First pause between tries; doubled each time, with jitter. Retry-After wins over it."""
    max_backoff_s: float = Field(default=60.0, ge=0)
    """Longest pause a provider may ask for; a longer wish parks the order."""
    tools: str = Field(default="auto", pattern="^(auto|native|schema)$")
    """`native` tool calls, or a JSON document that names the tool (`schema`); `auto` knows."""
    json_schema: str = Field(default="auto", pattern="^(auto|native|prompt)$")
    """`native` response_format, or the schema written into the prompt; `auto` knows."""
    allow_unpriced: bool = False
    """Allow a model without a price. Its cost is then shown as `unpriced`, and no budget binds.
    A server on this machine's own loopback address is always allowed."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a model can do; settable, because servers lie about it."""

    native_tools: bool
    native_schema: bool
    max_output_tokens: int
    """Most tokens one answer may have; reserved at the price book before each call."""
    compact_prompts: bool = False
    """True for a model with a small context: prompts are then cut to the essential."""


class LLM(Protocol):
    """One way to reach models. Stateless between calls; one instance serves many calls at once."""

    async def complete(
        self, request: ModelRequest, *, timeout_s: float, idle_timeout_s: float
    ) -> RawAnswer:
        """Ask once, with no retry of its own.

        Raises:
            Transient: The same call may succeed later.
            Refused: The provider refused: key, rights, unknown model, too long a prompt.
            BadAnswer: Bytes came that are no chat-completions response.
        """

    def capabilities(self, model: str) -> Capabilities:
        """Say what `model` can do. Opens no connection."""

    async def close(self) -> None:
        """Let go of connections and memory."""


def parse_answer(answer: RawAnswer) -> Completion:
    """Read text and tool calls out of a chat-completions response.

    Raises:
        BadAnswer: No choice, or a choice without any usable part. `kind` is `malformed`.
    """
    choices = answer.body.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(choice, dict) or not isinstance(message, dict):
        raise BadAnswer("the model's response has no message", kind="malformed")
    content = message.get("content")
    refusal = message.get("refusal")
    stop = _stop_reason(choice.get("finish_reason"), refusal)
    text = refusal if stop is StopReason.REFUSAL else content
    if isinstance(text, list):
        text = "".join(str(p.get("text", "")) for p in text if isinstance(p, dict))
    return Completion(
        text=text if isinstance(text, str) else "",
        tool_calls=_tool_calls(message.get("tool_calls")),
        stop=stop,
    )


def _stop_reason(finish_reason: object, refusal: object) -> StopReason:
    if isinstance(refusal, str) and refusal:
        return StopReason.REFUSAL
    if finish_reason in ("length", "max_tokens"):
        return StopReason.LENGTH
    if finish_reason in ("content_filter", "safety"):
        return StopReason.CONTENT_FILTER
    if finish_reason in ("tool_calls", "function_call", "tool_use"):
        return StopReason.TOOL_CALLS
    return StopReason.STOP


def _tool_calls(raw: object) -> tuple[ToolCall, ...]:
    calls: list[ToolCall] = []
    for index, item in enumerate(raw if isinstance(raw, list) else []):
        function = item.get("function") if isinstance(item, dict) else None
        if not isinstance(function, dict):
            raise BadAnswer("a tool call of the model has no function", kind="malformed")
        calls.append(
            ToolCall(
                id=str(item.get("id") or f"call_{index}"),
                name=str(function.get("name") or ""),
                arguments=str(function.get("arguments") or "{}"),
            )
        )
    return tuple(calls)
