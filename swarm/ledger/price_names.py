"""Names of providers and models, as they are written here, there and in answers."""

import re
from collections.abc import Iterator

_PROVIDER_NAMES = {
    "amazon": "bedrock",
    "amazon-bedrock": "bedrock",
    "aws": "bedrock",
    "aws-bedrock": "bedrock",
    "aws.bedrock": "bedrock",
    "bedrock_converse": "bedrock",
    "cohere_chat": "cohere",
    "gcp.gemini": "gemini",
    "google": "gemini",
    "google-gla": "gemini",
    "google-genai": "gemini",
    "google_genai": "gemini",
    "mistral_ai": "mistral",
    "mistralai": "mistral",
    "together": "together_ai",
    "together-ai": "together_ai",
    "grok": "xai",
    "x-ai": "xai",
    "x_ai": "xai",
}
"""Other names of a price list."""

OWN_HARDWARE = ("local", "fake", "ollama", "ollama_chat")
"""Providers that run here, so that a call costs electricity and nobody's bill."""

GATEWAYS = ("bedrock", "groq", "openrouter", "together_ai")
"""Providers that serve models of others."""

ONE_PROMPT_PRICE = ("gemini", "vertex_ai")
"""Providers whose lists name a price for sound only where it differs from the one for text.
Source: ai.google.dev, pricing: `(text / image / video)` and `(audio)` stand apart for such models."""

FREE_UNITS = {("anthropic", "web_fetch")}
"""What is counted but not billed by the piece. Source: platform.claude.com, pricing, web fetch."""

_DATED = re.compile(r"^(?P<name>.+)[-@]20\d{2}-?[01]\d-?[0-3]\d$")
"""A snapshot by its day, `gpt-5-2025-08-07` or `claude-sonnet-4-5-20250929`. Shorter numbers
(`-2512`, `-0613`) stay: they tell generations with different prices apart."""

_NUMBERED = re.compile(r"^(?P<name>(?:gemini/)?gemini-.+)-0\d\d$")
"""A stable version of Gemini, `gemini-2.0-flash-001`, which costs what its name without it does."""

_PATH_START = ("models/", "publishers/", "projects/", "arn:")
"""Names that are the end of a path: Google's resources, and Amazon's."""


def provider_name(word: str) -> str:
    """Return our name for a provider."""
    word = word.strip().lower()
    return _PROVIDER_NAMES.get(word, word)


def canonical(model: str) -> str:
    """Return a model's name with our name for its provider."""
    provider, slash, name = model.partition("/")
    if not slash:
        return model
    return f"{_PROVIDER_NAMES.get(provider, provider)}/{name}"


def qualified(provider: str, model: str) -> str:
    """Join a provider and its name for a model, which may name the provider already."""
    provider, model = provider_name(provider), model.strip()
    if model.startswith(_PATH_START):
        model = model.rpartition("/")[2]
    if not provider:
        return canonical(model)
    first, slash, _ = model.partition("/")
    if slash and provider_name(first) == provider and provider != "openrouter":
        return canonical(model)
    return model if model.startswith(f"{provider}/") else f"{provider}/{model}"


def spellings(model: str) -> Iterator[str]:
    """Return a name as it stands, then without the day or number of its snapshot."""
    yield model
    if snapshot := _DATED.match(model) or _NUMBERED.match(model):
        yield snapshot["name"]


def runs_here(model: str) -> bool:
    """Say whether a model runs on the company's own machine."""
    # Ollama serves models named `…-cloud` from its own machines, against a subscription.
    return model.partition("/")[0] in OWN_HARDWARE and not model.endswith(("-cloud", ":cloud"))
