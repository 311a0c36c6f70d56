"""OpenTelemetry: the names of the conventions, prompts counted once, nothing sent unasked."""

import io
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.engine import Connection

from swarm.core.errors import ConfigError
from swarm.ledger.exports import lines, rows
from swarm.store.database import Store
from tests.ledger.ledgers import call, company, order, unanswered

pytest.importorskip("opentelemetry.sdk", reason="needs the extra `otel`")
otlp = pytest.importorskip("swarm.ledger.exports.otlp", reason="needs the extra `otel`")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with company(tmp_path) as made:
        yield made


def some_calls(connection: Connection) -> None:
    order(connection, "o1")
    call(connection, "o1", 0, cost=Decimal("0.1234567890125"))
    call(connection, "o1", 1, model="anthropic/claude-x", cost_status="notional")
    failed = {"error_kind": "timeout", "error_text": "too slow", "answered_model": None}
    call(connection, "o1", 2, cost=Decimal(0), state="failed", input_tokens=None, **failed)
    unanswered(connection, "o1", 3)


def exported(store: Store) -> list[dict[str, Any]]:
    out = io.StringIO()
    with store.engine.connect() as connection:
        assert otlp.write(rows.stream(connection, None), "Acme", out) == 4
    return [json.loads(line) for line in out.getvalue().splitlines()]


def spans_of(documents: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        span
        for document in documents
        for resource in document.get("resourceSpans", [])
        for scope in resource["scopeSpans"]
        for span in scope["spans"]
    ]


def metrics_of(documents: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {
        metric["name"]: metric
        for document in documents
        for resource in document.get("resourceMetrics", [])
        for scope in resource["scopeMetrics"]
        for metric in scope["metrics"]
    }


def values(attributes: list[dict[str, Any]]) -> dict[str, Any]:
    return {item["key"]: next(iter(item["value"].values())) for item in attributes}


def test_a_span_speaks_the_words_of_the_conventions(store: Store) -> None:
    store.write(some_calls)
    span = spans_of(exported(store))[0]
    found = values(span["attributes"])
    assert span["name"] == "chat gpt-5-mini"
    assert span["kind"] == 3
    assert len(span["traceId"]) == 32
    assert len(span["spanId"]) == 16
    assert int(span["endTimeUnixNano"]) - int(span["startTimeUnixNano"]) == 3 * 10**9
    assert found["gen_ai.operation.name"] == "chat"
    assert found["gen_ai.provider.name"] == "openai"
    assert found["gen_ai.request.model"] == found["gen_ai.response.model"] == "gpt-5-mini"
    assert found["gen_ai.agent.name"] == "cto"
    assert found["gen_ai.conversation.id"] == "o1"
    assert found["swarm.cost.amount"] == "0.123456789013"
    assert found["swarm.cost.status"] == "paid"


def test_the_cache_is_a_part_of_the_prompt_and_never_added_to_it(store: Store) -> None:
    store.write(some_calls)
    documents = exported(store)
    found = values(spans_of(documents)[0]["attributes"])
    # 100 fresh, 700 read, 60 and 40 written: 900 is the prompt.
    assert found["gen_ai.usage.input_tokens"] == "900"
    assert found["gen_ai.usage.cache_read.input_tokens"] == "700"
    assert found["gen_ai.usage.cache_creation.input_tokens"] == "100"
    assert found["gen_ai.usage.output_tokens"] == "50"
    points = metrics_of(documents)["gen_ai.client.token.usage"]["histogram"]["dataPoints"]
    sums = {(values(p["attributes"])["gen_ai.token.type"]): p["sum"] for p in points}
    assert sums == {"input": 900, "output": 50}


def test_what_is_not_known_is_left_out_and_a_failure_says_why(store: Store) -> None:
    store.write(some_calls)
    _, _, failed, unasked = (span for span in spans_of(exported(store)))
    assert failed["status"] == {"message": "too slow", "code": 2}
    assert values(failed["attributes"])["error.type"] == "timeout"
    found = values(unasked["attributes"])
    assert found["swarm.cost.status"] == "unpriced"
    assert not {"swarm.cost.amount", "gen_ai.usage.input_tokens"} & found.keys()


def test_all_calls_of_an_order_are_one_trace_and_a_second_export_names_them_the_same(
    store: Store,
) -> None:
    store.write(some_calls)
    first, second = spans_of(exported(store)), spans_of(exported(store))
    assert len({span["traceId"] for span in first}) == 1
    assert len({span["spanId"] for span in first}) == 4
    assert [span["spanId"] for span in first] == [span["spanId"] for span in second]


def test_costs_are_a_metric_by_currency_and_status(store: Store) -> None:
    store.write(some_calls)
    points = metrics_of(exported(store))["swarm.cost"]["sum"]["dataPoints"]
    found = {values(p["attributes"])["swarm.cost.status"]: p["asDouble"] for p in points}
    assert found["notional"] == 0.5
    durations = metrics_of(exported(store))["gen_ai.client.operation.duration"]
    assert durations["unit"] == "s"


@contextmanager
def collector(status: int) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """An OTLP receiver on the loopback."""
    heard: list[tuple[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            heard.append((self.path, self.headers["Content-Type"]))
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", heard
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_spans_and_metrics_reach_the_address_that_was_given(store: Store) -> None:
    store.write(some_calls)
    with collector(200) as (url, heard), store.engine.connect() as connection:
        assert otlp.send(rows.stream(connection, None), "Acme", url) == 4
    assert heard == [
        ("/v1/traces", "application/x-protobuf"),
        ("/v1/metrics", "application/x-protobuf"),
    ]


def test_a_receiver_that_refuses_is_told_in_a_sentence(store: Store) -> None:
    store.write(some_calls)
    with (
        collector(400) as (url, _),
        store.engine.connect() as connection,
        pytest.raises(ConfigError, match="did not take the spans"),
    ):
        otlp.send(rows.stream(connection, None), "Acme", url)


def test_lines_hold_every_column_with_amounts_as_texts(store: Store) -> None:
    store.write(some_calls)
    out = io.StringIO()
    with store.engine.connect() as connection:
        assert lines.write(rows.stream(connection, None), out) == 4
    first = json.loads(out.getvalue().splitlines()[0])
    assert first["amount"] == "0.123456789013"
    assert first["raw_usage"] == {"prompt_tokens": 900}
    assert "prompt" not in first
    with store.engine.connect() as connection:
        row = next(iter(rows.stream(connection, None, has_texts=True)))
    assert lines.entry(row._mapping)["prompt"] == {}
