"""A report in words: what it cost, whether it pays, and what the numbers leave out."""

from collections.abc import Iterable, Sequence
from decimal import Decimal

from swarm.cli.wording import amount, counted, duration
from swarm.core.money import CostStatus
from swarm.ledger.reports.document import (
    CurveDocument,
    LineDocument,
    MarginDocument,
    ReportDocument,
    RepricedDocument,
    RepricedLineDocument,
    ShareDocument,
    ShockDocument,
    ShockLineDocument,
    SumDocument,
)

MOST_LINES = 12


def report_lines(report: ReportDocument) -> list[str]:
    """Write a report; an empty period gets one sentence."""
    period = f"{report.period.first} to {report.period.last}"
    if report.is_empty:
        nothing = f"Nothing was ordered and no model was asked from {period} (UTC)."
        return [nothing, *_farm(report)]
    orders = report.orders
    lines = [
        f"{report.company}, {period} (UTC, {counted(report.period.days, 'day')})",
        f"  Orders: {orders.begun:,} begun, {orders.delivered:,} delivered, "
        f"{orders.accepted:,} accepted, {orders.failed:,} failed or cancelled",
        f"  Model calls: {report.calls:,}{_unanswered(report)}",
        f"  Model cost: {sums(report.models)}",
        *_units(report),
        *_share("Done again", report.rework),
        *_share("Failed attempts", report.failed_attempts),
        *_founder(report),
        *_hosting(report),
        *_farm(report),
    ]
    for margin in report.margins:
        lines.append(f"  Margin of {margin.instance}: {_margin(margin)}")
    if len(report.margins) > 1:
        worst = min(report.margins, key=lambda line: line.margin)
        lines.append(f"  Worst instance: {worst.instance}, {amount(worst.margin, worst.currency)}")
    for title, rows in (
        ("By kind of order", report.by_kind),
        ("By role", report.by_role),
        ("By model", report.by_model),
        ("By day", report.by_day),
    ):
        lines += _breakdown(title, rows)
    lines += _kinds(report)
    lines += _curves(report.curves)
    lines += _exposure(report)
    return [*lines, *_notes(report.notes)]


def sums(lines: Sequence[SumDocument]) -> str:
    """Write amounts of several currencies beside each other."""
    return " and ".join(map(_sum, lines)) or "0"


def _sum(line: SumDocument) -> str:
    text = amount(line.amount, line.currency)
    if line.status is CostStatus.UNPRICED:
        return f"at least {text}" if line.amount else "unpriced"
    if line.status is CostStatus.NOTIONAL:
        return f"{text} notional"
    return f"{text} ({amount(line.notional, line.currency)} notional)" if line.notional else text


def _unanswered(report: ReportDocument) -> str:
    if not report.unanswered_intents:
        return ""
    return f", {report.unanswered_intents:,} without an answer: the provider may have billed them"


def _units(report: ReportDocument) -> list[str]:
    lines = []
    for unit in report.per_accepted_order:
        bound = "at least " if unit.is_lower_bound else ""
        parts = [
            f"{name} {amount(value, unit.currency)}"
            for name, value in (
                ("models", unit.model),
                ("hosting", unit.hosting),
                ("your time", unit.founder),
            )
            if value
        ]
        lines.append(
            f"  Cost per accepted order: {bound}{amount(unit.amount, unit.currency)} "
            f"({', '.join(parts) or 'nothing was charged'}; what failed or was done again is in it)"
        )
    return lines


def _share(name: str, part: ShareDocument) -> list[str]:
    if not part.calls:
        return [f"  {name}: none"]
    shares = [f"{line.share:.1%}" for line in part.share if line.share is not None]
    of = f", {' and '.join(shares)} of the model cost" if shares else ""
    return [f"  {name}: {counted(part.calls, 'call')}, {sums(part.sums)}{of}"]


def _founder(report: ReportDocument) -> list[str]:
    founder = report.founder
    if founder is None:
        return []
    per_order = founder.decisions_per_order
    each = f", {per_order:.1f} per order" if per_order is not None else ""
    cost = ""
    if founder.amount is not None and founder.currency is not None:
        cost = f", {amount(founder.amount, founder.currency)}"
    return [
        f"  Your time: {duration(float(founder.seconds))}{cost} ({founder.rule})",
        f"  Decisions: {founder.decisions:,}{each}; options shown {founder.options_shown:,}, "
        f"refused {founder.options_refused:,}; reversals {founder.reversals:,}",
    ]


