"""Run the checks and say what helps."""

from collections.abc import Callable, Iterable
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from swarm.app import App, build
from swarm.cli import exits
from swarm.cli.checks import Finding, Level, checks_of_books, checks_of_machine
from swarm.cli.logs import kept_in
from swarm.cli.terminal import say, show_json
from swarm.cli.trial import ask_model
from swarm.core.errors import SwarmError
from swarm.settings import load

Check = Callable[[App], Iterable[Finding]]


def doctor(*, ask: bool, as_json: bool) -> int:
    """Check everything there is to check; a check that fails does not keep others from running.

    Raises:
        ConfigError: The settings themselves cannot be read.
    """
    app = build(load())
    try:
        with kept_in(app.home):
            findings = list(_examine(app, ask=ask))
    finally:
        app.close()
    problems = sum(finding.level is Level.PROBLEM for finding in findings)
    if as_json:
        show_json({"findings": [_entry(f) for f in findings], "problems": problems})
    else:
        say("\n".join(_line(finding) for finding in findings))
    return exits.USAGE if problems else exits.DONE


def _examine(app: App, *, ask: bool) -> Iterable[Finding]:
    for name, check in checks_of_machine().items():
        yield from _checked(app, name, check)
    try:
        app.check()
    except (SwarmError, SQLAlchemyError) as error:
        yield Finding("company", Level.PROBLEM, _first_line(error))
        return
    yield Finding("company", Level.OK, f"in {app.home}, its schema is this version's")
    for name, check in checks_of_books().items():
        yield from _checked(app, name, check)
    if ask:
        yield from _checked(app, "answer", ask_model)


def _checked(app: App, name: str, check: Check) -> list[Finding]:
    try:
        return list(check(app))
    except (SwarmError, SQLAlchemyError, OSError) as error:
        return [Finding(name, Level.PROBLEM, _first_line(error))]


def _first_line(error: Exception) -> str:
    return str(getattr(error, "orig", None) or error).strip() or type(error).__name__


def _entry(finding: Finding) -> dict[str, Any]:
    return {
        "name": finding.name,
        "level": finding.level.value,
        "text": finding.text,
        "remedy": finding.remedy,
    }


def _line(finding: Finding) -> str:
    remedy = f" -> {finding.remedy}" if finding.remedy else ""
    return f"{finding.level.value:8} {finding.name}: {finding.text}{remedy}"
