"""Write a report as one HTML file that asks no network for anything."""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from html import escape

from swarm.core.money import CostStatus
from swarm.core.text import clean_text
from swarm.ledger.charts import svg
from swarm.ledger.charts.plots import Plot, money
from swarm.ledger.reports.document import LineDocument, ReportDocument, SumDocument

# Nothing may be fetched, run or sent, even if a name in the ledger were to smuggle in a tag.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
STYLE = (
    ":root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;"
    "margin:0 auto;padding:1rem;background:#fff;color:#1b1f24}h1{font-size:1.5rem}"
    "h2{font-size:1.15rem;margin-top:2rem}svg{width:100%;height:auto}"
    ".wide{overflow-x:auto}table{border-collapse:collapse;width:100%}"
    "th,td{padding:.3rem .6rem;border-bottom:1px solid #8884;text-align:right;white-space:nowrap}"
    "th:first-child,td:first-child{text-align:left}caption{text-align:left;font-weight:600}"
    ".key{display:grid;grid-template-columns:repeat(auto-fit,minmax(11rem,1fr));gap:.8rem;padding:0}"
    ".key li{list-style:none;border:1px solid #8884;border-radius:.5rem;padding:.6rem .8rem}"
    ".key b{display:block;font-size:1.2rem}"
    "@media(prefers-color-scheme:dark){body{background:#14171a;color:#e6e8eb}}"
)


def page(report: ReportDocument, plots: Sequence[Plot]) -> str:
    """Return the report as a whole HTML document, readable on a phone, in light and dark."""
    period = f"{report.period.first} to {report.period.last}"
    title = f"{report.company}: {period}"
    parts = [f"<h1>{_text(title)}</h1>", f"<p>{_text(_opening(report))}</p>"]
    if not report.is_empty:
        parts += [_keys(report), *map(_figure, plots)]
        for caption, lines in (
            ("By kind of order", report.by_kind),
            ("By role", report.by_role),
            ("By model", report.by_model),
            ("By day", report.by_day),
        ):
            parts.append(_lines(caption, lines))
        parts += [_exposure(report), _margins(report)]
    parts.append(_notes(report.notes))
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(POLICY)}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{_text(title)}</title><style>{STYLE}{svg.STYLE}</style></head>"
        f"<body><main>{''.join(parts)}</main></body></html>\n"
    )


def _opening(report: ReportDocument) -> str:
    days = f"{report.period.days} days, {report.period.first} to {report.period.last} (UTC)"
    if report.is_empty:
        return f"Nothing was ordered and no model was asked: {days}."
    return f"{days}. {report.calls:,} model calls, {report.orders.accepted:,} accepted orders."


def _keys(report: ReportDocument) -> str:
    items = [
        (
            f"Per accepted order ({unit.currency})",
            _bound(unit.amount, unit.currency, unit.is_lower_bound),
        )
        for unit in report.per_accepted_order
    ]
    items += [(f"Model cost ({line.currency})", _sum(line)) for line in report.models]
    for name, part in (("Done again", report.rework), ("Failed attempts", report.failed_attempts)):
        items += [
            (f"{name} ({line.currency})", _percent(line.share)) for line in part.share if line.share
        ]
    items += [
        (f"Margin, {line.instance}", money(line.margin, line.currency)) for line in report.margins
    ]
    items += [
        (f"k*, {line.instance}", f"{line.break_even:.2f} times")
        for line in report.margins
        if line.break_even is not None
    ]
    if report.founder is not None:
        items.append(("Your time", f"{report.founder.seconds / 60:.0f} min"))
        items.append(("Decisions", f"{report.founder.decisions:,}"))
    cells = "".join(f"<li>{_text(name)}<b>{_text(value)}</b></li>" for name, value in items)
    return f'<ul class="key">{cells}</ul>'


def _figure(plot: Plot) -> str:
    return f"<section><h2>{_text(plot.title)}</h2>{plot.drawing}</section>"


def _lines(caption: str, lines: Sequence[LineDocument]) -> str:
    has_accepted = any(line.accepted is not None for line in lines)
    rows = [
        [
            line.name,
            f"{line.calls:,}",
            f"{line.prompt_tokens:,}",
            f"{line.output_tokens:,}",
            " and ".join(map(_sum, line.sums)) or "0",
            *([f"{line.accepted or 0:,}"] if has_accepted else []),
        ]
        for line in lines
    ]
    heads = ["", "Calls", "Tokens in", "Tokens out", "Cost"]
    if has_accepted:
        heads.append("Accepted")
    return _table(caption, heads, rows)


def _exposure(report: ReportDocument) -> str:
    rows = [
        (
            f"{line.provider}",
            money(line.listed, item.currency),
            money(line.paid, item.currency),
            _percent(line.share),
            "" if line.factor is None else f"{line.factor:.2f}",
        )
        for item in report.exposure
        for line in item.providers
    ]
    heads = ("Provider", "At list price", "Paid", "Share", "List over paid")
    return _table("Subsidy exposure", heads, rows) if rows else ""


def _margins(report: ReportDocument) -> str:
    rows = [
        (
            line.instance,
            money(line.revenue, line.currency),
            money(line.cost, line.currency),
            money(line.margin, line.currency),
            "" if line.break_even is None else f"{line.break_even:.2f}",
        )
        for line in report.margins
    ]
    heads = ("Instance", "Revenue", "Cost", "Margin", "k*")
    return _table("Margin", heads, rows) if rows else ""


def _table(caption: str, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f'<th scope="col">{_text(name)}</th>' for name in heads)
    body = "".join(
        "<tr>"
        + f'<th scope="row">{_text(row[0])}</th>'
        + "".join(f"<td>{_text(cell)}</td>" for cell in row[1:])
        + "</tr>"
        for row in rows
    )
    return (
        f'<div class="wide"><table><caption>{_text(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _notes(notes: Sequence[str]) -> str:
    if not notes:
        return ""
    items = "".join(f"<li>{_text(note)}</li>" for note in notes)
    return f"<h2>What these numbers leave out</h2><ul>{items}</ul>"


def _sum(line: SumDocument) -> str:
    if line.status is CostStatus.UNPRICED:
        return f"at least {money(line.amount, line.currency)}" if line.amount else "unpriced"
    mark = " notional" if line.status is CostStatus.NOTIONAL else ""
    return money(line.amount, line.currency) + mark


def _bound(amount: Decimal, currency: str, is_bound: bool) -> str:
    return f"{'at least ' if is_bound else ''}{money(amount, currency)}"


def _percent(share: Decimal | None) -> str:
    return "" if share is None else f"{share:.1%}"


def _text(text: str) -> str:
    return escape(clean_text(text), quote=True)