def _hosting(report: ReportDocument) -> list[str]:
    hosting = report.hosting
    if hosting is None:
        return []
    note = f" ({hosting.note})" if hosting.note else ""
    if hosting.amount is None or hosting.currency is None:
        return [f"  Hosting: unpriced{note}"]
    idle = "" if hosting.idle is None else f", idle {amount(hosting.idle, hosting.currency)} of it"
    mark = " notional" if hosting.status is CostStatus.NOTIONAL else ""
    bound = "at least " if hosting.status is CostStatus.UNPRICED else ""
    return [f"  Hosting: {bound}{amount(hosting.amount, hosting.currency)}{mark}{idle}{note}"]


def _farm(report: ReportDocument) -> list[str]:
    """Say what the instances of this home's farm cost, beside what its own orders did."""
    farm = report.farm
    if farm is None or not (farm.seats or farm.idle):
        return []
    least = "at least " if farm.is_at_least else ""
    mark = " notional" if farm.status is CostStatus.NOTIONAL else ""
    totals = " and ".join(f"{amount(t.amount, t.currency)} {t.tax}" for t in farm.totals)
    lines = [f"  Farm: {least}{totals or 'unpriced'}{mark}, {counted(len(farm.seats), 'instance')}"]
    for seat in farm.seats:
        known = seat.amount is not None and seat.currency is not None
        cost = amount(seat.amount, seat.currency) if known else "unpriced"  # type: ignore[arg-type]  # known
        day = "" if seat.per_day is None else f", {seat.per_day:.4f} {seat.currency} a day"
        gone = "" if seat.is_there else " (removed)"
        lines.append(f"    {seat.instance}, for {seat.owner}: {cost}{day}{gone}")
    lines += [
        f"    idle on {item.host}: {amount(item.amount, item.currency)} of it, {item.share:.0%}"
        for item in farm.idle
    ]
    return lines


def _margin(line: MarginDocument) -> str:
    bound = "at most " if line.is_upper_bound else ""
    share = "" if line.share is None else f", {line.share:.0%} of the price"
    return f"{bound}{amount(line.margin, line.currency)}{share}{_break_even(line.break_even)}"


def _break_even(factor: Decimal | None) -> str:
    if factor is None:
        return "; no price of models ends it"
    if factor <= 0:
        return "; k*: it does not pay at any price of models"
    return f"; k* = {factor:.2f}: it pays until models cost {factor:.2f} times as much"


def _breakdown(title: str, lines: Sequence[LineDocument]) -> list[str]:
    shown = lines[-MOST_LINES:] if title == "By day" else _largest(lines)
    rows = [
        (line.name, counted(line.calls, "call"), sums(line.sums), _accepted(line)) for line in shown
    ]
    left = len(lines) - len(shown)
    more = [f"    … and {left:,} more: --json has them all"] if left else []
    return ["", title, *_columns(rows), *more] if rows else []


def _largest(lines: Sequence[LineDocument]) -> list[LineDocument]:
    def cost(line: LineDocument) -> Decimal:
        return max((item.amount for item in line.sums), default=Decimal(0))

    return sorted(lines, key=lambda line: (-cost(line), line.name))[:MOST_LINES]


def _accepted(line: LineDocument) -> str:
    return "" if line.accepted is None else f"{line.accepted:,} accepted"


def _kinds(report: ReportDocument) -> list[str]:
    rows = [
        (
            line.kind,
            f"{line.accepted:,} accepted",
            f"earned {amount(line.revenue, line.currency)}",
            f"models {amount(line.cost, line.currency)}",
            "pays" if line.pays else "does not pay",
            "" if line.break_even is None else f"k* = {line.break_even:.2f}",
        )
        for line in report.kind_margins
    ]
    return ["", "What kinds of order earn", *_columns(rows)] if rows else []


def _curves(curves: Iterable[CurveDocument]) -> list[str]:
    lines = ["", "What the next order of a kind costs"]
    for curve in curves:
        if not curve.points:
            lines.append(f"    {curve.kind}: {curve.note}")
            continue
        last = curve.points[-1]
        lately = (
            f"lately {amount(last.mean, curve.currency)}, {last.accepted_share:.0%} accepted"
            f"{_cached(last.cached_share)}"
        )
        if curve.r_squared is None or curve.r_squared < Decimal("0.2"):
            lines.append(f"    {curve.kind}: {curve.note.rstrip('.')}; {lately}")
            continue
        lines.append(
            f"    {curve.kind}: {curve.floor} + {curve.extra} x n^-{curve.exponent} "
            f"{curve.currency} over {counted(curve.orders, 'order')} (explains "
            f"{curve.r_squared:.0%} of the scatter); {lately}"
        )
    return lines if len(lines) > 2 else []


