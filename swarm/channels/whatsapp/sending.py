"""One message on its way to WhatsApp, with what is tried where the platform refuses it."""

import mimetypes
from typing import TYPE_CHECKING

import structlog

from swarm.channels.attaching import Unsendable, content_of, instead
from swarm.channels.base import SendRefused
from swarm.channels.whatsapp import errors
from swarm.channels.whatsapp.formatting import choices
from swarm.core.message import OutboundMessage
from swarm.core.text import shorten

if TYPE_CHECKING:
    from swarm.channels.whatsapp.vendor import Line

log = structlog.get_logger("swarm.whatsapp")

MAX_UPLOAD_BYTES = 50 * 1024 * 1024
"""Largest file that is sent; its bytes are held in memory."""
CALL_SIGNS = 120
"""Longest word in a template on what waits."""
_OFFICE = "application/vnd.openxmlformats-officedocument"
_TAKEN = frozenset(
    {
        "application/msword", "application/pdf", "application/vnd.ms-excel",
        "application/vnd.ms-powerpoint", f"{_OFFICE}.presentationml.presentation",
        f"{_OFFICE}.spreadsheetml.sheet", f"{_OFFICE}.wordprocessingml.document", "text/plain",
        "image/jpeg", "image/png", "audio/aac", "audio/amr", "audio/mpeg", "audio/mp4", "audio/ogg",
        "video/3gpp", "video/mp4",
    }
)  # fmt: skip
"""Kinds of files that can be uploaded; Meta refuses all others."""


class Sending:
    """One message on its way."""

    def __init__(self, line: "Line", message: OutboundMessage) -> None:
        self._line = line
        self._message = message

    async def text(self) -> str:
        """Send the text and return its number."""
        message = self._message
        buttons = [button for row in message.buttons for button in row]
        body = message.markup if message.markup is not None else message.text
        return await self._line.text(
            message.chat_id, body, choices(buttons), reply_to=message.reply_to
        )

    async def document(self) -> str:
        """Send the file; one that cannot be sent is named with its place instead."""
        try:
            name, content = await content_of(
                self._message, at_most=MAX_UPLOAD_BYTES, for_what="for WhatsApp"
            )
        except Unsendable as why:
            return await self._instead(str(why))
        mime = kind_of(name, content)
        if mime is None:
            return await self._instead("is of a kind that WhatsApp does not take")
        try:
            return await self._line.document(self._message.chat_id, content, name, mime, "")
        except Exception as error:
            is_refused = isinstance(errors.translated(error), SendRefused)
            if not (is_refused and errors.is_media(error)):
                raise
            return await self._instead(f"was refused ({errors.code_of(error)})")

    async def _instead(self, why: str) -> str:
        self._message = instead(self._message, why)
        return await self.text()


def kind_of(name: str, content: bytes) -> str | None:
    """Return the kind under which a file can be sent: texts of any kind go as plain ones."""
    guessed, _ = mimetypes.guess_type(name)
    if guessed in _TAKEN:
        return guessed
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return None
    return None if b"\0" in content else "text/plain"


def called(message: OutboundMessage) -> str:
    """Return what waits, in one line: a template's place takes no line feeds and no long gaps."""
    first = next((line for line in message.text.splitlines() if line.strip()), message.text)
    plain = " ".join(first.replace("*", "").replace("`", "").split())
    return shorten(plain, CALL_SIGNS) or "…"
