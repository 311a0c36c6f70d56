"""Write the books to files, or to standard output, row by row."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO
from urllib.parse import urlsplit

from swarm.cli.lazy import load as load_part
from swarm.cli.reported import books
from swarm.cli.terminal import ReaderGoneError, tell
from swarm.cli.wording import counted
from swarm.core.clock import SystemClock
from swarm.core.errors import ConfigError, InvalidInput
from swarm.ledger.exports import lines, rows, tables
from swarm.ledger.exports.focus import Account, charges
from swarm.ledger.exports.spread import spread
from swarm.ledger.reports.period import Period, chosen
from swarm.settings import load

STDOUT = Path("-")


def focus(*, first: str | None, last: str | None, csv: Path | None, parquet: Path | None) -> None:
    """Write charges as FOCUS 1.2.

    Raises:
        InvalidInput, ConfigError: A word is off, or the file cannot be written.
    """
    if csv is not None and parquet is not None:
        raise InvalidInput("Say one of --csv and --parquet.")
    if parquet == STDOUT:
        raise InvalidInput("--parquet needs a file: write --parquet charges.parquet.")
    period, environment = _period(first, last), load()
    settings = environment.settings
    with books(environment) as store, store.engine.connect() as connection:
        account = Account(
            name=settings.name,
            spread=spread(connection, settings.report.subscriptions, currency=settings.currency),
        )
        found = (c for row in rows.stream(connection, period) for c in charges(row, account))
        if parquet is not None:
            count = tables.write_parquet(found, parquet)
        else:
            with _opened(csv or STDOUT) as out:
                count = tables.write_csv(found, out)
    _done(count, "charge", parquet or csv)


def otel(*, first: str | None, last: str | None, json: Path | None, http: str | None) -> None:
    """Write or send spans and metrics.

    Raises:
        InvalidInput, ConfigError: A word is off, the extra is missing, or nobody takes them.
    """
    if (json is None) == (http is None):
        raise InvalidInput("Say where to: --json FILE, or --http http://localhost:4318.")
    period, environment = _period(first, last), load()
    company, work = environment.settings.name, "send" if http is not None else "write"
    try:
        give = load_part(f"swarm.ledger.exports.otlp:{work}")
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"OpenTelemetry needs the package {error.name!r}: pip install 'swarm[otel]'"
        ) from error
    with books(environment) as store, store.engine.connect() as connection:
        found = rows.stream(connection, period)
        if http is not None:
            count = give(found, company, _address(http))
        else:
            with _opened(json or STDOUT) as out:
                count = give(found, company, out)
    _done(count, "call", json)


def ledger(*, first: str | None, last: str | None, jsonl: Path | None, has_texts: bool) -> None:
    """Write ledger rows as JSON lines.

    Raises:
        InvalidInput, ConfigError: A word is off, or the file cannot be written.
    """
    period, environment = _period(first, last), load()
    with books(environment) as store, store.engine.connect() as connection:
        found = rows.stream(connection, period, has_texts=has_texts)
        with _opened(jsonl or STDOUT) as out:
            count = lines.write(found, out)
    _done(count, "call", jsonl)


def _period(first: str | None, last: str | None) -> Period | None:
    if first is None and last is None:
        return None
    return chosen(first=first, last=last, today=SystemClock().now().date())


def _address(url: str) -> str:
    try:
        parts = urlsplit(url)
        is_good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_good = False
    if not is_good:
        raise InvalidInput(f"--http {url!r} is no address: write it as http://localhost:4318.")
    return url


@contextmanager
def _opened(path: Path) -> Iterator[TextIO]:
    """Open a file to write, or standard output."""
    if path == STDOUT:
        try:
            yield sys.stdout
            sys.stdout.flush()
        except BrokenPipeError as error:
            raise ReaderGoneError from error
        return
    try:
        # Line ends are the writer's own: CSV has CRLF.
        with path.open("w", encoding="utf-8", newline="") as out:
            yield out
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror or error}.") from error


def _done(count: int, word: str, path: Path | None) -> None:
    if not count:
        tell("No model was asked in this period: there is nothing to export.")
    elif path is not None and path != STDOUT:
        tell(f"Written: {counted(count, word)} to {path}")
