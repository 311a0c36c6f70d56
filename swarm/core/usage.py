"""What a model call used, in disjoint buckets."""

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one model call; the buckets do not overlap, so a sum counts nothing twice.

    The sum over all that one call took: compactions, advisors and fallbacks on the server too.
    """

    input_tokens: int = 0
    """Prompt tokens of text and pictures that were neither read from nor written to a cache, and
    that no tool of the provider added."""
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    """Written to a cache for five minutes, or for a time that nobody named."""
    output_tokens: int = 0
    """All generated tokens, reasoning and audio included."""
    reasoning_tokens: int = 0
    """The part of `output_tokens` spent on reasoning."""
    cache_write_1h_tokens: int = 0
    """Written to a cache for one hour, which costs more."""
    audio_tokens: int = 0
    """Prompt tokens of sound that were not read from a cache."""
    tool_tokens: int = 0
    """Prompt tokens that the provider's own tools added, such as the pages of a search."""

    @property
    def prompt_tokens(self) -> int:
        """Return the size of the whole prompt, whatever each of its tokens costs."""
        return (
            self.input_tokens
            + self.cache_read_tokens
            + self.cache_write_tokens
            + self.cache_write_1h_tokens
            + self.audio_tokens
            + self.tool_tokens
        )

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))
