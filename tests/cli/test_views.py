"""Amounts in words, exit codes, and the pictures of an order at work."""

import io
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from rich.console import Console

from swarm.cli.live import LiveView
from swarm.cli.report import exit_code, plan_lines
from swarm.cli.views import LinesView
from swarm.cli.wording import amount, brief_cost, cost, duration
from swarm.core.document import CostDocument, OrderDocument
from swarm.core.money import CostStatus

NOTHING = {"amount": "0", "currency": "USD", "status": "paid"}


def document(**changes: Any) -> OrderDocument:
    """Return an order with a plan of one task."""
    task = {
        "id": "t1",
        "role": "cto",
        "title": "[red]Build[/red]\x1b[31m",
        "brief": "",
        "depends_on": [],
        "deliverable": "page.html",
        "status": "planned",
        "attempts": 0,
        "review": None,
    }
    values: dict[str, Any] = {
        "id": "o1",
        "status": "working",
        "reason": None,
        "text": "x",
        "language": None,
        "goal": "A page.",
        "success_criteria": [],
        "questions": [],
        "plan": {"approach": "One task.", "revision": 0, "tasks": [task]},
        "baseline": None,
        "forecast": None,
        "artifacts": [],
        "workspace": "/w",
        "answer": None,
        "receipt": {
            "model_cost": {"amount": "0.5", "currency": "USD", "status": "paid"},
            "tokens": dict.fromkeys(
                ["input", "cache_read", "cache_write", "output", "reasoning"], 0
            ),
            "calls": 1,
            "unanswered_intents": 0,
            "wall_s": 0,
            "working_s": 0,
            "critical_path_s": 0,
            "founder_s": 0,
            "founder_rule": "",
        },
        "budget": {"amount": "2", "currency": "USD", "status": "paid"},
        "accepted_by": None,
        "signed_off_by": None,
        "created_at": datetime(2026, 1, 2, tzinfo=UTC),
        "delivered_at": None,
    }
    return OrderDocument.model_validate(values | changes)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("0", "0 USD"),
        ("0.0000000123", "0.0000000123 USD"),
        ("0.001239", "0.00124 USD"),
        ("0.9999", "1 USD"),
        ("1234.5", "1,234.50 USD"),
    ],
)
def test_an_amount_keeps_three_digits_and_is_never_a_false_zero(value: str, text: str) -> None:
    assert amount(Decimal(value), "USD") == text


@pytest.mark.parametrize(
    ("value", "status", "word", "brief"),
    [
        ("0", CostStatus.UNPRICED, "unpriced", "unpriced"),
        ("2", CostStatus.UNPRICED, "at least 2.00 USD", ">=2.00 USD"),
        ("2", CostStatus.NOTIONAL, "nothing is owed", "2.00 USD notional"),
        ("2", CostStatus.PAID, "2.00 USD", "2.00 USD"),
    ],
)
def test_a_cost_says_what_is_known_of_it(
    value: str, status: CostStatus, word: str, brief: str
) -> None:
    assert word in cost(CostDocument(amount=Decimal(value), currency="USD", status=status))
    assert brief_cost(Decimal(value), "USD", status) == brief


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.04, "0.0 s"), (61, "1 min 01 s"), (3725, "1 h 02 min")]
)
def test_a_duration_is_told_in_two_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        ("delivered", None, 0),
        ("accepted", None, 0),
        ("waiting", None, 3),
        ("failed", "work", 4),
        ("cancelled", "rejected", 4),
        ("parked", "limit", 5),
        ("parked", "provider", 5),
        ("parked", "config", 2),
        ("queued", None, 130),
        ("working", None, 130),
    ],
)
def test_every_standing_has_its_exit_code(status: str, kind: str | None, code: int) -> None:
    reason = {"kind": kind, "text": ""} if kind else None
    assert exit_code(document(status=status, reason=reason)) == code


def test_lines_tell_each_change_once(capsys: pytest.CaptureFixture[str]) -> None:
    view = LinesView()
    first = document()
    working = [{"role": "cto", "task": "t1", "since": "2026-01-02T03:04:05.000000Z"}]
    for shown, who in ((first, []), (first, []), (first, working), (first, working)):
        view.show(shown, who)
    view.close()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Order o1 is being worked on."
    assert lines[1 : 1 + len(plan_lines(first))][0] == "Goal: A page."
    assert sum(line.endswith(": working") for line in lines) == 1
    assert len(lines) == 2 + len(plan_lines(first))


def test_the_live_picture_shows_who_works_and_reads_no_markup() -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=120, color_system=None)
    view = LiveView(console)
    assert view.can_redraw
    working = [{"role": "ceo", "task": "t1", "since": "2026-01-02T03:04:05.000000Z"}]
    view.show(document(plan=None), [{**working[0], "task": ""}])
    view.show(document(), working)
    view.close()
    text = out.getvalue()
    assert "ceo thinks" in text
    assert "[red]Build[/red][31m" in text
    assert "0.5 USD" in text
    assert "of 2.00 USD" in text
    assert "\x1b[31m" not in text
    assert text.endswith(("\x1b[?25h", "\x1b[1A\x1b[2K", "\x1b[2K"))
