"""Your word on an order: sign, refuse, answer, choose, accept, cancel, resume."""

from collections.abc import Callable

from swarm.app import App
from swarm.cli import exits
from swarm.cli.opened import opened
from swarm.cli.ordering import read_text, show_document, wait_and_report
from swarm.cli.report import status_line
from swarm.cli.standing import terminal_signer
from swarm.cli.terminal import say
from swarm.core.text import clean_text


def approve(*, target: str, digest: str, wait: bool, as_json: bool) -> int:
    """Sign what an order asks a signature for."""

    def act(app: App, by: str) -> str:
        signer = terminal_signer(app.environment)
        return app.office.approve(target, by=by, signer=signer, digest=digest or None)

    return _act(act, wait=wait, as_json=as_json)


def reject(*, target: str, reason: str, wait: bool, as_json: bool) -> int:
    """Send a plan or a result back."""

    def act(app: App, by: str) -> str:
        return app.office.reject(target, reason, by=by, signer=terminal_signer(app.environment))

    return _act(act, wait=wait, as_json=as_json)


def answer(*, target: str, text: str, wait: bool, as_json: bool) -> int:
    """Answer what is open."""
    said = read_text(text)

    def act(app: App, by: str) -> str:
        return app.office.answer(target, said, by=by, signer=terminal_signer(app.environment))

    return _act(act, wait=wait, as_json=as_json)


def choose(*, target: str, number: int, reason: str, wait: bool, as_json: bool) -> int:
    """Choose an option."""

    def act(app: App, by: str) -> str:
        signer = terminal_signer(app.environment)
        return app.office.choose(target, number, by=by, reason=reason, signer=signer)

    return _act(act, wait=wait, as_json=as_json)


def accept(*, order_id: str, sign: str, as_json: bool) -> int:
    """Take responsibility by name."""

    def act(app: App, by: str) -> str:
        name = clean_text(sign).strip()
        app.office.accept(order_id, by=by, sign=name, signer=terminal_signer(app.environment))
        return order_id

    return _act(act, wait=False, as_json=as_json)


def cancel(*, order_id: str, as_json: bool) -> int:
    """Stop an order."""

    def act(app: App, by: str) -> str:
        app.office.cancel(order_id, by=by, signer=terminal_signer(app.environment))
        return order_id

    return _act(act, wait=False, as_json=as_json)


def resume(*, order_id: str, wait: bool, as_json: bool) -> int:
    """Let an order go on."""

    def act(app: App, by: str) -> str:
        app.office.resume(order_id, signer=terminal_signer(app.environment))
        return order_id

    return _act(act, wait=wait, as_json=as_json)


def _act(act: Callable[[App, str], str], *, wait: bool, as_json: bool) -> int:
    """Do it in the name of this terminal's person, then show or wait for the order."""
    with opened() as app:
        order_id = act(app, app.environment.user)
        if wait:
            return wait_and_report(app, order_id, as_json=as_json)
        document = app.documents.order(order_id)
        if as_json:
            show_document(document)
            return exits.DONE
        say(status_line(document))
        if document.status.is_moving and not app.works_for:
            say(f"Nobody works yet: `swarm wait {order_id}` works it, or `swarm up`.")
        return exits.DONE
