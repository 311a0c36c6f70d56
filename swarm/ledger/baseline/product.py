"""Route B: a product, from its size by function, by use or by lines.

Sizes are turned into hours by reference classes (what projects of published data sets needed per
function point) and by COCOMO II. The result is the mixture of both, never the narrower one.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from swarm.ledger.baseline import cocomo
from swarm.ledger.baseline.calibration import Calibration
from swarm.ledger.baseline.cocomo import HOURS_PER_MONTH, Drivers
from swarm.ledger.baseline.history import History
from swarm.ledger.baseline.spread import (
    CORRELATION,
    Spread,
    around,
    at_least,
    longest,
    mixture,
    total,
)
from swarm.ledger.baseline.work import (
    CALENDAR_MONTH_HOURS,
    Need,
    geometric_mean,
    project_ratio,
    schedule_of,
)

SIZES = ("function_points", "ksloc", "use_cases", "use_case_points")

FOREIGN_FACTOR = 5.0
"""x/÷ of a figure carried to another firm or decade: the median hours per function point of two
data sets, within a factor of five, held 84 to 88 % of the third's projects; a factor of four,
75 to 78 % in the worst case."""
LINES_FACTOR = 7.0
"""x/÷ of COCOMO II from lines alone: projects in COBOL needed a quarter of it."""
RATED_LINES_FACTOR = 5.0
"""The same with at least `RATED` effort multipliers given, which explain half of the spread."""
RATED = 5
COCOMO_SHARE = 0.25
"""Weight of COCOMO II beside three data sets for sizes in function points."""
LINES_PER_FUNCTION_POINT = 53
"""Of Java: Jones's backfiring table as printed in the COCOMO II manual. Languages range from 20 to
over 100, which `FOREIGN_FACTOR` has room for."""
HOURS_PER_USE_CASE_POINT = 20
USE_CASE_POINTS = 10.5
"""An average use case is worth 10, and its share of an actor a half."""
SCHEDULE_CORRELATION = 0.8
"""Of the logs of two parts' elapsed times: they are built in one company, and the width is mostly
that of not knowing which (our assumption)."""

_USE_CASE_SOURCE = (
    "20 h per use-case point, an average use case worth 10 points: Karner, Metrics for Objectory, "
    "1993. No case of ours: the width is the one of function points."
)
_LINES_SOURCE = (
    "53 source lines per function point (Java): Jones's backfiring table as in the COCOMO II Model "
    "Definition Manual 2.1."
)


@dataclass(frozen=True)
class Product:
    """What is to be built; all numbers are positive."""

    size: Mapping[str, float]
    """Of the whole product, by the names in `SIZES`; several check each other."""
    drivers: Drivers = field(default_factory=Drivers)
    parts: int = 1
    """Equal parts that are built side by side, each by its own team."""
    estimate_hours: float | None = None
    """Of the whole, made before the work."""


@dataclass(frozen=True)
class _View:
    """One way to the hours of one part."""

    weight: float
    hours: Spread
    words: str
    cases: int
    sources: tuple[str, ...]


def need_of_product(product: Product, *, calibration: Calibration, history: History) -> Need:
    """Return what a product needs; it has a size, an estimate, or both."""
    views = _views(product, calibration, history)
    part = _mixed(views)
    drivers = product.drivers
    schedule = schedule_of(part, drivers, calibration)
    shortest = _floor(part, drivers)
    elapsed = longest(
        [at_least(schedule, shortest)] * product.parts, correlation=SCHEDULE_CORRELATION
    )
    sources = dict.fromkeys(source for view in views for source in view.sources)
    sources |= dict.fromkeys(reference.source for reference in calibration.schedule)
    return Need(
        hours=total([part] * product.parts),
        elapsed=elapsed,
        cases=sum(view.cases for view in views),
        method=_method(product, views),
        sources=(*sources, cocomo.SOURCE),
        floor_hours=shortest.median,
    )


def hours_of_product(product: Product, *, calibration: Calibration, history: History) -> Spread:
    """Return the person-hours alone that a product needs."""
    return total([_mixed(_views(product, calibration, history))] * product.parts)


def _mixed(views: list[_View]) -> Spread:
    return mixture([(view.weight, view.hours) for view in views])


def _floor(part: Spread, drivers: Drivers) -> Spread:
    """Return the shortest schedule in elapsed hours, for each quantile of the effort."""
    calm_months = part.times(1 / HOURS_PER_MONTH / drivers.pressure)
    month = drivers.nominal_months(1.0) * CALENDAR_MONTH_HOURS * cocomo.SCHEDULE_FLOOR
    return calm_months.to_power(drivers.time_exponent).times(month)


def _views(product: Product, calibration: Calibration, history: History) -> list[_View]:
    found: list[_View] = []
    for name, whole in product.size.items():
        size = whole / product.parts
        if name == "function_points":
            found += _by_function(size, product.drivers, calibration)
        elif name == "ksloc":
            # Beside a size by function, lines are a cross-check: they count as one view of four.
            weight = COCOMO_SHARE if "function_points" in product.size else 1.0
            found.append(_by_lines(size, product.drivers, calibration, weight))
        else:
            points = size * (USE_CASE_POINTS if name == "use_cases" else 1)
            found.append(_by_use(points, product.drivers))
    if product.estimate_hours is not None:
        found.append(_by_estimate(product.estimate_hours / product.parts, calibration, history))
    return found


def _by_function(points: float, drivers: Drivers, calibration: Calibration) -> list[_View]:
    ksloc = points * LINES_PER_FUNCTION_POINT / 1000
    references = calibration.productivity
    rate = geometric_mean(references)
    names = ", ".join(f"{r.name} {r.p50:.3g}" for r in references)
    return [
        _View(
            1 - COCOMO_SHARE,
            around(points * rate * drivers.change(ksloc), FOREIGN_FACTOR),
            f"{points:.4g} function points at {rate:.3g} h (geometric mean of the medians: {names}) "
            f"x/÷{FOREIGN_FACTOR:g}",
            sum(r.count for r in references),
            tuple(r.source for r in references),
        ),
        _View(
            COCOMO_SHARE,
            around(drivers.months_of_work(ksloc) * HOURS_PER_MONTH, FOREIGN_FACTOR),
            f"COCOMO II on {ksloc:.3g} KSLOC x/÷{FOREIGN_FACTOR:g}",
            cocomo.PROJECTS,
            (_LINES_SOURCE,),
        ),
    ]


def _by_lines(ksloc: float, drivers: Drivers, calibration: Calibration, weight: float) -> _View:
    # COCOMO II itself, and how far two data sets lie from it, count alike.
    off = [0.0, *(math.log(r.p50) for r in calibration.lines)]
    centre = math.exp(sum(off) / len(off))
    factor = RATED_LINES_FACTOR if drivers.named >= RATED else LINES_FACTOR
    seen = ", ".join(f"{r.name} {r.p50:.2g}" for r in calibration.lines)
    return _View(
        weight,
        around(drivers.months_of_work(ksloc) * HOURS_PER_MONTH * centre, factor),
        f"COCOMO II on {ksloc:.4g} KSLOC times {centre:.2g} (what data sets needed of it: {seen}) "
        f"x/÷{factor:g}",
        cocomo.PROJECTS + sum(r.count for r in calibration.lines),
        tuple(r.source for r in calibration.lines),
    )


def _by_use(points: float, drivers: Drivers) -> _View:
    # Lines of such a product are not known; any size shows what nominal drivers would change.
    change = drivers.change(1.0)
    return _View(
        1.0,
        around(points * HOURS_PER_USE_CASE_POINT * change, FOREIGN_FACTOR),
        f"{points:.4g} use-case points at {HOURS_PER_USE_CASE_POINT} h x/÷{FOREIGN_FACTOR:g}",
        0,
        (_USE_CASE_SOURCE,),
    )


def _by_estimate(hours: float, calibration: Calibration, history: History) -> _View:
    reference = calibration.estimates
    return _View(
        1.0,
        history.apply(project_ratio(calibration)).times(hours),
        f"the estimate of {hours:.4g} h made before, times what projects took over their first "
        f"estimate; {history.words}",
        reference.count,
        (reference.source,),
    )


def _method(product: Product, views: list[_View]) -> str:
    mixed = f"mixture of {len(views)}: " if len(views) > 1 else ""
    each = "; each part: " if product.parts > 1 else ": "
    added = (
        f"{product.parts} equal parts side by side, added with a common factor (correlation "
        f"{CORRELATION:g})"
        if product.parts > 1
        else "one product"
    )
    return f"{added}{each}{mixed}{'; '.join(view.words for view in views)}"
