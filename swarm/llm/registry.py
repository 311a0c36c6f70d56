"""Which adapter serves which model, by the first part of the model's name."""

from swarm.core.registry import Registry

MODELS = Registry(
    "model adapter",
    {
        "litellm": "swarm.llm.litellm:LiteLLM",
        "local": "swarm.llm.local:LocalLLM",
        "fake": "swarm.llm.fake:FakeLLM",
        "embedding": "swarm.llm.embedding:Embeddings",
    },
)


def adapter_name(model: str) -> str:
    """Return the adapter for a provider-qualified model name; litellm serves all but our own."""
    provider = model.partition("/")[0]
    return provider if provider in ("local", "fake") else "litellm"
