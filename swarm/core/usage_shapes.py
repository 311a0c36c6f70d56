"""The shapes in which providers say what a call used, each read into disjoint buckets.

In chat completions, Responses and Gemini's the prompt's count includes what came from a cache; in
Anthropic's and Bedrock's it does not. Taking one for the other bills the cache twice, or never.
"""

from collections.abc import Mapping

from swarm.core.usage import Usage
from swarm.core.usage_counts import (
    AUDIO_CACHE_READ,
    AUDIO_INPUT,
    AUDIO_OUTPUT,
    CACHE_READ,
    CACHE_WRITE_1H,
    CACHE_WRITE_5M,
    IMAGE_OUTPUT,
    INPUT,
    OUTPUT,
    REASONING,
    TOOL_INPUT,
    VIDEO_OUTPUT,
    Document,
    Sample,
    UsageFaultError,
    agreed,
    count,
    listed,
    mapping,
    optional,
    rest,
)

_REASONS_ASIDE = ("xai",)
"""Providers whose `completion_tokens` leave reasoning out, which is billed as output."""


def read_chat(raw: Document, provider: str) -> list[Sample]:
    """Read chat completions: OpenAI, DeepSeek, Mistral, OpenRouter, xAI, Groq, litellm's own.

    Raises:
        UsageFaultError: A count is missing, cannot be, or contradicts another.
    """
    prompt = count(raw, "prompt_tokens")
    total = optional(raw, "total_tokens")
    completion = optional(raw, "completion_tokens")
    if completion is None:
        # An embedding has no answer, and its total says so.
        if total != prompt:
            raise UsageFaultError("completion_tokens is missing")
        completion = 0
    details = mapping(raw, "prompt_tokens_details")
    answer = mapping(raw, "completion_tokens_details")
    written, for_an_hour = _chat_writes(raw, details)
    tool = agreed("tool use", (details, "tool_use_tokens"))
    reasoning = agreed(
        "reasoning",
        (answer, "reasoning_tokens"),
        (raw, "reasoning_tokens"),
        (answer, "thinking_tokens"),
    )
    outside = prompt + tool + completion
    is_tool_outside = tool > 0 and total in (outside, outside + reasoning)
    size = prompt + tool if is_tool_outside else prompt
    output = _whole_answer(size, completion, reasoning, total, provider)
    counts = _prompt_counts(
        size,
        cached=_chat_cached(raw, details, prompt),
        written=written,
        for_an_hour=for_an_hour,
        audio=agreed("audio", (details, "audio_tokens")),
        cached_audio=optional(mapping(details, "cached_tokens_details"), "audio_tokens"),
        tool=tool,
    )
    counts |= _answer_counts(
        output,
        reasoning=reasoning,
        audio=agreed("audio of the answer", (answer, "audio_tokens")),
        image=agreed("pictures of the answer", (answer, "image_tokens")),
        video=agreed("films of the answer", (answer, "video_tokens")),
    )
    return _turn_by_turn(Sample(counts), raw)


def _chat_cached(raw: Document, details: Document, prompt: int) -> int:
    cached = agreed(
        "cached input",
        (details, "cached_tokens"),
        (raw, "cache_read_input_tokens"),
        (raw, "prompt_cache_hit_tokens"),
        (raw, "cached_tokens"),
        (raw, "num_cached_tokens"),
        (raw, "cached_prompt_text_tokens"),
    )
    missed = optional(raw, "prompt_cache_miss_tokens")
    if missed is not None and missed + cached != prompt:
        raise UsageFaultError(f"{cached} cached and {missed} other tokens are not {prompt}")
    return cached


def _chat_writes(raw: Document, details: Document) -> tuple[int, int]:
    """Return what was written to a cache for five minutes, and for an hour."""
    written = agreed(
        "cache writes",
        (details, "cache_write_tokens"),
        (details, "cache_creation_tokens"),
        (raw, "cache_creation_input_tokens"),
    )
    named = mapping(details, "cache_creation_token_details") or mapping(raw, "cache_creation")
    return _split_writes(written, named)


