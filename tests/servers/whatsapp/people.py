"""A chat as a person sees it, and the test's hand: people who write, press, react and send files."""

import asyncio
import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.servers.whatsapp.server import Delivery, WhatsAppServer

Document = dict[str, Any]
WAIT_S = 20.0
"""Longest wait for a message; reached only where none comes."""


class NothingCame(AssertionError):
    """What a test waited for did not come; the text holds the chat as it stood."""


@dataclass(frozen=True, slots=True)
class Sent:
    """One message of the company."""

    id: str
    kind: str
    content: Document
    file: bytes | None = None

    @property
    def text(self) -> str:
        """Return what a person reads."""
        if self.kind == "text":
            return str(self.content["body"])
        if self.kind == "interactive":
            return str(self.content["body"]["text"])
        if self.kind == "template":
            words = [p["text"] for c in self.content.get("components", []) for p in c["parameters"]]
            return f"<{self.content['name']}: {', '.join(words)}>"
        return f"<{self.content.get('filename')}>"

    @property
    def buttons(self) -> list[Document]:
        """Return what can be pressed, each with id and title."""
        if self.kind != "interactive":
            return []
        action = self.content["action"]
        if "buttons" in action:
            return [button["reply"] for button in action["buttons"]]
        return [row for section in action["sections"] for row in section["rows"]]


class Chat:
    """One person's chat with the company's number."""

    def __init__(self) -> None:
        self.lines: list[str | Sent] = []
        self._seen = 0
        self._came = asyncio.Event()

    @property
    def sent(self) -> list[Sent]:
        """What the company has written."""
        return [line for line in self.lines if isinstance(line, Sent)]

    @property
    def last(self) -> Sent:
        """The company's newest message."""
        return self.sent[-1]

    def add(self, line: str | Sent) -> None:
        """Show something."""
        self.lines.append(line)
        self._came.set()

    async def next(self, words: str, *, timeout_s: float = WAIT_S) -> Sent:
        """Wait for the next message of the company that holds some words."""
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    self._came.clear()
                    for index in range(self._seen, len(self.lines)):
                        line = self.lines[index]
                        if isinstance(line, Sent) and words in line.text:
                            self._seen = index + 1
                            return line
                    await self._came.wait()
        except TimeoutError:
            read = self.transcript()
            raise NothingCame(f"nothing with {words!r} came; the chat reads:\n{read}") from None

    def transcript(self) -> str:
        """Write the whole chat as text."""
        written: list[str] = []
        for line in self.lines:
            if isinstance(line, str):
                written.append(line)
                continue
            written.append("Swarm:")
            written += [f"    {part}" for part in line.text.splitlines()]
            if line.buttons:
                written.append("    " + " ".join(f"[{b['title']}]" for b in line.buttons))
        return "\n".join(written) + "\n"


class Person:
    """Somebody with a phone."""

    def __init__(self, server: "WhatsAppServer", name: str, number: str) -> None:
        self._server = server
        self.name = name
        self.id = number
        self.chat = Chat()
        self._ids = itertools.count(1)

    def says(self, text: str, *, reply_to: Sent | str | None = None, **more: Any) -> "Delivery":
        """Write a text."""
        self.chat.add(f"{self.name}:\n    {text}")
        content: Document = {"type": "text", "text": {"body": text}}
        if reply_to is not None:
            number = reply_to.id if isinstance(reply_to, Sent) else reply_to
            content["context"] = {"from": self._server.display_number, "id": number}
        return self._tell(content | more)

    def edits(self, message_id: str, text: str) -> "Delivery":
        """Change a message of one's own."""
        new = {"type": "text", "text": {"body": text}}
        edit = {"original_message_id": message_id, "message": new}
        return self._tell({"type": "edit", "edit": edit})

    def presses(self, label: str, *, message: Sent | None = None) -> "Delivery":
        """Press a button or pick a row, by a part of its title."""
        for sent in [message] if message else reversed(self.chat.sent):
            for button in sent.buttons:
                if label in button["title"]:
                    return self.forges(sent, button)
        shown = [b["title"] for m in self.chat.sent for b in m.buttons]
        raise AssertionError(f"no button {label!r}; there are {shown}")

    def forges(self, message: Sent, button: Document) -> "Delivery":
        """Press with an id of one's own choice, as a hostile app can."""
        self.chat.add(f"({self.name} pressed [{button['title']}])")
        kind = "button_reply" if "buttons" in message.content.get("action", {}) else "list_reply"
        pressed = {"id": button["id"], "title": button["title"]}
        context = {"from": self._server.display_number, "id": message.id}
        content = {"type": "interactive", "interactive": {"type": kind, kind: pressed}}
        return self._tell(content | {"context": context})

    def answers_template(self, message: Sent, text: str = "Show me") -> "Delivery":
        """Press a template's own button."""
        self.chat.add(f"({self.name} pressed [{text}])")
        context = {"from": self._server.display_number, "id": message.id}
        button = {"payload": text, "text": text}
        return self._tell({"type": "button", "button": button, "context": context})

    def reacts(self, message: Sent, sign: str) -> "Delivery":
        """Put a sign on a message."""
        reaction = {"message_id": message.id, "emoji": sign}
        return self._tell({"type": "reaction", "reaction": reaction})

    def sends_file(
        self, content: bytes, name: str, *, caption: str = "", mime: str = "application/pdf"
    ) -> "Delivery":
        """Send a document."""
        self.chat.add(f"{self.name}:\n    <{name}, {len(content):,} B> {caption}")
        media = self._server.keep(content, mime)
        document = {"id": media, "filename": name, "mime_type": mime, "sha256": "x"}
        if caption:
            document["caption"] = caption
        return self._tell({"type": "document", "document": document})

    def sends_voice(self, content: bytes) -> "Delivery":
        """Send a voice note."""
        mime = "audio/ogg; codecs=opus"
        audio = {"id": self._server.keep(content, mime), "mime_type": mime, "voice": True}
        return self._tell({"type": "audio", "audio": audio})

    def _tell(self, content: Document) -> "Delivery":
        self._server.windows[self.id] = self._server.now()
        number = f"wamid.{self.id}.{next(self._ids)}"
        stamp = str(int(self._server.now()))
        message = {"from": self.id, "id": number, "timestamp": stamp} | content
        contact = {"profile": {"name": self.name}, "wa_id": self.id}
        return self._server.bring({"contacts": [contact], "messages": [message]})
