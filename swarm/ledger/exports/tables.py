"""Write charges as CSV or as Parquet, batch by batch."""

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path
from typing import Any, TextIO

from swarm.core.errors import ConfigError
from swarm.ledger.exports.focus import Charge, moment
from swarm.ledger.exports.focus_columns import COLUMNS, NAMES, Kind

BATCH = 5_000
DIGITS, SCALE = 38, 18
"""A price per token has up to fifteen decimal places; 38 digits are what Parquet holds."""


def write_csv(charges: Iterable[Charge], out: TextIO) -> int:
    """Write charges as CSV with a head line; return how many there were.

    A null is an empty field; a text is quoted, so that an empty one could be told from it.
    """
    # RFC 4180 wants CRLF.
    writer = csv.writer(out, quoting=csv.QUOTE_MINIMAL, lineterminator="\r\n")
    writer.writerow(NAMES)
    count = 0
    for charge in charges:
        writer.writerow([_cell(charge[name]) for name in NAMES])
        count += 1
    return count


def _cell(value: Any) -> str:
    return _WRITERS[type(value)](value)


def _decimal(value: Decimal) -> str:
    # Always with a point: readers guess a column's type, and 3 is no decimal to them.
    text = format(value, "f")
    return text if "." in text else f"{text}.0"


# By type, for a table of a million rows has fifty million cells.
_WRITERS: dict[type, Callable[[Any], str]] = {
    type(None): lambda _: "",
    bool: lambda value: "true" if value else "false",
    str: str,
    Decimal: _decimal,
    datetime: moment,
}


def write_parquet(charges: Iterable[Charge], path: Path) -> int:
    """Write charges as one Parquet file; return how many there were.

    Raises:
        ConfigError: The extra `parquet` is missing, or the file cannot be written.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ModuleNotFoundError as error:
        raise ConfigError(
            "Parquet needs the package 'pyarrow': pip install 'swarm[parquet]'"
        ) from error
    schema = _schema(pyarrow)
    count = 0
    try:
        with pyarrow.parquet.ParquetWriter(path, schema) as writer:
            for batch in _batches(charges):
                columns = [[_value(c.kind, row[c.name]) for row in batch] for c in COLUMNS]
                arrays = [
                    pyarrow.array(values, type=item.type)
                    for values, item in zip(columns, schema, strict=True)
                ]
                writer.write_table(pyarrow.Table.from_arrays(arrays, schema=schema))
                count += len(batch)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror or error}.") from error
    return count


def _schema(pyarrow: Any) -> Any:
    types = {
        Kind.TEXT: pyarrow.string(),
        Kind.JSON: pyarrow.string(),
        Kind.DECIMAL: pyarrow.decimal128(DIGITS, SCALE),
        Kind.MOMENT: pyarrow.timestamp("ms", tz="UTC"),
        Kind.FLAG: pyarrow.bool_(),
    }
    return pyarrow.schema(
        [pyarrow.field(c.name, types[c.kind], nullable=c.is_nullable) for c in COLUMNS]
    )


def _value(kind: Kind, value: Any) -> Any:
    if kind is Kind.DECIMAL and value is not None:
        exact = Decimal(value)
        exponent = exact.as_tuple().exponent
        is_fine = isinstance(exponent, int) and exponent < -SCALE
        return exact.quantize(Decimal(1).scaleb(-SCALE), ROUND_HALF_EVEN) if is_fine else exact
    return value


def _batches(charges: Iterable[Charge]) -> Iterator[Sequence[Charge]]:
    batch: list[Charge] = []
    for charge in charges:
        batch.append(charge)
        if len(batch) >= BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
