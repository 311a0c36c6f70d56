"""A receipt as Markdown: every amount to its last digit, so that it can be added up again."""

import re
from collections.abc import Iterator, Sequence
from decimal import Decimal

from swarm.cli.paper_lines import against, founder_counts, people
from swarm.cli.wording import duration, over_budget, percent
from swarm.core.document import (
    CostDocument,
    PaperDocument,
    TotalDocument,
    TotalPartDocument,
)
from swarm.core.money import CostStatus, plain
from swarm.core.text import shorten

_SPECIAL = re.compile(r"([\\`*_\[\]<>|~#])")


def markdown_lines(paper: PaperDocument) -> list[str]:
    """Write a receipt as a Markdown page."""
    state = f"{paper.status.value}, ordered {paper.created_at:%Y-%m-%d %H:%M} UTC"
    if paper.delivered_at is not None:
        state += f", delivered {paper.delivered_at:%Y-%m-%d %H:%M} UTC"
    if paper.accepted_by is not None:
        state += f", accepted by {_plain(paper.accepted_by)}"
    lines = [f"# Receipt of order {paper.order}", "", f"> {_plain(shorten(paper.text, 200))}"]
    lines += ["", f"{state[0].upper()}{state[1:]}."]
    for part in (_total, _models, _tokens, _time, _people, _left_out):
        lines += ["", *part(paper)]
    if paper.as_of is not None:
        lines += [
            "",
            f"As of {paper.as_of:%Y-%m-%d %H:%M:%S} UTC: rows came after the order's end.",
        ]
    return lines


def _total(paper: PaperDocument) -> Iterator[str]:
    total = paper.total
    assert total is not None, "a receipt read from the books has a total"
    yield from _table(
        ["what", "amount", "status"],
        [
            *(_part(part, total.currency) for part in total.parts),
            ("**total**", f"**{_sum(total)}**", f"**{total.status.value}**"),
        ],
    )
    if total.notional:
        yield ""
        yield f"Of the total, {_money(total.notional, total.currency)} are notional: owed to nobody."
    if total.missing:
        yield ""
        yield "At least, because:"
        yield ""
        yield from (f"- {why}" for why in total.missing)


def _part(part: TotalPartDocument, currency: str) -> tuple[str, str, str]:
    original = _money(part.original.amount, part.original.currency)
    if part.amount is None:
        return part.name, f"({original}, kept apart)", part.status.value
    if part.rate is None:
        return part.name, original, part.status.value
    shown = f"{_money(part.amount, currency)} = {original} × {plain(part.rate)}"  # noqa: RUF001  # the sign people read
    return part.name, shown, part.status.value


def _sum(total: TotalDocument) -> str:
    text = _money(total.amount, total.currency)
    return f"at least {text}" if total.is_at_least else text


def _models(paper: PaperDocument) -> Iterator[str]:
    yield "## Model calls"
    yield ""
    yield from _table(
        ["role", "model", "calls", "cost"],
        [
            (
                line.role,
                _plain(line.model),
                f"{line.calls:,}",
                _cost(CostDocument(**line.model_dump(include={"amount", "currency", "status"}))),
            )
            for line in paper.by_role
        ],
    )
    found = paper.attempts
    if found is None:
        return
    yield ""
    yield from _table(
        ["went into", "calls", "cost", "share"],
        [
            ("first attempts", _first_calls(paper), _cost(found.first), ""),
            ("rework", f"{found.rework_calls:,}", _cost(found.rework), _share(found.rework_share)),
            (
                "failed attempts",
                f"{found.failed_calls:,}",
                _cost(found.failed),
                _share(found.failed_share),
            ),
        ],
    )


def _first_calls(paper: PaperDocument) -> str:
    found = paper.attempts
    again = found.rework_calls + found.failed_calls if found else 0
    return f"{paper.calls - again:,}"


def _tokens(paper: PaperDocument) -> Iterator[str]:
    yield "## Tokens"
    yield ""
    used = paper.tokens
    names = {
        "input": used.input,
        "read from cache": used.cache_read,
        "written to cache": used.cache_write,
        "written to cache for an hour": used.cache_write_1h,
        "audio": used.audio,
        "provider's tools": used.tool,
        "output": used.output,
        "of which reasoning": used.reasoning,
    }
    yield from _table(["bucket", "tokens"], [(name, f"{n:,}") for name, n in names.items()])


def _time(paper: PaperDocument) -> Iterator[str]:
    yield "## Time"
    yield ""
    rows = [
        ("on the clock", duration(paper.wall_s)),
        ("in model calls", duration(paper.working_s)),
        ("on the longest chain of calls", duration(paper.critical_path_s)),
    ]
    spent = paper.founder
    if spent is not None:
        rows.append(("the founder's", duration(float(spent.seconds))))
    yield from _table(["time", "how long"], rows)
    if spent is None:
        return
    yield ""
    yield f"The founder: {founder_counts(spent)}. Counted: {spent.rule}."
    if spent.amount is not None and spent.rate_per_hour is not None:
        yield (
            f"{plain(spent.seconds)} s at {_money(spent.rate_per_hour, spent.currency)} an hour are "
            f"{_money(spent.amount, spent.currency)}."
        )
    yield from spent.flags
    week = paper.week
    if week.is_over and week.limit_seconds is not None:
        yield over_budget(week.start, week.seconds, week.limit_seconds)


def _people(paper: PaperDocument) -> Iterator[str]:
    yield "## Against people"
    yield ""
    if paper.baseline is None:
        yield paper.ratio_note
        return
    yield f"A human team, estimated before the work: {people(paper.baseline)}."
    yield f"Cost against that: {against(paper).rstrip('.')}."


def _left_out(paper: PaperDocument) -> Iterator[str]:
    yield "## Not counted"
    yield ""
    yield from (f"- {text}" for text in paper.left_out)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"| {' | '.join('---' for _ in head)} |"
    yield from (f"| {' | '.join(row)} |" for row in rows)


def _cost(cost: CostDocument) -> str:
    if cost.status is CostStatus.UNPRICED and not cost.amount:
        return "unpriced"
    text = _money(cost.amount, cost.currency)
    if cost.status is CostStatus.UNPRICED:
        return f"at least {text}"
    return f"{text} notional" if cost.status is CostStatus.NOTIONAL else text


def _share(share: Decimal | None) -> str:
    return "" if share is None else percent(share)


def _money(value: Decimal, currency: str) -> str:
    return f"{plain(value)} {currency}"


def _plain(text: str) -> str:
    """Write a text so that Markdown shows it and does nothing else with it."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))
