"""What goes over the wire: arguments of calls, faults, and what Slack says of blocks."""

import json
from dataclasses import dataclass
from typing import Any, TypeAlias

from aiohttp import web

Document: TypeAlias = dict[str, Any]


class Refusal(Exception):
    """Say no as Slack does: with status 200 and a word."""

    def __init__(self, code: str, **more: Any) -> None:
        super().__init__(code)
        self.document: Document = {"ok": False, "error": code, **more}


@dataclass(slots=True)
class Fault:
    """What is to go wrong with a method."""

    method: str
    code: str = ""
    """Slack's word; the call has no effect."""
    status: int = 200
    retry_after: int | None = None
    body: str | None = None
    """Sent instead of JSON, as a proxy would."""
    cut: str = ""
    """`before` or `after` the effect the connection is dropped."""
    delay_s: float = 0.0
    times: int = 1
    skip: int = 0


@dataclass(frozen=True, slots=True)
class Call:
    """One call that was made."""

    method: str
    arguments: Document
    answer: Document
    at: float


async def arguments_of(request: web.Request) -> Document:
    """Return a call's arguments, from JSON, a form or the query."""
    found: Document = dict(request.query)
    kind = request.content_type
    if kind == "application/json":
        body = await request.json()
        if not isinstance(body, dict):
            raise Refusal("invalid_json")
        return found | body
    if request.method == "POST" and kind in (
        "application/x-www-form-urlencoded",
        "multipart/form-data",
    ):
        form = await request.post()
        found |= {key: value for key, value in form.items() if key != "token"}
    return found


SECTION = {"type", "text", "block_id", "fields", "accessory", "expand"}
ACTIONS = {"type", "elements", "block_id"}
BUTTON = {"type", "text", "action_id", "value", "style", "url", "confirm", "accessibility_label"}
TEXT = {"type", "text", "emoji", "verbatim"}


def check_blocks(blocks: Any) -> list[Document]:
    """Return the blocks of a message.

    Raises:
        Refusal: They are not as Slack wants them.
    """
    if isinstance(blocks, str):
        blocks = json.loads(blocks)
    if not isinstance(blocks, list):
        raise _bad("blocks must be a list")
    if len(blocks) > 50:
        raise _bad("no more than 50 items allowed [json-pointer:/blocks]")
    ids: set[str] = set()
    actions: set[str] = set()
    for number, block in enumerate(blocks):
        at = f"/blocks/{number}"
        if not isinstance(block, dict):
            raise _bad(f"must be an object [{at}]")
        _unique(block.get("block_id"), ids, at)
        if block.get("type") == "section":
            _only(block, SECTION, at)
            _text(block.get("text"), 3000, at, kinds=("mrkdwn", "plain_text"))
        elif block.get("type") == "actions":
            _only(block, ACTIONS, at)
            elements = block.get("elements")
            if not isinstance(elements, list) or not 1 <= len(elements) <= 25:
                raise _bad(f"1 to 25 elements [{at}/elements]")
            for index, element in enumerate(elements):
                _button(element, f"{at}/elements/{index}", actions)
        elif block.get("type") not in ("divider", "context", "header"):
            raise _bad(f"unsupported type: {block.get('type')} [{at}/type]")
    return [dict(block) for block in blocks]


def _button(button: Any, at: str, actions: set[str]) -> None:
    if not isinstance(button, dict) or button.get("type") != "button":
        raise _bad(f"unsupported element [{at}]")
    _only(button, BUTTON, at)
    _text(button.get("text"), 75, at, kinds=("plain_text",))
    _unique(button.get("action_id"), actions, at)
    if len(str(button.get("value", ""))) > 2000:
        raise _bad(f"value must be at most 2000 characters [{at}/value]")


def _text(text: Any, most: int, at: str, *, kinds: tuple[str, ...]) -> None:
    if not isinstance(text, dict) or text.get("type") not in kinds:
        raise _bad(f"unsupported text [{at}/text]")
    _only(text, TEXT, at)
    words = text.get("text")
    if not isinstance(words, str) or not words:
        raise _bad(f"must be more than 0 characters [{at}/text/text]")
    if len(words) > most:
        raise _bad(f"must be less than {most + 1} characters [{at}/text/text]")


def _unique(value: Any, known: set[str], at: str) -> None:
    if value is None:
        return
    if not isinstance(value, str) or len(value) > 255 or value in known:
        raise _bad(f"ids are unique and at most 255 characters [{at}]")
    known.add(value)


def _only(found: Document, known: set[str], at: str) -> None:
    for key in found.keys() - known:
        raise _bad(f"additional property: {key} [{at}]")


def _bad(why: str) -> Refusal:
    return Refusal("invalid_blocks", response_metadata={"messages": [f"[ERROR] {why}"]})