def _split_writes(written: int | None, named: Document) -> tuple[int, int]:
    """Split cache writes by how long they last; the sum and its parts must agree."""
    short = optional(named, "ephemeral_5m_input_tokens") or 0
    long = optional(named, "ephemeral_1h_input_tokens") or 0
    if not short and not long:
        return written or 0, 0
    if written and written != short + long:
        raise UsageFaultError(f"cache writes of {written} are not {short} and {long}")
    return short, long


def _whole_answer(prompt: int, completion: int, reasoning: int, total: int | None, by: str) -> int:
    """Return all generated tokens; some providers leave reasoning out of their count."""
    if total is None:
        is_aside = reasoning > completion or by in _REASONS_ASIDE
        return completion + reasoning if is_aside else completion
    if total == prompt + completion and reasoning <= completion:
        return completion
    if reasoning and total == prompt + completion + reasoning:
        return completion + reasoning
    raise UsageFaultError(f"total_tokens of {total} are not {prompt} and {completion}")


def _prompt_counts(
    prompt: int,
    *,
    cached: int,
    written: int = 0,
    for_an_hour: int = 0,
    audio: int = 0,
    cached_audio: int | None = None,
    tool: int = 0,
) -> dict[str, int]:
    """Take a prompt's count that includes everything apart."""
    if cached > prompt:
        raise UsageFaultError(f"a prompt of {prompt} cannot hold {cached} cached tokens")
    if cached_audio is None:
        # Nobody says how much of the sound was cached: as little as the other counts allow.
        cached_audio = max(0, cached - max(0, prompt - audio - written - for_an_hour - tool))
    fresh_audio = rest(audio, cached_audio, name="audio in the prompt")
    parts = (cached, written, for_an_hour, fresh_audio, tool)
    return {
        INPUT: rest(prompt, *parts, name="a prompt"),
        CACHE_READ: rest(cached, cached_audio, name="cached input"),
        CACHE_WRITE_5M: written,
        CACHE_WRITE_1H: for_an_hour,
        AUDIO_INPUT: fresh_audio,
        AUDIO_CACHE_READ: cached_audio,
        TOOL_INPUT: tool,
    }


def _answer_counts(
    output: int, *, reasoning: int = 0, audio: int = 0, image: int = 0, video: int = 0
) -> dict[str, int]:
    return {
        OUTPUT: rest(output, reasoning, audio, image, video, name="an answer"),
        REASONING: reasoning,
        AUDIO_OUTPUT: audio,
        IMAGE_OUTPUT: image,
        VIDEO_OUTPUT: video,
    }


def read_responses(raw: Document, provider: str) -> list[Sample]:
    """Read OpenAI's Responses and Realtime: chat completions under other names.

    Raises:
        UsageFaultError: A count is missing, cannot be, or contradicts another.
    """
    renamed = dict(raw) | {
        "prompt_tokens": raw.get("input_tokens"),
        "completion_tokens": raw.get("output_tokens"),
        "prompt_tokens_details": raw.get("input_tokens_details", raw.get("input_token_details")),
        "completion_tokens_details": raw.get(
            "output_tokens_details", raw.get("output_token_details")
        ),
    }
    count(raw, "input_tokens")
    count(raw, "output_tokens")
    # Here all providers count reasoning among the output, xAI too.
    return read_chat(renamed, "openai")


def read_messages(raw: Document, provider: str) -> list[Sample]:
    """Read Anthropic's Messages, turn by turn where the server took several.

    The top level leaves compactions and advisors out, and of several turns of an executor it may
    hold the first prompt alone; so where turns are listed, their sum is what is billed.

    Raises:
        UsageFaultError: A count is missing, cannot be, or contradicts another.
    """
    whole = _message(raw)
    # Anthropic names no total; who speaks like it and names one is held to it.
    total, parts = optional(raw, "total_tokens"), sum(whole.counts.values())
    if total is not None and total > parts:
        raise UsageFaultError(f"total_tokens of {total} are more than {parts}")
    return _turn_by_turn(whole, raw)


