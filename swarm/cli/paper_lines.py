"""A receipt in words, for a terminal."""

from collections.abc import Iterator
from decimal import Decimal

from swarm.cli.wording import (
    amount,
    band,
    brief_cost,
    cost,
    counted,
    duration,
    expected,
    hours,
    over_budget,
    percent,
)
from swarm.core.document import (
    BaselineDocument,
    CostDocument,
    ForecastDocument,
    FounderDocument,
    PaperDocument,
    ReceiptDocument,
    TokensDocument,
    TotalDocument,
    TotalPartDocument,
)


def paper_lines(paper: PaperDocument) -> list[str]:
    """Write a receipt that stands alone."""
    lines = receipt_lines(
        paper, forecast=paper.forecast, budget=paper.budget, baseline=paper.baseline
    )
    week = paper.week
    if week.is_over and week.limit_seconds is not None:
        lines.append(f"  {over_budget(week.start, week.seconds, week.limit_seconds)}")
    return [f"Receipt of order {paper.order} ({paper.status.value})", *lines[1:]]


def receipt_lines(
    paper: ReceiptDocument,
    *,
    forecast: ForecastDocument | None,
    budget: CostDocument | None,
    baseline: BaselineDocument | None,
) -> list[str]:
    """Write what an order cost: money by source and role, time of machines and of the founder."""
    lines = ["Receipt"]
    if paper.total is not None:
        lines += _total(paper.total)
    lines += [f"  Model cost: {cost(paper.model_cost, calls=paper.calls)}", *_roles(paper)]
    lines += [*_attempts(paper), *_tokens(paper.tokens)]
    lines.append(f"  Model calls: {paper.calls}{_unanswered(paper)}")
    lines += _hosting(paper)
    lines.append(
        f"  Time: {duration(paper.wall_s)} on the clock, {duration(paper.working_s)} in model "
        f"calls, {duration(paper.critical_path_s)} on the longest chain"
    )
    lines += _founder(paper)
    lines += _comparison(paper, forecast, budget, baseline)
    lines += _listed("Not counted", paper.left_out)
    if paper.as_of is not None:
        lines.append(
            f"  As of {paper.as_of:%Y-%m-%d %H:%M:%S} UTC: rows came after the order's end."
        )
    return lines


def _listed(head: str, texts: list[str]) -> list[str]:
    return [f"  {head}:", *(f"    {text}" for text in texts)] if texts else []


def _total(total: TotalDocument) -> Iterator[str]:
    yield f"  Total: {total_text(total)}"
    rows = [(part.name, _part(part, total.currency)) for part in total.parts]
    width = max((len(name) for name, _ in rows), default=0)
    for name, text in rows:
        yield f"    {name:{width}}  {text}"
    yield from (f"    at least, since: {why}" for why in total.missing)


def total_text(total: TotalDocument) -> str:
    """Write a total: a bound where something is missing, and how much of it nobody is owed."""
    if total.is_at_least and not total.amount:
        return "unknown: nothing of it has a known price"
    text = amount(total.amount, total.currency)
    bound = f"at least {text}" if total.is_at_least else text
    if not total.notional:
        return bound
    return f"{bound}, of which {amount(total.notional, total.currency)} notional: owed to nobody"


def _part(part: TotalPartDocument, currency: str) -> str:
    original = brief_cost(part.original.amount, part.original.currency, part.status)
    if part.amount is None:
        return f"{original}, kept apart"
    if part.rate is None:
        return original
    return f"{brief_cost(part.amount, currency, part.status)} ({original} at {part.rate:f})"


def _roles(paper: ReceiptDocument) -> list[str]:
    rows = [
        (
            line.role,
            counted(line.calls, "call"),
            brief_cost(line.amount, line.currency, line.status),
            line.model,
        )
        for line in paper.by_role
    ]
    if not rows:
        return []
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return [
        f"    {role:{widths[0]}}  {calls:>{widths[1]}}  {spent:>{widths[2]}}  {model}"
        for role, calls, spent, model in rows
    ]


def _attempts(paper: ReceiptDocument) -> Iterator[str]:
    """Say what went into doing things again, where anything did."""
    found = paper.attempts
    if found is None or not (found.failed_calls or found.rework_calls):
        return
    for name, spent, calls, share in (
        ("done again", found.rework, found.rework_calls, found.rework_share),
        ("of failed attempts", found.failed, found.failed_calls, found.failed_share),
    ):
        if calls:
            part = f", {percent(share)} of the model cost" if share is not None else ""
            text = brief_cost(spent.amount, spent.currency, spent.status)
            yield f"    {counted(calls, 'call')} {name}: {text}{part}"


