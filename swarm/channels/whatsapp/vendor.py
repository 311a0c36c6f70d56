"""The vendor's client, made on first use."""

import logging
from collections.abc import Sequence
from typing import Any

import httpx
from pywa.types.callback import Button, Section, SectionList, SectionRow
from pywa_async.client import WhatsApp
from pywa_async.types.templates import TemplateLanguage

from swarm.channels.whatsapp.config import WhatsAppConfig
from swarm.channels.whatsapp.formatting import MAX_BUTTONS, Choice
from swarm.core.errors import ConfigError, InvalidInput

CONNECT_S, READ_S, MEDIA_S = 10.0, 20.0, 120.0
"""Longest waits of a call, in seconds: to be connected, for its answer, for a file on its way."""
_HOSTS = ("facebook.com", "fbsbx.com", "fbcdn.net", "whatsapp.net", "whatsapp.com")
"""Where Meta keeps media; only these are shown the token."""

# The library logs bodies of requests and answers.
logging.getLogger("pywa").setLevel(logging.CRITICAL)


class Line:
    """One number and its connections."""

    def __init__(self, config: WhatsAppConfig) -> None:
        assert config.token is not None
        # Kept-alive connections are closed after a pause: servers cut them without a word, and a
        # message that is then lost on the way can only be called unknown.
        limits = httpx.Limits(max_connections=16, keepalive_expiry=5.0)
        times = httpx.Timeout(READ_S, connect=CONNECT_S, write=MEDIA_S, pool=READ_S)
        self.session = httpx.AsyncClient(timeout=times, limits=limits)
        self.wa = WhatsApp(
            phone_id=config.phone_id,
            token=config.token.get_secret_value(),
            session=self.session,
            # Webhooks are taken in by our own door, which stores before it answers.
            server=None,
            validate_updates=False,
        )
        # The library sets its own address when it is made.
        self.session.base_url = httpx.URL(config.base_url)
        self._phone_id = config.phone_id
        self._template = config.template
        self._language = _language(config.template_language)

    async def text(
        self, to: str, body: str, choices: Sequence[Choice], *, reply_to: str | None
    ) -> str:
        """Send a text, with what can be pressed under it; return its number."""
        sent = await self.wa.send_message(
            to, body, buttons=_pressable(choices), reply_to_message_id=reply_to
        )
        return str(sent.id)

    async def document(self, to: str, content: bytes, name: str, mime: str, caption: str) -> str:
        """Send a file; return its message's number."""
        sent = await self.wa.send_document(
            to, content, filename=name, caption=caption or None, mime_type=mime
        )
        return str(sent.id)

    async def call_back(self, to: str, what: str | None) -> str:
        """Send the template, which may be sent at any time; None for one that has no place."""
        params: list[Any] | None = None
        if what is not None:
            params = [{"type": "body", "parameters": [{"type": "text", "text": what}]}]
        sent = await self.wa.send_template(to, self._template, self._language, params)
        return str(sent.id)

    async def phone(self) -> dict[str, Any]:
        """Return what Meta says of the number."""
        fields = (
            "display_phone_number", "verified_name", "quality_rating", "code_verification_status",
            "platform_type",
        )  # fmt: skip
        found = await self.wa.api.get_business_phone_number(self._phone_id, fields=fields)
        return dict(found)

    async def typing(self, message_id: str) -> None:
        """Show that somebody is typing, and that a message was read."""
        await self.wa.indicate_typing(message_id)

    async def download(self, media_id: str, *, most: int) -> bytes:
        """Return the bytes of a file.

        Raises:
            InvalidInput: It is larger than `most` bytes, or lies where the token is not shown.
        """
        found = await self.wa.get_media_url(media_id)
        if isinstance(found.file_size, int) and found.file_size > most:
            raise InvalidInput(f"The file is larger than {most // 1024**2} MiB.")
        if not self._is_ours(found.url):
            raise InvalidInput("The file lies on a server that is not Meta's.")
        content = bytearray()
        async for piece in self.wa.stream_media(found.url):
            content += piece
            if len(content) > most:
                raise InvalidInput(f"The file is larger than {most // 1024**2} MiB.")
        return bytes(content)

    def _is_ours(self, address: str) -> bool:
        url, own = httpx.URL(address), self.session.base_url
        if (url.scheme, url.host, url.port) == (own.scheme, own.host, own.port):
            return True
        is_metas = any(url.host == host or url.host.endswith(f".{host}") for host in _HOSTS)
        return url.scheme == "https" and is_metas

    async def close(self) -> None:
        """Close the connections."""
        await self.session.aclose()


def _language(code: str) -> TemplateLanguage:
    if code not in [language.value for language in TemplateLanguage]:
        raise ConfigError(f"whatsapp.template_language: Meta has no language {code!r}")
    return TemplateLanguage(code)


def _pressable(choices: Sequence[Choice]) -> Any:
    if not choices:
        return None
    if len(choices) <= MAX_BUTTONS:
        return [Button(title=one.title, callback_data=one.token) for one in choices]
    rows = [
        SectionRow(title=one.title, callback_data=one.token, description=one.detail or None)
        for one in choices
    ]
    return SectionList(button_title="1, 2, 3 …", sections=[Section(title="1, 2, 3 …", rows=rows)])
