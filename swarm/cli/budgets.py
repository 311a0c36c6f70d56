"""Show and set what may be spent."""

from decimal import Decimal
from typing import Any

from swarm.app import App
from swarm.cli.opened import opened
from swarm.cli.ordering import read_amount
from swarm.cli.standing import terminal_signer
from swarm.cli.terminal import say, show_json
from swarm.cli.wording import amount as worded
from swarm.core.errors import NotFound
from swarm.core.money import plain
from swarm.ledger.budget import COMPANY, Budget, day_scope, find, month_scope, order_scope


def budget(*, target: str | None, amount: str | None, as_json: bool) -> None:
    """Show the company's budgets, show one, or set its limit.

    Raises:
        NotFound, InvalidInput: Nothing was changed.
    """
    with opened() as app:
        resumed: list[str] = []
        if target is not None and amount is not None:
            limit = None if amount.lower() == "none" else read_amount(amount)
            signer = terminal_signer(app.environment)
            resumed = app.office.set_budget(target, limit, signer=signer)
        found = _budgets(app) if target is None else [_budget(app, target)]
        if as_json:
            shown = [_entry(item) for item in found]
            show_json(shown if target is None else {**shown[0], "resumed": resumed})
            return
        say("\n".join(_line(item) for item in found))
        if resumed:
            hint = "" if app.works_for else "; nobody works yet: `swarm up`"
            say(f"Going on: {', '.join(resumed)}{hint}.")


def _budgets(app: App) -> list[Budget]:
    """Return the company's budget, this month's and today's, also before anything was spent."""
    known = {item.scope: item for item in app.office.budgets()}
    rules = app.settings.budget
    now = app.clock.now()
    limits = {COMPANY: rules.company, month_scope(now): rules.month, day_scope(now): rules.day}
    return [known.get(scope) or _unused(app, scope, limit) for scope, limit in limits.items()]


def _budget(app: App, target: str) -> Budget:
    fixed = {"company": 0, "month": 1, "day": 2}
    if target in fixed:
        return _budgets(app)[fixed[target]]
    document = app.documents.order(target)
    found = app.store.read(lambda c: find(c, order_scope(document.id)))
    if found is None:
        raise NotFound(f"Order {target} has no budget.")
    return found


def _unused(app: App, scope: str, limit: Decimal | None) -> Budget:
    nothing = Decimal(0)
    return Budget(scope, limit, nothing, nothing, app.settings.currency)


def _entry(item: Budget) -> dict[str, Any]:
    return {
        "scope": item.scope,
        "limit": None if item.limit is None else plain(item.limit),
        "spent": plain(item.spent),
        "reserved": plain(item.reserved),
        "currency": item.currency,
    }


def _line(item: Budget) -> str:
    limit = "no limit" if item.limit is None else f"limit {worded(item.limit, item.currency)}"
    spent = f"spent {worded(item.spent, item.currency)}"
    held = f", held for calls under way {worded(item.reserved, item.currency)}"
    return f"{item.scope}: {limit}, {spent}{held if item.reserved else ''}"
