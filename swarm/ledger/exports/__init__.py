"""The ledger in other people's words: FOCUS 1.2, OpenTelemetry GenAI, JSON lines.

`rows` streams the ledger; `focus` makes charges of a row, `focus_columns` is the specification as a
table, `tables` writes them as CSV or Parquet; `otel` makes spans and metrics, `otlp` writes or sends
them; `lines` writes the rows as they are. All of them hold a few thousand rows at a time.
"""
