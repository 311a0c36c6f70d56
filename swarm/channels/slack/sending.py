"""One message on its way to Slack, with what is tried where the platform refuses it."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import structlog

from swarm.channels.attaching import Unsendable, content_of, instead
from swarm.channels.base import SendRefused
from swarm.channels.slack import errors
from swarm.channels.slack.formatting import FALLBACK_SIGNS, blocks, escaped
from swarm.core.message import OutboundMessage

if TYPE_CHECKING:
    from swarm.channels.slack.vendor import Line

log = structlog.get_logger("swarm.slack")

LARGE_BYTES = 50 * 1024 * 1024
"""Largest file of which the bytes are held in memory to be sent."""

Call = Callable[..., Awaitable[Any]]


class _GoneError(Exception):
    """Say that the message to edit is no longer there."""


class Sending:
    """One message on its way."""

    def __init__(self, line: "Line", message: OutboundMessage) -> None:
        self._line = line
        self._web = line.web
        self._message = message
        self._thread = message.thread_id

    async def text(self) -> str:
        """Send or edit the text and return its number."""
        message = self._message
        if message.edits is not None:
            with suppress(_GoneError):
                return await self._edit(message.edits)
        options = {"unfurl_links": False, "unfurl_media": False}
        sent = await self._try(self._web.chat_postMessage, options)
        return str(sent["ts"])

    async def _edit(self, ts: str) -> str:
        try:
            await self._try(self._web.chat_update, {"ts": ts}, is_edit=True)
        except Exception as error:
            if errors.is_gone(error):
                raise _GoneError from error
            raise
        return ts

    async def _try(self, call: Call, options: dict[str, Any], *, is_edit: bool = False) -> Any:
        """Make the call with marks, then plain, then outside a thread that is no more."""
        message = self._message
        ways = [message.markup, None] if message.markup is not None else [None]
        while True:
            where = {"channel": message.chat_id}
            if self._thread and not is_edit:
                where["thread_ts"] = self._thread
            try:
                return await call(
                    **where,
                    **options,
                    text=escaped(message.text)[:FALLBACK_SIGNS],
                    blocks=blocks(ways[0], message.text, message.buttons),
                )
            except Exception as error:
                if errors.is_bad_blocks(error) and len(ways) > 1:
                    log.warning("slack refused the marks; sent plain", reason=errors.code_of(error))
                    ways.pop(0)
                elif errors.is_thread_gone(error) and self._thread and not is_edit:
                    self._thread = None
                else:
                    raise

    async def document(self) -> str:
        """Send the file; one that cannot be sent is named with its place instead."""
        try:
            name, content = await content_of(
                self._message, at_most=LARGE_BYTES, for_what="to be sent"
            )
        except Unsendable as why:
            return await self._instead(str(why))
        try:
            return await self._upload(name, content)
        except Exception as error:
            is_forbidden = errors.code_of(error) == "missing_scope"
            ours = errors.translated(error)
            if is_forbidden:
                return await self._instead("was refused: the app lacks the scope files:write")
            if not isinstance(ours, SendRefused) or errors.code_of(error) == "channel_not_found":
                raise
            return await self._instead(f"was refused ({errors.code_of(error)})")

    async def _upload(self, name: str, content: bytes) -> str:
        place = await self._web.files_getUploadURLExternal(filename=name, length=len(content))
        file_id = str(place["file_id"])
        await self._line.upload(str(place["upload_url"]), content)
        # Only from here on does anybody see it.
        await self._web.files_completeUploadExternal(
            files=[{"id": file_id, "title": name}],
            channel_id=self._message.chat_id,
            thread_ts=self._thread,
        )
        return file_id

    async def _instead(self, why: str) -> str:
        self._message = instead(self._message, why)
        return await self.text()
