"""One message on its way to Telegram, with what is tried where the platform refuses it."""

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import structlog

from swarm.channels.attaching import Unsendable, content_of, instead
from swarm.channels.base import SendRefused, ThreadGone
from swarm.channels.telegram import errors
from swarm.channels.telegram.formatting import CAPTION_UNITS, cut
from swarm.core.message import OutboundKind, OutboundMessage

if TYPE_CHECKING:
    from telegram import InlineKeyboardMarkup

    from swarm.channels.telegram.vendor import Line

log = structlog.get_logger("swarm.telegram")

MAX_UPLOAD_BYTES = 50 * 1024 * 1024
"""Largest file that the public server takes from a bot."""


class Sending:
    """One message on its way, with what is tried where the platform refuses it."""

    def __init__(self, line: "Line", message: OutboundMessage) -> None:
        self._bot = line.bot
        self._message = message
        self._where: dict[str, Any] = {
            "chat_id": message.chat_id,
            "message_thread_id": int(message.thread_id) if message.thread_id else None,
        }

    async def text(self) -> str:
        """Send or edit the text."""
        message = self._message
        if message.edits is not None:
            with suppress(_GoneError):
                return await self._edit(message.edits)
        options: dict[str, Any] = {
            "disable_notification": message.is_silent or message.kind is OutboundKind.PROGRESS,
            "reply_markup": _keyboard(message),
            "link_preview_options": _no_preview(),
            "reply_parameters": _reply(message),
        }
        try:
            sent = await self._try(self._bot.send_message, options)
        except Exception as error:
            moved = getattr(error, "new_chat_id", None)
            if moved is None:
                raise
            # A group that became a supergroup has a new id; the old one refuses for good.
            self._where["chat_id"] = moved
            sent = await self._try(self._bot.send_message, options)
        return str(sent.message_id)

    async def _edit(self, message_id: str) -> str:
        self._where = {"chat_id": self._message.chat_id, "message_id": int(message_id)}
        options = {
            "reply_markup": _keyboard(self._message),
            "link_preview_options": _no_preview(),
        }
        try:
            await self._try(self._bot.edit_message_text, options)
        except Exception as error:
            if errors.is_same_text(error):
                return message_id
            if errors.is_gone(error):
                self._where = {
                    "chat_id": self._message.chat_id,
                    "message_thread_id": _topic(self._message),
                }
                raise _GoneError from error
            raise
        return message_id

    async def _try(self, call: Any, options: dict[str, Any]) -> Any:
        """Make the call with markup, then plain.

        Raises:
            ThreadGone: The topic is no more.
        """
        texts = [{"text": self._message.text}]
        if self._message.markup is not None:
            texts.insert(0, {"text": self._message.markup, "parse_mode": "HTML"})
        while True:
            try:
                return await call(**self._where, **texts[0], **options)
            except Exception as error:
                if errors.is_bad_markup(error) and len(texts) > 1:
                    log.warning(
                        "telegram refused the markup; sent plain", reason=errors.reason(error)
                    )
                    texts.pop(0)
                elif errors.is_thread_gone(error) and self._where.get("message_thread_id"):
                    raise ThreadGone(errors.reason(error)) from error
                else:
                    raise

    async def document(self) -> str:
        """Send the file; one that cannot be sent is named with its place instead."""
        try:
            name, content = await content_of(
                self._message, at_most=MAX_UPLOAD_BYTES, for_what="for Telegram"
            )
        except Unsendable as why:
            return await self._instead(str(why))
        caption = cut(self._message.text, limit=CAPTION_UNITS)[0].plain
        try:
            sent = await self._bot.send_document(
                **self._where,
                document=content,
                filename=name,
                caption=caption,
                disable_notification=self._message.is_silent,
                reply_markup=_keyboard(self._message),
            )
        except Exception as error:
            ours = errors.translated(error)
            if errors.is_thread_gone(error) and self._where.get("message_thread_id"):
                raise ThreadGone(errors.reason(error)) from error
            if not isinstance(ours, SendRefused) or "chat not found" in str(error).lower():
                raise
            return await self._instead(f"was refused ({errors.reason(error)})")
        return str(sent.message_id)

    async def _instead(self, why: str) -> str:
        self._message = instead(self._message, why)
        return await self.text()


class _GoneError(Exception):
    """Say that the message to edit is no longer there."""


def _topic(message: OutboundMessage) -> int | None:
    return int(message.thread_id) if message.thread_id else None


def _keyboard(message: OutboundMessage) -> "InlineKeyboardMarkup | None":
    from telegram import InlineKeyboardButton, InlineKeyboardMarkup

    rows = [
        [InlineKeyboardButton(b.label[:64], callback_data=b.token) for b in row]
        for row in message.buttons
    ]
    return InlineKeyboardMarkup(rows) if rows else None


def _reply(message: OutboundMessage) -> Any:
    from telegram import ReplyParameters

    if message.reply_to is None:
        return None
    return ReplyParameters(int(message.reply_to), allow_sending_without_reply=True)


def _no_preview() -> Any:
    from telegram import LinkPreviewOptions

    return LinkPreviewOptions(is_disabled=True)
