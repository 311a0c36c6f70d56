"""Write spans and metrics as OTLP: JSON lines in a file, or over HTTP to an address that is given.

Nothing is sent anywhere by default, and no address comes from the environment.
"""

import base64
import json
from collections.abc import Iterable, Sequence
from typing import Any, Protocol, TextIO

from google.protobuf.json_format import MessageToDict
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics.export import MetricExportResult, MetricsData
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult

from swarm.core.errors import ConfigError
from swarm.ledger.exports.otel import Meters, Source, spans
from swarm.ledger.exports.rows import batches

BATCH = 500
TIMEOUT_S = 30.0
_IDS = ("traceId", "spanId", "parentSpanId")


class Sink(Protocol):
    """Where spans and metrics go."""

    def put_spans(self, batch: Sequence[ReadableSpan]) -> None:
        """Take some spans. Raises ConfigError where they cannot be delivered."""

    def put_metrics(self, metrics: MetricsData) -> None:
        """Take the metrics. Raises ConfigError where they cannot be delivered."""


def write(rows: Iterable[Any], company: str, out: TextIO) -> int:
    """Write spans and metrics as OTLP JSON lines; return how many rows there were."""
    return export(rows, Source(company), JsonLines(out))


def send(rows: Iterable[Any], company: str, url: str) -> int:
    """Send spans and metrics to an OTLP/HTTP address; return how many rows there were.

    Raises:
        ConfigError: Nobody took them.
    """
    sink = Http(url)
    try:
        return export(rows, Source(company), sink)
    finally:
        sink.close()


def export(rows: Iterable[Any], source: Source, sink: Sink) -> int:
    """Give a sink a span for each row, then the sums of them all; return how many rows there were.

    Raises:
        ConfigError: The sink could not take them; what it took before stays there.
    """
    meters, count = Meters(source), 0
    for batch in batches(iter(rows), BATCH):
        for row in batch:
            meters.add(row)
        sink.put_spans(list(spans(batch, source)))
        count += len(batch)
    metrics = meters.metrics()
    if metrics is not None:
        sink.put_metrics(metrics)
    return count


class JsonLines:
    """Write each request as one line of OTLP JSON, as collectors read it from a file."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def put_spans(self, batch: Sequence[ReadableSpan]) -> None:
        """Write some spans."""
        self._write(encode_spans(batch))

    def put_metrics(self, metrics: MetricsData) -> None:
        """Write the metrics."""
        self._write(encode_metrics(metrics))

    def _write(self, request: Any) -> None:
        document = MessageToDict(request, use_integers_for_enums=True)
        self._out.write(json.dumps(_with_hex_ids(document), ensure_ascii=False) + "\n")


def _with_hex_ids(value: Any) -> Any:
    """Turn ids into the hexadecimal that OTLP wants where JSON of other messages has base64."""
    if isinstance(value, list):
        return [_with_hex_ids(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: base64.b64decode(item).hex() if key in _IDS else _with_hex_ids(item)
        for key, item in value.items()
    }


class Http:
    """Send to an OTLP/HTTP address such as `http://localhost:4318`."""

    def __init__(self, url: str) -> None:
        base = url.rstrip("/")
        self._url = base
        self._spans = OTLPSpanExporter(endpoint=f"{base}/v1/traces", timeout=TIMEOUT_S)
        self._metrics = OTLPMetricExporter(endpoint=f"{base}/v1/metrics", timeout=TIMEOUT_S)

    def put_spans(self, batch: Sequence[ReadableSpan]) -> None:
        """Send some spans."""
        if self._spans.export(batch) is not SpanExportResult.SUCCESS:
            raise ConfigError(f"{self._url} did not take the spans: see the log for its answer.")

    def put_metrics(self, metrics: MetricsData) -> None:
        """Send the metrics."""
        if self._metrics.export(metrics) is not MetricExportResult.SUCCESS:
            raise ConfigError(f"{self._url} did not take the metrics: see the log for its answer.")

    def close(self) -> None:
        """Let go of the connections."""
        self._spans.shutdown()  # type: ignore[no-untyped-call]
        self._metrics.shutdown()
