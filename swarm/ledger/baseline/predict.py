"""Predictions for programs: a JSON object in, what people would need out, at any levels."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any

from swarm.core.errors import InvalidInput, SwarmError
from swarm.core.money import plain
from swarm.core.registry import nearest
from swarm.ledger.baseline.calibration import Calibration, borrowed
from swarm.ledger.baseline.classes import find_class
from swarm.ledger.baseline.cocomo import read_drivers
from swarm.ledger.baseline.history import History
from swarm.ledger.baseline.plan import calibration_id, rounded
from swarm.ledger.baseline.product import SIZES, Product, need_of_product
from swarm.ledger.baseline.rates import HourlyRate, find_rate
from swarm.ledger.baseline.spread import Spread, product
from swarm.ledger.baseline.work import Need, need_of_task

LEVELS = (0.5, 0.8, 0.9)
MAX_PARTS = 200
MAX_HOURS = 1e7
"""A lifetime of work for a hundred people; above it a number is a slip."""
MAX_SIZES = {"function_points": 1e6, "ksloc": 1e5, "use_cases": 1e5, "use_case_points": 1e6}
_DIGITS = 4

_TASK = ("kind", "class", "estimate_hours", "country", "contract", "id")
_PRODUCT = ("kind", "size", "drivers", "parts", "estimate_hours", "country", "contract", "id")
_OTHER_SIZES = {
    "fp": "function_points", "functionpoints": "function_points", "kloc": "ksloc",
    "usecases": "use_cases", "ucp": "use_case_points",
}  # fmt: skip


@dataclass(frozen=True)
class Predictor:
    """Predict with given figures."""

    levels: tuple[float, ...] = LEVELS
    calibration: Calibration | None = None
    """None is what comes with Swarm."""
    history: History = field(default_factory=History)
    rate: HourlyRate | None = None
    """Of an hour, where a line names neither country nor contract; None is that of the EU."""

    def line(self, text: str) -> dict[str, Any]:
        """Return the prediction for one line of JSON, or a document with an `error` sentence."""
        try:
            document = _parse(text)
        except SwarmError as error:
            return {"error": str(error)}
        named = {"id": document["id"]} if "id" in document else {}
        try:
            return {**named, **self.one(document)}
        except SwarmError as error:
            return {**named, "error": str(error)}

    def one(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """Return the prediction for one request.

        Raises:
            InvalidInput: A key or value that makes no sense; the sentence says what to write.
        """
        kind = document.get("kind")
        if kind not in ("task", "product"):
            raise InvalidInput('kind: write "task" (with `class`) or "product" (with `size`).')
        _check_keys(document, _TASK if kind == "task" else _PRODUCT)
        rate = self._rate(document)
        need, about = self._task(document) if kind == "task" else self._product(document)
        return {"kind": kind, **about, **self._answer(need, rate)}

    def _task(self, document: Mapping[str, Any]) -> tuple[Need, dict[str, Any]]:
        name = document.get("class")
        if not isinstance(name, str) or not name.strip():
            raise InvalidInput('class: name the kind of work, such as "bug", or "other".')
        work = find_class(name)
        estimate = _optional_hours(document)
        need = need_of_task(work, estimate, calibration=self._figures, history=self.history)
        return need, {"class": name, "measured_class": work.measured}

    def _product(self, document: Mapping[str, Any]) -> tuple[Need, dict[str, Any]]:
        estimate = _optional_hours(document)
        wanted = Product(
            size=_size(document.get("size"), is_needed=estimate is None),
            drivers=read_drivers(_drivers(document.get("drivers"))),
            parts=_parts(document.get("parts")),
            estimate_hours=estimate,
        )
        need = need_of_product(wanted, calibration=self._figures, history=self.history)
        return need, {"size": dict(wanted.size), "parts": wanted.parts}

    @property
    def _figures(self) -> Calibration:
        return self.calibration or borrowed()

    def _rate(self, document: Mapping[str, Any]) -> HourlyRate:
        country, contract = document.get("country"), document.get("contract")
        for name, value in (("country", country), ("contract", contract)):
            if value is not None and not isinstance(value, str):
                raise InvalidInput(f"{name}: write a word, such as {_EXAMPLES[name]!r}.")
        if not country and not contract and self.rate is not None:
            return self.rate
        return find_rate(country or "", contract or "")

    def _answer(self, need: Need, rate: HourlyRate) -> dict[str, Any]:
        cost = product(need.hours, rate.spread)
        floor = need.floor_hours
        return {
            "hours": {"unit": "person-hours", **self._bands(need.hours)},
            "elapsed": {
                "unit": "calendar hours",
                **self._bands(need.elapsed),
                **({} if floor is None else {"schedule_floor": plain(rounded(floor, _DIGITS))}),
            },
            "cost": {"currency": rate.currency, **self._bands(cost)},
            "rate": {
                "p10": plain(rate.p10),
                "p50": plain(rate.p50),
                "p90": plain(rate.p90),
                "currency": rate.currency,
                "country": rate.country,
                "contract": rate.contract,
                "year": rate.year,
            },
            "method": f"{need.method}; times {rate.words}",
            "sources": [*need.sources, rate.source],
            "reference_cases": need.cases,
            "own_cases": self.history.count,
            "calibration_id": calibration_id(self._figures, self.history),
        }

    def _bands(self, spread: Spread) -> dict[str, Any]:
        intervals = (spread.interval(level) for level in self.levels)
        return {
            "p50": plain(rounded(spread.median, _DIGITS)),
            "intervals": [
                {
                    "level": interval.level,
                    "low": plain(rounded(interval.low, _DIGITS)),
                    "high": plain(rounded(interval.high, _DIGITS)),
                }
                for interval in intervals
            ],
        }


_EXAMPLES = {"country": "FR", "contract": "freelance"}


def read_levels(text: str) -> tuple[float, ...]:
    """Return the levels of a list such as `0.5,0.8,0.9`, rising.

    Raises:
        InvalidInput: Not a list of numbers between 0 and 1.
    """
    found = []
    for word in text.split(","):
        try:
            level = float(word)
        except ValueError:
            level = 0.0
        if not 0.0001 <= level <= 0.9999:
            raise InvalidInput(
                f"--levels: {word.strip()[:40]!r} is no level: write numbers from 0.0001 to 0.9999, "
                "such as 0.5,0.8,0.9."
            )
        found.append(level)
    return tuple(sorted(set(found)))


def _parse(text: str) -> dict[str, Any]:
    if not text.strip():
        raise InvalidInput("The line is empty: write one JSON object per line.")
    try:
        document = json.loads(text, parse_float=Decimal)
    except (ValueError, RecursionError) as error:
        where = f" at character {error.pos + 1}" if isinstance(error, json.JSONDecodeError) else ""
        raise InvalidInput(
            f"The line is not JSON{where}: write one JSON object per line."
        ) from None
    if not isinstance(document, dict):
        raise InvalidInput('The line is no JSON object: write {"kind": "task", "class": "bug"}.')
    return document


def _check_keys(document: Mapping[str, Any], known: Sequence[str]) -> None:
    for key in document:
        if key not in known:
            raise InvalidInput(
                f"A {document['kind']} has no {str(key)[:40]!r}{nearest(key, known)}"
            )


def _optional_hours(document: Mapping[str, Any]) -> float | None:
    value = document.get("estimate_hours")
    if value is None:
        return None
    return positive(value, "estimate_hours", most=MAX_HOURS, unit="hours")


def positive(value: object, name: str, *, most: float, unit: str) -> float:
    """Return a number above 0.

    Raises:
        InvalidInput: Anything else; the sentence says what is wrong with it.
    """
    try:
        if isinstance(value, bool) or not isinstance(value, int | float | Decimal | str):
            raise ValueError
        number = Decimal(str(value).strip())
    except (ValueError, InvalidOperation):
        raise InvalidInput(f"{name}: write a number of {unit} above 0.") from None
    if not number.is_finite():
        raise InvalidInput(f"{name}: {value} is no amount: write a number of {unit} above 0.")
    if number <= 0:
        raise InvalidInput(
            f"{name}: {str(value)[:40]} is not above 0: nothing takes no time; leave it out where "
            "nobody knows."
        )
    if not Decimal("1e-6") <= number <= Decimal(most):
        raise InvalidInput(f"{name}: {str(value)[:40]} {unit} is not from 0.000001 to {most:,.0f}.")
    return float(number)


def _size(value: object, *, is_needed: bool) -> dict[str, float]:
    if value is None and not is_needed:
        return {}
    if not isinstance(value, dict) or not value:
        raise InvalidInput(
            'size: write one of {"function_points": …}, {"ksloc": …}, {"use_cases": …}.'
        )
    found: dict[str, float] = {}
    for key, amount in value.items():
        word = str(key).casefold().replace(" ", "_").replace("-", "_")
        name = _OTHER_SIZES.get(word, word)
        if name not in SIZES:
            raise InvalidInput(f"size: nothing is known of {str(key)[:40]!r}{nearest(word, SIZES)}")
        if name in found:
            raise InvalidInput(f"size: {name} is given twice; keep one.")
        found[name] = positive(
            amount, f"size.{name}", most=MAX_SIZES[name], unit=name.replace("_", " ")
        )
    return found


def _drivers(value: object) -> dict[str, object]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidInput('drivers: write names and levels, such as {"CPLX": "high"}.')
    return {str(name): level for name, level in value.items()}


def _parts(value: object) -> int:
    if value is None:
        return 1
    number = Decimal(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if (
        not isinstance(number, Decimal)
        or not number.is_finite()
        or number != number.to_integral_value()
        or not 1 <= number <= MAX_PARTS
    ):
        raise InvalidInput(f"parts: write a whole number from 1 to {MAX_PARTS}.")
    return int(number)