def _turn_by_turn(whole: Sample, raw: Document) -> list[Sample]:
    """Return the turns that a call lists, and the call itself where no turn stands for it."""
    items = listed(raw, "iterations")
    if not items:
        return [whole]
    turns = [_turn(item, mapping(raw, "cache_creation")) for item in items]
    if not any(_kind(item) in _MAIN for item in items):
        return [*turns, whole] if any(whole.counts.values()) else turns
    said = whole.usage()
    found = sum((turn.usage() for turn in turns), Usage())
    is_less = (
        found.input_tokens < said.input_tokens
        or found.cache_read_tokens < said.cache_read_tokens
        or _writes(found) < _writes(said)
        or found.output_tokens < said.output_tokens
    )
    if is_less:
        raise UsageFaultError("the iterations add up to less than the whole call")
    return turns


def _writes(usage: Usage) -> int:
    return usage.cache_write_tokens + usage.cache_write_1h_tokens


_MAIN = ("message", "fallback_message")
_OTHERS = ("advisor_message", "fallback_message")
"""Turns of another model than the one that was asked."""


def _kind(turn: Document) -> str:
    """Return what kind of turn of a server this was."""
    kind = turn.get("type", "message")
    return kind if isinstance(kind, str) else ""


def _turn(item: Document, of_the_call: Document) -> Sample:
    """Read one turn; how long its cache writes last may be said for the whole call alone."""
    counts = _message(_with_lifetimes(item, of_the_call)).counts
    model = item.get("model")
    if model is not None and not isinstance(model, str):
        raise UsageFaultError("the model of an iteration is no text")
    return Sample(counts, model=model or None, is_main=_kind(item) not in _OTHERS)


def _with_lifetimes(item: Document, of_the_call: Document) -> Document:
    written = optional(item, "cache_creation_input_tokens")
    long = optional(of_the_call, "ephemeral_1h_input_tokens")
    if not written or not long or item.get("cache_creation") is not None:
        return item
    if optional(of_the_call, "ephemeral_5m_input_tokens"):
        raise UsageFaultError("an iteration does not say how long its cache writes last")
    return {**item, "cache_creation": {"ephemeral_1h_input_tokens": written}}


def _message(raw: Document) -> Sample:
    written, for_an_hour = _split_writes(
        optional(raw, "cache_creation_input_tokens"), mapping(raw, "cache_creation")
    )
    answer = mapping(raw, "output_tokens_details")
    counts = {
        INPUT: count(raw, "input_tokens"),
        CACHE_READ: optional(raw, "cache_read_input_tokens") or 0,
        CACHE_WRITE_5M: written,
        CACHE_WRITE_1H: for_an_hour,
    }
    reasoning = agreed("thinking", (answer, "thinking_tokens"), (answer, "reasoning_tokens"))
    return Sample(counts | _answer_counts(count(raw, "output_tokens"), reasoning=reasoning))


