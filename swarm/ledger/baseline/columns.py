"""Read tables of estimates and actuals, whatever their columns are called."""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation

from swarm.core.errors import InvalidInput
from swarm.core.registry import nearest

MAX_BYTES = 64 * 2**20
MAX_CELL = 131_072

NAMES: dict[str, tuple[str, ...]] = {
    "class": (
        "class", "work", "kind", "subcategory", "kindofwork", "workclass", "tasktype", "type",
        "category",
    ),
    "estimate": (
        "estimate", "estimatehours", "estimatedhours", "hoursestimate", "hoursestimated",
        "estimateh", "estimated", "est", "esthours", "plannedhours", "planned", "firstestimate",
    ),
    "actual": (
        "actual", "actualhours", "hoursactual", "actualh", "hours", "took", "spent", "hoursspent",
        "spenthours", "act", "effort", "actualeffort", "timespent",
    ),
    "at": (
        "at", "estimatedat", "estimateon", "estimatedon", "date", "startedat", "startedon",
        "createdat", "created", "start", "day",
    ),
    "id": ("id", "tasknumber", "taskid", "ticket", "issue", "key", "number"),
    "order": ("order", "orderid"),
    "task": ("task", "taskid"),
    "elapsed": ("elapsed", "elapsedhours", "calendarhours", "leadtime", "leadtimehours"),
    "cost": ("cost", "price", "amount", "paid", "invoice", "invoiced"),
    "currency": ("currency",),
    "source": ("source", "who", "by", "team", "person", "freelancer", "developer"),
    "finished": ("finished", "finishedat", "completed", "completedon", "done", "end"),
}  # fmt: skip
"""Names of a column, folded to letters; the first that a table has is taken."""

_FORMATS = ("%Y-%m-%d", "%d-%b-%y", "%d-%b-%Y", "%Y/%m/%d", "%d.%m.%Y", "%d/%m/%Y", "%Y%m%d")


@dataclass(frozen=True, slots=True)
class Fault:
    """A row that was refused, and why."""

    line: int
    """Of the file, from 1; the header is line 1."""
    reason: str


@dataclass(frozen=True)
class Table:
    """A table with its columns told apart."""

    columns: Mapping[str, str]
    """Our name of a column, and the table's."""
    rows: Sequence[tuple[int, Mapping[str, str]]]
    """Line number, and cells by our name, without spaces around."""


def read_table(data: bytes, *, needed: Iterable[str], name: str) -> Table:
    """Read a table of comma-, semicolon- or tab-separated values with a header.

    Args:
        data: The file.
        needed: Columns it must have, by our names.
        name: Of the file, for messages.

    Raises:
        InvalidInput: No such table, or a column is missing.
    """
    if len(data) > MAX_BYTES:
        raise InvalidInput(f"{name} is larger than {MAX_BYTES // 2**20} MiB: cut it in two.")
    text = data.decode("utf-8-sig", errors="replace").replace("\0", "")
    csv.field_size_limit(MAX_CELL)
    try:
        lines = list(_numbered(text))
    except csv.Error as error:
        raise InvalidInput(f"{name} is no table: {error}.") from error
    if not lines:
        raise InvalidInput(f"{name} is empty: write a header and rows, {_EXAMPLE}.")
    header = [cell.strip() for cell in lines[0][1]]
    places = _places(header)
    for column in needed:
        if column not in places:
            raise InvalidInput(
                f"{name} has no column for the {column}{nearest(column, header)}; write a header "
                f"like {_EXAMPLE}."
            )
    rows = [
        (line, {ours: _at(cells, place) for ours, place in places.items()})
        for line, cells in lines[1:]
        if any(cell.strip() for cell in cells)
    ]
    return Table({ours: header[place] for ours, place in places.items()}, rows)


_EXAMPLE = "`class,estimate,actual`"


def _numbered(text: str) -> Iterator[tuple[int, list[str]]]:
    first = text.lstrip().split("\n", maxsplit=1)[0]
    delimiter = max(",;\t|", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    for cells in reader:
        if cells:
            yield reader.line_num, cells


def _places(header: Sequence[str]) -> dict[str, int]:
    folded: dict[str, int] = {}
    for place, cell in enumerate(header):
        folded.setdefault(re.sub(r"[^a-z]", "", cell.casefold()), place)
    found: dict[str, int] = {}
    for ours, names in NAMES.items():
        for known in names:
            if known in folded:
                found[ours] = folded[known]
                break
    return found


def _at(cells: Sequence[str], place: int) -> str:
    return cells[place].strip() if place < len(cells) else ""


def hours(text: str, name: str) -> Decimal:
    """Return a positive number of hours, such as `3.5`, `3,5` or `3.5h`.

    Raises:
        InvalidInput: Not a number, or not above 0.
    """
    return amount(re.sub(r"\s*(h|hrs?|hours?)\.?$", "", text, flags=re.IGNORECASE), name)


def amount(text: str, name: str) -> Decimal:
    """Return a positive number; a comma is a decimal one where no point is there.

    Raises:
        InvalidInput: Not a number, or not above 0.
    """
    plain = text.replace("_", "").replace("\u00a0", "")
    if "," in plain and "." not in plain:
        plain = plain.replace(",", ".")
    try:
        value = Decimal(plain.replace(",", ""))
    except InvalidOperation:
        raise InvalidInput(f"{name}: {text[:40]!r} is no number.") from None
    if not value.is_finite() or value <= 0:
        raise InvalidInput(f"{name}: {text[:40]} is not above 0.")
    if not Decimal("1e-6") <= value <= Decimal("1e7"):
        raise InvalidInput(f"{name}: {text[:40]} is out of range (0.000001 to 10,000,000).")
    return value


def day(text: str) -> date:
    """Return a day, written `2026-05-01`, `01-May-26`, `01.05.2026` or with a time after it.

    Raises:
        InvalidInput: Not a day.
    """
    for candidate in (text, text[:10], text.split(" ", maxsplit=1)[0]):
        for form in _FORMATS:
            try:
                return datetime.strptime(candidate, form).replace(tzinfo=UTC).date()
            except ValueError:
                continue
    raise InvalidInput(f"date: {text[:40]!r} is no day; write 2026-05-01.")