def _cached(share: Decimal | None) -> str:
    return "" if share is None else f", {share:.0%} of the prompts from a cache"


def _exposure(report: ReportDocument) -> list[str]:
    lines: list[str] = []
    for item in report.exposure:
        factor = "nothing was paid for it"
        if item.factor is not None:
            factor = f"{item.factor:.2f} times what was paid"
        hhi = "" if item.concentration is None else f"; HHI {item.concentration:.2f}"
        lines += [
            "",
            f"At list price {amount(item.listed, item.currency)}, {factor}{hhi} (1: one provider)",
        ]
        lines += _columns(
            [
                (
                    line.provider,
                    "" if line.share is None else f"{line.share:.0%}",
                    amount(line.listed, item.currency),
                    f"paid {amount(line.paid, item.currency)}",
                )
                for line in item.providers
            ]
        )
    return lines


def shock_lines(shock: ShockDocument) -> list[str]:
    """Write what orders would have cost at other prices, and which then stop paying."""
    asked = ", ".join(f"{name} x {factor}" for name, factor in shock.factors.items())
    lines = [
        f"{shock.period.first} to {shock.period.last} (UTC) at other prices: {asked or 'as now'}"
    ]
    if not shock.totals:
        return [*lines, "  No order began in this period, so there is nothing to price again."]
    for title, rows in (
        ("All orders that began", shock.totals),
        ("By provider", shock.by_provider),
        ("By kind of order", shock.by_kind),
        ("Orders", shock.orders),
    ):
        lines += ["", title, *_columns([_shocked(row) for row in rows])]
    if shock.orders_left_out:
        lines.append(f"    … and {shock.orders_left_out:,} more: raise --limit")
    for kind in shock.kinds:
        lines.append(_kind_sentence(kind.kind, pays_now=kind.pays_now, pays_then=kind.pays_then))
    for margin in shock.margins:
        lines.append(f"  Margin of {margin.instance}: {_margin(margin)}")
    return [*lines, *_notes(shock.notes)]


def reprice_lines(found: RepricedDocument) -> list[str]:
    """Write what calls cost by the books of their day, and by another one."""
    span = f"{found.period.first} to {found.period.last} (UTC)"
    if not found.by_model:
        return [f"No call was answered from {span}, so there is nothing to price again."]
    lines = [f"{span} by the price book {found.book}"]
    for title, rows in (
        ("By model", found.by_model),
        ("By kind of order", found.by_kind),
        ("Orders", found.orders),
    ):
        lines += ["", title, *_columns([_repriced(row) for row in rows])]
    if found.orders_left_out:
        lines.append(f"    … and {found.orders_left_out:,} more: raise --limit")
    return lines


def _repriced(row: RepricedLineDocument) -> tuple[str, ...]:
    now, then = (
        f"{'at least ' if unpriced else ''}{amount(value, currency)}"
        for value, currency, unpriced in (
            (row.now, row.currency, row.unpriced_now),
            (row.then, row.currency_then, row.unpriced_then),
        )
    )
    times = "" if row.factor is None else f"x {row.factor:.2f}"
    return row.name, counted(row.calls, "call"), now, f"-> {then}", times


def _kind_sentence(kind: str, *, pays_now: bool, pays_then: bool) -> str:
    if pays_now and not pays_then:
        return f"  {kind} stops paying."
    if pays_then:
        return f"  {kind} {'still pays' if pays_now else 'then pays'}."
    return f"  {kind} does not pay now either."


def _shocked(row: ShockLineDocument) -> tuple[str, ...]:
    bound = "at least " if row.is_lower_bound else ""
    times = "" if row.factor is None else f"x {row.factor:.2f}"
    return (
        row.name,
        counted(row.orders, "order"),
        f"{bound}{amount(row.now, row.currency)}",
        f"-> {bound}{amount(row.then, row.currency)}",
        times,
    )


def _notes(notes: Sequence[str]) -> list[str]:
    return ["", *(f"Note: {note}" for note in notes)] if notes else []


def _columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Set rows in columns: the first to the left, the others to the right."""
    if not rows:
        return []
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    return [
        (
            f"    {row[0]:{widths[0]}}  "
            + "  ".join(f"{cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=True))
        ).rstrip()
        for row in rows
    ]
