"""Print a receipt on its own."""

from swarm.cli.markdown import markdown_lines
from swarm.cli.opened import opened
from swarm.cli.paper_lines import paper_lines
from swarm.cli.standing import terminal_signer
from swarm.cli.terminal import say, show_json
from swarm.core.errors import InvalidInput
from swarm.ledger.attention import ActionKind


def receipt(*, order_id: str, is_markdown: bool, as_json: bool) -> None:
    """Print one receipt in words, as Markdown or as a document.

    Raises:
        NotFound: No such order.
        InvalidInput: Two forms are asked for at once.
    """
    if is_markdown and as_json:
        raise InvalidInput("Take one of --markdown and --json.")
    with opened() as app:
        paper = app.documents.paper(order_id)
        if as_json:
            show_json(paper.model_dump(mode="json"))
            return
        say("\n".join(markdown_lines(paper) if is_markdown else paper_lines(paper)))
        # Reading a receipt is no work on the order: its minutes are the company's, not the order's.
        signer = terminal_signer(app.environment)
        app.office.look(order_id, ActionKind.BOOKS, signer=signer)
