"""Entities that Telegram finds by itself, and the cleaning of a text before it is stored."""

import re
from typing import Any

from tests.servers.telegram.calls import Call
from tests.servers.telegram.markdown import parse_markdown, parse_markdown_v2
from tests.servers.telegram.markup import Entity, Formatted, parse_html, units
from tests.servers.telegram.refusals import bad

MAX_TEXT = 4096
MAX_CAPTION = 1024
MAX_ENTITIES = 100
FOUND = (
    (
        "bot_command",
        re.compile(r"(?<![\w/<>])/[A-Za-z0-9_]{1,64}(?:@[A-Za-z0-9_]{3,32})?(?![\w/])"),
    ),
    ("url", re.compile(r"(?<![\w@.])(?:https?://|www\.)[^\s<>\"]+[^\s<>\".,;:!?)]")),
    ("email", re.compile(r"(?<![\w.+-])[\w.+-]+@[\w-]+(?:\.[\w-]+)+")),
    ("mention", re.compile(r"(?<![\w@/.])@[A-Za-z0-9_]{3,32}(?![\w@.])")),
    ("hashtag", re.compile(r"(?<![\w#&])#\w*[^\W\d]\w*")),
)
QUIET = ("code", "pre", "text_link")
CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")


def find_entities(text: str, given: list[Entity] | None = None) -> list[Entity]:
    """Return `given` with the commands, addresses, mentions and tags of the text added."""
    entities = list(given or ())
    taken = [(e["offset"], e["offset"] + e["length"]) for e in entities if e["type"] in QUIET]
    for kind, pattern in FOUND:
        for match in pattern.finditer(text):
            begin = units(text[: match.start()])
            end = begin + units(match.group())
            if all(end <= a or begin >= b for a, b in taken):
                taken.append((begin, end))
                entities.append({"type": kind, "offset": begin, "length": end - begin})
    return sorted(entities, key=lambda e: (e["offset"], -e["length"]))


def formatted(call: Call, name: str, *, entities: str, limit: int) -> Formatted:
    """Read a text parameter with its formatting, trimmed as Telegram trims it.

    Raises:
        Refusal: The markup can't be parsed, or what is left is longer than `limit` UTF-16 units.
    """
    made = parse(call.text(name), call.text("parse_mode"), call.document(entities))
    made = trimmed(made)
    if units(made.text) > limit:
        what = "message caption is too long" if "caption" in name else "message is too long"
        raise bad(what)
    made.entities = find_entities(made.text, made.entities)[:MAX_ENTITIES]
    return made


def parse(text: str, mode: str, entities: Any = None) -> Formatted:
    """Parse a text in one of Telegram's modes, or take its entities as given."""
    match mode.lower():
        case "":
            made = Formatted(text, [])
        case "html":
            return parse_html(text)
        case "markdownv2":
            return parse_markdown_v2(text)
        case "markdown":
            return parse_markdown(text)
        case _:
            raise bad("unsupported parse_mode")
    for entity in entities or ():
        _check_entity(entity, units(text))
        made.entities.append(dict(entity))
    return made


def trimmed(made: Formatted) -> Formatted:
    """Cut white space off both ends and move the entities with it."""
    text = CONTROL.sub(" ", made.text.replace("\r", ""))
    lead = units(text) - units(text.lstrip())
    text = text.strip()
    size = units(text)
    entities = []
    for entity in made.entities:
        begin = max(entity["offset"] - lead, 0)
        end = min(entity["offset"] + entity["length"] - lead, size)
        if end > begin:
            entities.append(entity | {"offset": begin, "length": end - begin})
    return Formatted(text, entities)


def _check_entity(entity: Any, size: int) -> None:
    if not isinstance(entity, dict) or not isinstance(entity.get("type"), str):
        raise bad("can't parse MessageEntity: type must be a string")
    offset, length = entity.get("offset", -1), entity.get("length", 0)
    if not 0 <= offset < offset + length <= size:
        raise bad(f"entity beginning at UTF-16 offset {offset} ends after the end of the text")
