"""What the Cloud API takes, and how it says no."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

Document: TypeAlias = dict[str, Any]
Unknown: TypeAlias = Callable[[str], None]
"""Told of each key that the API does not know."""

MEDIA = {
    "application/msword", "application/pdf", "application/vnd.ms-excel",
    "application/vnd.ms-powerpoint",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document", "text/plain",
    "image/jpeg", "image/png", "image/webp", "audio/aac", "audio/amr", "audio/mpeg", "audio/mp4",
    "audio/ogg", "audio/opus", "video/3gpp", "video/mp4",
}  # fmt: skip
MESSAGE = {
    "messaging_product", "recipient_type", "to", "recipient", "type", "context",
    "biz_opaque_callback_data",
}  # fmt: skip


class Refusal(Exception):
    """Say no as the Graph API does."""

    def __init__(self, code: int, message: str, *, status: int = 400, details: str = "") -> None:
        super().__init__(message)
        self.status = status
        error: Document = {"message": f"(#{code}) {message}", "type": "OAuthException"}
        error |= {"code": code, "fbtrace_id": "AbCdEf"}
        if details:
            error["error_data"] = {"messaging_product": "whatsapp", "details": details}
        self.document: Document = {"error": error}


@dataclass(slots=True)
class Fault:
    """What is to go wrong with sending."""

    code: int = 0
    status: int = 400
    body: str | None = None
    """Sent instead of JSON, as a proxy would."""
    cut: str = ""
    """`before` or `after` the effect the connection is dropped."""
    times: int = 1
    kind: str = "messages"


def bad(what: str) -> Refusal:
    """Return the refusal of a parameter."""
    return Refusal(100, f"Invalid parameter: {what}", details=what)


def check(document: Document, unknown: Unknown) -> str:
    """Return the type of a message.

    Raises:
        Refusal: It is not as the API wants it.
    """
    if document.get("messaging_product") != "whatsapp":
        raise bad("The parameter messaging_product is required.")
    kind = document.get("type", "text")
    _only(document, MESSAGE | {kind}, unknown, "message")
    if document.get("recipient_type", "individual") != "individual":
        raise bad("recipient_type must be individual")
    if not document.get("to") and not document.get("recipient"):
        raise Refusal(131008, "Required parameter is missing", details="to")
    content = document.get(kind)
    if not isinstance(content, dict):
        raise Refusal(131008, "Required parameter is missing", details=str(kind))
    checks = {
        "text": _text,
        "interactive": _interactive,
        "document": _document,
        "template": _template,
    }
    if kind not in checks:
        raise Refusal(131051, "Unsupported message type")
    checks[kind](content, unknown)
    return str(kind)


def _text(content: Document, unknown: Unknown) -> None:
    _only(content, {"body", "preview_url"}, unknown, "text")
    _words(content.get("body"), 4096, "text['body']")


def _document(content: Document, unknown: Unknown) -> None:
    _only(content, {"id", "link", "caption", "filename"}, unknown, "document")
    if bool(content.get("id")) == bool(content.get("link")):
        raise bad("exactly one of id and link")
    if "caption" in content:
        _words(content["caption"], 1024, "document['caption']")


def _template(content: Document, unknown: Unknown) -> None:
    _only(content, {"name", "language", "components"}, unknown, "template")
    for component in content.get("components", []):
        for parameter in component.get("parameters", []):
            text = parameter.get("text", "")
            if any(sign in text for sign in ("\n", "\t", "    ")) or not text:
                raise Refusal(132018, "There is an issue with the template's parameters")


def _interactive(content: Document, unknown: Unknown) -> None:
    _only(content, {"type", "body", "action", "header", "footer"}, unknown, "interactive")
    body = content.get("body")
    _words(body.get("text") if isinstance(body, dict) else None, 1024, "interactive['body']")
    action = content.get("action")
    if not isinstance(action, dict):
        raise bad("interactive['action'] is required")
    if content.get("type") == "button":
        _only(action, {"buttons"}, unknown, "action")
        _buttons(action.get("buttons"))
    elif content.get("type") == "list":
        _only(action, {"button", "sections"}, unknown, "action")
        _words(action.get("button"), 20, "action['button']")
        _rows(action.get("sections"), unknown)
    else:
        raise bad("interactive['type']")


def _buttons(buttons: Any) -> None:
    if not isinstance(buttons, list) or not 1 <= len(buttons) <= 3:
        raise bad("Invalid buttons count. Min allowed buttons: 1, Max allowed buttons: 3")
    titles = set()
    for button in buttons:
        reply = button.get("reply") if isinstance(button, dict) else None
        if not isinstance(reply, dict) or button.get("type") != "reply":
            raise bad("a button is {type: reply, reply: {id, title}}")
        _words(reply.get("id"), 256, "button id")
        _words(reply.get("title"), 20, "button title")
        titles.add(reply["title"])
    if len(titles) != len(buttons):
        raise bad("duplicated title is not allowed")


def _rows(sections: Any, unknown: Unknown) -> None:
    if not isinstance(sections, list) or not 1 <= len(sections) <= 10:
        raise bad("1 to 10 sections")
    rows = [row for section in sections for row in section.get("rows", [])]
    if not 1 <= len(rows) <= 10:
        raise bad("Total row count exceed max allowed count: 10")
    for section in sections:
        _only(section, {"title", "rows"}, unknown, "section")
        _words(section.get("title"), 24, "section title")
    for row in rows:
        _only(row, {"id", "title", "description"}, unknown, "row")
        _words(row.get("id"), 200, "row id")
        _words(row.get("title"), 24, "row title")
        if "description" in row:
            _words(row["description"], 72, "row description")
    if len({row["id"] for row in rows}) != len(rows):
        raise bad("duplicated row id is not allowed")


def _words(text: Any, most: int, what: str) -> None:
    if not isinstance(text, str) or not text.strip():
        raise bad(f"Param {what} must be a non-empty string")
    if len(text) > most:
        raise bad(f"Param {what} must be at most {most} characters long.")


def _only(found: Document, known: set[str], unknown: Unknown, what: str) -> None:
    for key in found.keys() - known:
        unknown(f"{what}: an unknown key: {key}")