def _tokens(used: TokensDocument) -> Iterator[str]:
    more = "".join(
        f", {count:,} {words}"
        for count, words in (
            (used.cache_write_1h, "written to cache for an hour"),
            (used.audio, "of audio"),
            (used.tool, "read by the provider's tools"),
        )
        if count
    )
    yield (
        f"  Tokens: {used.input:,} in, {used.cache_read:,} read from cache, "
        f"{used.cache_write:,} written to cache{more}, {used.output:,} out "
        f"({used.reasoning:,} of them reasoning)"
    )


def _unanswered(paper: ReceiptDocument) -> str:
    if not paper.unanswered_intents:
        return ""
    return f", {paper.unanswered_intents} without an answer: the provider may have billed them"


def _hosting(paper: ReceiptDocument) -> Iterator[str]:
    share = paper.hosting
    if share is None or (share.direct is None and share.full is None):
        return
    direct, full = (_worth(value, share.currency) for value in (share.direct, share.full))
    note = f" ({share.note})" if share.note else ""
    yield f"  Machine: {direct} at work, {full} with its share of the idle time{note}"


def _worth(value: Decimal | None, currency: str) -> str:
    return "unpriced" if value is None else amount(value, currency)


def _founder(paper: ReceiptDocument) -> Iterator[str]:
    spent = paper.founder
    if spent is None:
        yield f"  Your time: {duration(paper.founder_s)} ({paper.founder_rule})"
        return
    worth = ""
    if spent.amount is not None and spent.rate_per_hour is not None:
        rate = amount(spent.rate_per_hour, spent.currency)
        worth = f", worth {amount(spent.amount, spent.currency)} at {rate} an hour"
    yield f"  Your time: {duration(float(spent.seconds))}{worth} ({spent.rule})"
    yield f"    {founder_counts(spent)}"
    yield from (f"    {flag}" for flag in spent.flags)


def founder_counts(spent: FounderDocument) -> str:
    """Write how often the founder had to do with an order, and what came of it."""
    touches = "touch" if spent.touches == 1 else "touches"
    text = f"{spent.touches} {touches}, {counted(spent.decisions, 'decision')}"
    if spent.options_shown:
        text += f", {counted(spent.options_shown, 'option')} shown"
    if spent.options_refused:
        text += f", {spent.options_refused} refused"
    if spent.reversals:
        text += f", {counted(spent.reversals, 'reversal')} after delivery or signature"
    if spent.corrections:
        measured = duration(float(spent.measured_seconds))
        text += f"; {counted(spent.corrections, 'correction')} by you, measured {measured}"
    return text


def _comparison(
    paper: ReceiptDocument,
    forecast: ForecastDocument | None,
    budget: CostDocument | None,
    baseline: BaselineDocument | None,
) -> Iterator[str]:
    """Hold the cost against what was expected, and against people."""
    if forecast is not None:
        verdict = _verdict(forecast, paper.model_cost.amount)
        yield f"  Forecast: {expected(forecast)}{verdict}"
    if budget is not None:
        yield f"  Budget: {amount(budget.amount, budget.currency)}"
    if baseline is not None:
        yield f"  A human team: {people(baseline)} (estimated before the work)"
        yield f"  Against that: {against(paper)}"


def people(baseline: BaselineDocument) -> str:
    """Write what people would have needed: effort, elapsed time and money, each a band."""
    text = f"{hours(baseline.hours)} hours"
    if baseline.elapsed is not None:
        text += f" of work over {hours(baseline.elapsed)} hours by the calendar"
    own = baseline.own_cases
    whose = f"; borrowed, n = {own} of your own" if baseline.reference_cases and own < 30 else ""
    return f"{text}, {band(baseline.cost)}{whose}"


def against(paper: ReceiptDocument) -> str:
    """Write the ratio as a band, or why there is none."""
    found = paper.ratio
    if found is None:
        return paper.ratio_note
    if not found.is_at_most:
        return found.words
    return f"at most {found.words}, since the total is a lower bound"


def _verdict(forecast: ForecastDocument, spent: Decimal) -> str:
    if forecast.low is None or forecast.high is None:
        return ""
    if spent < forecast.low:
        return "; it took less"
    return "; it took more" if spent > forecast.high else "; it was kept"
