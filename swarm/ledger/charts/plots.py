"""What a report shows as plots, for the page, for files and for the terminal."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from swarm.core.money import CostStatus, plain
from swarm.ledger.charts import svg
from swarm.ledger.charts.svg import Bar, Dot
from swarm.ledger.reports.document import CurveDocument, LineDocument, ReportDocument, SumDocument

MOST_BARS = 40
CURVES = 8


@dataclass(frozen=True, slots=True)
class Plot:
    """One plot, drawn, and as rows of bars where it is one."""

    name: str
    """Of its file, without the ending."""
    title: str
    drawing: str
    bars: tuple[Bar, ...] = ()


def plots(report: ReportDocument) -> list[Plot]:
    """Return the plots of a report; an empty period has none."""
    found = []
    for currency in [line.currency for line in report.models]:
        for name, title, lines in (
            ("by-day", "Cost by day", report.by_day),
            ("by-kind", "Cost by kind of order", report.by_kind),
            ("by-model", "Cost by model", report.by_model),
            ("by-role", "Cost by role", report.by_role),
        ):
            found += _bars(name, title, lines, currency)
    drawn = [curve for curve in report.curves if curve.points]
    return found + [_curve(curve) for curve in drawn[:CURVES]]


def money(amount: Decimal, currency: str) -> str:
    """Write an amount where there is little room: cents from 1 up, else three digits."""
    if amount and abs(amount) < 1:
        digits = amount.quantize(Decimal(1).scaleb(amount.adjusted() - 2))
        return f"{plain(digits)} {currency}"
    return f"{amount:,.2f} {currency}" if amount else f"0 {currency}"


def _bars(name: str, title: str, lines: Sequence[LineDocument], currency: str) -> list[Plot]:
    rows = []
    for line in lines:
        total = next((item for item in line.sums if item.currency == currency), None)
        if total is not None:
            rows.append(_bar(line.name, total))
    if not rows or not any(row.value for row in rows):
        return []
    shown = rows[-MOST_BARS:] if name == "by-day" else _largest(rows)
    described = "; ".join(f"{row.name} {row.text}" for row in shown)
    full = f"{title} ({currency})"
    id = f"{name}-{currency.lower()}"
    drawing = svg.bars(full, shown, description=f"{full}: {described}.", id=id)
    return [Plot(id, full, drawing, tuple(shown))]


def _largest(rows: Sequence[Bar]) -> list[Bar]:
    return sorted(rows, key=lambda row: (-row.value, row.name))[:MOST_BARS]


def _bar(name: str, total: SumDocument) -> Bar:
    is_bound = total.status is CostStatus.UNPRICED
    text = f"{'≥ ' if is_bound else ''}{money(total.amount, total.currency)}"
    if is_bound and not total.amount:
        text = "unpriced"
    return Bar(name, float(total.amount), text, is_soft=total.status is not CostStatus.PAID)


def _curve(curve: CurveDocument) -> Plot:
    title = f"What the next {curve.kind} order costs ({curve.currency})"
    dots = [
        Dot(
            x=(point.first * point.last) ** 0.5,
            y=float(point.mean),
            text=(
                f"orders {point.first} to {point.last}: {money(point.mean, curve.currency)}, "
                f"{point.accepted_share:.0%} accepted"
            ),
        )
        for point in curve.points
    ]
    highest = max(max(point.mean, point.fitted or Decimal(0)) for point in curve.points)
    id = f"curve-{_slug(curve.kind)}-{curve.currency.lower()}"
    drawing = svg.curve(
        title,
        dots,
        _line(curve),
        description=f"{title}: {'; '.join(dot.text for dot in dots)}. {curve.note}",
        id=id,
        highest=money(highest, ""),
    )
    return Plot(id, title, drawing)


def _line(curve: CurveDocument) -> list[tuple[float, float]]:
    if curve.floor is None or curve.extra is None or curve.exponent is None:
        return []
    last = max(curve.points[-1].last, 2)
    steps = [last ** (step / 60) for step in range(61)]
    floor, extra, exponent = float(curve.floor), float(curve.extra), float(curve.exponent)
    return [(n, floor + extra * float(n**-exponent)) for n in steps]


def _slug(text: str) -> str:
    return "".join(sign if sign.isascii() and sign.isalnum() else "-" for sign in text.lower())
