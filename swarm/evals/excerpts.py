"""What an order needs of books that go on changing: prices of its models, tools of MCP servers.

A cassette carries these parts, so that it comes to the same costs after a model has left the price
book, and offers the same tools where no server is installed.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from swarm.app import App
from swarm.core.role import MCP_PREFIX
from swarm.evals.lanes import Entry
from swarm.evals.manifest import BookFacts, Manifest, McpFacts
from swarm.ledger.price_documents import read_book
from swarm.ledger.price_names import canonical, spellings
from swarm.ledger.prices import BOOK, PriceBook
from swarm.settings import Settings


def prices_of(app: App, calls: Iterable[Any], before: Sequence[BookFacts] = ()) -> list[BookFacts]:
    """Return of each price book in force the lines that an order's models may be priced by.

    That is every line under a name that one of the models may go by, whoever sells it, since what
    a bare name means depends on who else has it; and one line of each provider that was asked.

    Args:
        app: Where the order was worked.
        calls: Its rows of the ledger.
        before: Books of an older recording of the order; they win.
    """
    rows = list(calls)
    names = {row.model for row in rows} | {row.answered_model for row in rows}
    names |= {role.model for role in app.org.roles.values()}
    wanted = {canonical(name) for name in names if name} | {canonical(app.choice.model)}
    bare = {_bare(name) for model in wanted for name in spellings(model)}
    providers = {model.partition("/")[0] for model in wanted}
    folder = app.home / "prices"
    own = sorted(folder.glob("*.json")) if folder.is_dir() else []
    now = [_excerpt(*read_book(path), bare, providers) for path in (BOOK, *own)]
    kept = {book.id for book in before}
    return [*(book for book in now if book.id not in kept), *before]


def _bare(name: str) -> str:
    return name.partition("/")[2] or name


def _excerpt(
    document: Mapping[str, Any], id: str, bare: set[str], providers: set[str]
) -> BookFacts:
    aliases = {
        alias: target
        for alias, target in document.get("aliases", {}).items()
        if _bare(alias) in bare or alias in bare or _bare(target) in bare
    }
    targets = set(aliases.values())
    kept, seen = [], set()
    for row in document["prices"]:
        model = row["model"]
        provider = model.partition("/")[0]
        if _bare(model) in bare or model in targets or model in bare:
            kept.append(row)
        elif provider in providers and provider not in seen:
            seen.add(provider)
            kept.append(row)
    used = {row.get("source") for row in kept}
    sources = {name: value for name, value in document["sources"].items() if name in used}
    part = {key: document[key] for key in ("format", "date", "currency")}
    return BookFacts(
        id=id, document=part | {"sources": sources or {}, "aliases": aliases, "prices": kept}
    )


def price_book(
    books: Sequence[BookFacts], settings: Settings, *, has_all: bool = False
) -> PriceBook:
    """Return the price book that a cassette was recorded under.

    Args:
        books: Of the cassette.
        settings: Of the cassette; they hold the company's own prices.
        has_all: Lay it over the book in the package, for models that the cassette does not know.

    Raises:
        ValueError, KeyError, TypeError: The books in the cassette are none.
    """
    documents: list[tuple[Mapping[str, Any], str]] = [(b.document, b.id) for b in books]
    if has_all or not documents:
        documents.insert(0, read_book(BOOK))
    (first, id), *layers = documents
    return PriceBook(first, id=id, overrides=settings.prices, layers=layers)


def offered_mcp(app: App, requests: Iterable[Entry]) -> McpFacts:
    """Return the tools of MCP servers that requests offered, as they were approved."""
    offered = sorted(
        {
            tool["name"]
            for request in requests
            for tool in request.get("tools") or ()
            if tool["name"].startswith(MCP_PREFIX)
        }
    )
    if not offered:
        return McpFacts()
    servers = {}
    for name, server in app.settings.mcp.servers.items():
        if any(tool.startswith(f"{MCP_PREFIX}{name}_") for tool in offered):
            told = server.model_dump(mode="json", include={"effect", "destinations"})
            servers[name] = told
    lock: Entry = json.loads(app.mcp.pins.path.read_text(encoding="utf-8"))
    lock["servers"] = {name: value for name, value in lock["servers"].items() if name in servers}
    return McpFacts(servers=servers, lock=lock, offered=offered)


def mcp_settings(manifest: Manifest) -> Entry:
    """Return settings under which the recorded tools are offered; their command is never run."""
    return {
        "servers": {
            name: {**told, "command": ["recorded"]} for name, told in manifest.mcp.servers.items()
        }
    }
