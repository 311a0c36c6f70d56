"""What a call may have used where nobody said: a guess, kept beside the books and never in them."""

from typing import Any

from swarm.core.chat import RawAnswer
from swarm.core.usage_counts import INPUT, OUTPUT
from swarm.ledger.price_rates import Price

BYTES_PER_TOKEN = 4
"""English text in the common tokenizers; code and other languages take more tokens."""


def estimated_parts(
    price: Price | None, *, prompt_bytes: int, answer: RawAnswer | None
) -> list[dict[str, Any]]:
    """Return parts without an amount, each with an `estimate` at the line's usual prices.

    Args:
        price: The line of the asked model; without one there is nothing to estimate.
        prompt_bytes: Of the request in UTF-8.
        answer: None where no whole answer came: what of it is billed, nobody can guess.
    """
    if price is None:
        return []
    sizes = {INPUT: prompt_bytes}
    if answer is not None:
        sizes[OUTPUT] = _answer_bytes(answer)
    rates = price.rates(prompt_bytes // BYTES_PER_TOKEN)
    parts: list[dict[str, Any]] = []
    for bucket, size in sizes.items():
        tokens = -(-size // BYTES_PER_TOKEN)
        rate = rates.input if bucket == INPUT else rates.output
        parts.append(
            {
                "bucket": bucket,
                "quantity": tokens,
                "unit_price": format(rate, "f"),
                "amount": None,
                "estimate": format(tokens * rate, "f"),
                "model": price.model,
                "price_id": price.id,
            }
        )
    return parts


def _answer_bytes(answer: RawAnswer) -> int:
    """Return how much was written, in text and in calls of tools."""
    total = 0
    for choice in answer.body.get("choices") or ():
        message = choice.get("message") if isinstance(choice, dict) else None
        if isinstance(message, dict):
            told = (message.get("content"), message.get("tool_calls"))
            total += sum(len(str(item).encode("utf-8", "replace")) for item in told if item)
    return total