def read_gemini(raw: Document, provider: str) -> list[Sample]:
    """Read Gemini's: thoughts and the prompts of tools stand beside the other counts.

    Raises:
        UsageFaultError: A count is missing, cannot be, or contradicts another.
    """
    prompt = count(raw, "promptTokenCount")
    thoughts = optional(raw, "thoughtsTokenCount") or 0
    tool = optional(raw, "toolUsePromptTokenCount") or 0
    total = optional(raw, "totalTokenCount")
    visible = optional(raw, "candidatesTokenCount")
    if visible is None:
        visible = optional(raw, "responseTokenCount")
    if visible is None:
        # Left out where it is zero, which only the total can confirm.
        if total is None:
            raise UsageFaultError("candidatesTokenCount is missing")
        visible = 0
    output = _gemini_answer(prompt, tool, visible, thoughts, total)
    heard = _by_modality(raw, "promptTokensDetails")
    cached = _by_modality(raw, "cacheTokensDetails")
    spoken = _by_modality(raw, "candidatesTokensDetails", "responseTokensDetails")
    counts = _prompt_counts(
        prompt + tool,
        cached=optional(raw, "cachedContentTokenCount") or 0,
        audio=heard.get("AUDIO", 0),
        cached_audio=cached.get("AUDIO", 0) if cached else None,
        tool=tool,
    )
    return [
        Sample(
            counts
            | _answer_counts(
                output,
                reasoning=thoughts,
                audio=spoken.get("AUDIO", 0),
                image=spoken.get("IMAGE", 0),
                video=spoken.get("VIDEO", 0),
            )
        )
    ]


def _gemini_answer(prompt: int, tool: int, visible: int, thoughts: int, total: int | None) -> int:
    """Return all generated tokens; in some answers thoughts are among the candidates' tokens."""
    if total is None or total in (
        prompt + tool + visible + thoughts,
        # Some answers leave the tools' prompts out of the total; they are billed all the same.
        prompt + visible + thoughts,
    ):
        return visible + thoughts
    if total == prompt + tool + visible and thoughts <= visible:
        return visible
    raise UsageFaultError(
        f"totalTokenCount of {total} is not {prompt}, {tool}, {visible} and {thoughts}"
    )


def _by_modality(raw: Document, *keys: str) -> Mapping[str, int]:
    counts: dict[str, int] = {}
    for key in keys:
        for item in listed(raw, key):
            name = str(item.get("modality", "")).upper()
            counts[name] = counts.get(name, 0) + (optional(item, "tokenCount") or 0)
    return counts


def read_bedrock(raw: Document, provider: str) -> list[Sample]:
    """Read Bedrock's Converse and the counts of its InvokeModel, which leave the cache out.

    Raises:
        UsageFaultError: A count is missing, cannot be, or contradicts another.
    """
    name = "Tokens" if "inputTokens" in raw or "outputTokens" in raw else "TokenCount"
    fresh, output = count(raw, f"input{name}"), count(raw, f"output{name}")
    read = agreed("cached input", *((raw, f"cacheReadInput{name}{s}") for s in ("", "Count")))
    written = agreed("cache writes", *((raw, f"cacheWriteInput{name}{s}") for s in ("", "Count")))
    lasting = {
        f"ephemeral_{item.get('ttl')}_input_tokens": optional(item, "inputTokens")
        for item in listed(raw, "cacheDetails")
    }
    short, long = _split_writes(written, lasting)
    total = optional(raw, "totalTokens")
    if total not in (None, fresh + output, fresh + output + read + short + long):
        raise UsageFaultError(f"totalTokens of {total} are not {fresh} and {output}")
    counts = {INPUT: fresh, CACHE_READ: read, CACHE_WRITE_5M: short, CACHE_WRITE_1H: long}
    return [Sample(counts | _answer_counts(output))]


def read_ollama(raw: Document, provider: str) -> list[Sample]:
    """Read Ollama's own interface.

    Raises:
        UsageFaultError: A count is missing or cannot be.
    """
    counts = {INPUT: count(raw, "prompt_eval_count")}
    return [Sample(counts | _answer_counts(count(raw, "eval_count")))]


def read_cohere(raw: Document, provider: str) -> list[Sample]:
    """Read Cohere's billed units, which come as whole numbers with a decimal point.

    Raises:
        UsageFaultError: A count is missing or cannot be.
    """
    billed = {
        key: int(value) if isinstance(value, float) and value.is_integer() else value
        for key, value in mapping(raw, "billed_units").items()
    }
    counts = {INPUT: count(billed, "input_tokens")}
    return [Sample(counts | _answer_counts(count(billed, "output_tokens")))]
