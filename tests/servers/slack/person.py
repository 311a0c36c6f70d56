"""The test's hand: people who write, press, edit, react and send files."""

import time
from typing import TYPE_CHECKING, Any

from tests.servers.slack.methods import file_document
from tests.servers.slack.world import Channel, Conversation, Document, Message, StoredFile

if TYPE_CHECKING:
    from tests.servers.slack.server import Delivery, SlackServer


class Person:
    """Somebody in the workspace. Without a channel, everything happens in private with the app."""

    def __init__(self, server: "SlackServer", user: str) -> None:
        self._server = server
        self.id = user

    @property
    def identity(self) -> str:
        """Team and user, which never change."""
        return f"{self._server.world.team_id}:{self.id}"

    def chat(self) -> Conversation:
        """Return the private conversation with the app."""
        world = self._server.world
        return Conversation(world.private(self.id), world)

    def renames(self, name: str) -> None:
        """Take another name, as anybody may."""
        self._server.world.people[self.id] = name

    def says(
        self,
        text: str,
        *,
        channel: Conversation | None = None,
        thread: Message | str | None = None,
        **more: Any,
    ) -> Message:
        """Write a text; in a channel a mention of the app is told twice, as Slack does."""
        place = self._place(channel)
        ts = thread.thread_ts or thread.ts if isinstance(thread, Message) else thread
        message = Message(self._server.world.ts(), self.id, text, place, thread_ts=ts)
        self._server.world.post(place, message)
        self._tell(place, self._event(message) | more)
        mention = f"<@{self._server.world.bot_user}>"
        if mention in text and not place.is_im and self._is_app_in(place):
            event = self._event(message) | {"type": "app_mention"}
            event.pop("channel_type", None)
            self._server.event(event)
        return message

    def edits(self, message: Message, text: str) -> None:
        """Change a message of one's own."""
        before = message.document()
        message.text = text
        message.edits += 1
        after = message.document() | {
            "team": self._server.world.team_id,
            "edited": {"user": self.id, "ts": self._server.world.ts()},
        }
        event = {
            "type": "message",
            "subtype": "message_changed",
            "channel": message.channel.id,
            "channel_type": "im" if message.channel.is_im else "channel",
            "ts": self._server.world.ts(),
            "hidden": True,
            "message": after,
            "previous_message": before,
        }
        self._tell(message.channel, event)

    def unfurls(self, message: Message) -> None:
        """Let Slack add a preview to a message, which it also tells as a change."""
        document = message.document() | {"team": self._server.world.team_id}
        event = {
            "type": "message",
            "subtype": "message_changed",
            "channel": message.channel.id,
            "channel_type": "im" if message.channel.is_im else "channel",
            "ts": self._server.world.ts(),
            "message": document | {"attachments": [{"title": "a page"}]},
            "previous_message": document,
        }
        self._tell(message.channel, event)

    def reacts(self, message: Message, sign: str, *, is_on: bool = True) -> None:
        """Put a sign on a message, or take it away."""
        event = {
            "type": "reaction_added" if is_on else "reaction_removed",
            "user": self.id,
            "reaction": sign,
            "item": {"type": "message", "channel": message.channel.id, "ts": message.ts},
            "item_user": message.user,
            "event_ts": self._server.world.ts(),
        }
        self._tell(message.channel, event)

    def sends_file(
        self,
        content: bytes,
        name: str,
        *,
        text: str = "",
        mime: str = "text/plain",
        subtype: str = "",
        channel: Conversation | None = None,
        thread: str | None = None,
    ) -> Message:
        """Send a file, with words or without."""
        world, place = self._server.world, self._place(channel)
        file = StoredFile(f"F0{world.number():07d}", name, content, mime, subtype=subtype)
        world.files[file.id] = file
        message = Message(world.ts(), self.id, text, place, thread_ts=thread, files=[file])
        world.post(place, message)
        files = [file_document(file, self._server.url)]
        self._tell(place, self._event(message) | {"subtype": "file_share", "files": files})
        return message

    def presses(
        self, label: str, *, message: Message | None = None, channel: Conversation | None = None
    ) -> "Delivery":
        """Press a button by a part of its label: of `message`, else of the newest that has it."""
        place = message.channel if message is not None else self._place(channel)
        candidates = [message] if message else list(reversed(list(place.messages.values())))
        for candidate in candidates:
            for button in candidate.buttons:
                if label in button["text"]["text"]:
                    return self.forges(candidate, button)
        shown = [b["text"]["text"] for m in place.messages.values() for b in m.buttons]
        raise AssertionError(f"no button {label!r}; there are {shown}")

    def forges(self, message: Message, button: Document) -> "Delivery":
        """Press with an action of one's own choice, as a hostile client can."""
        world, place = self._server.world, message.channel
        shown = button.get("text", {}).get("text", "?")
        world.note("press", message, f"{world.people[self.id]} pressed [{shown}]")
        action = {k: v for k, v in button.items() if k in ("action_id", "value", "text", "type")}
        action |= {"block_id": "row", "action_ts": f"{time.time():.6f}{world.number()}"}
        container = {"type": "message", "message_ts": message.ts, "channel_id": place.id}
        if message.thread_ts:
            container["thread_ts"] = message.thread_ts
        payload = {
            "type": "block_actions",
            "team": {"id": world.team_id, "domain": "example"},
            "user": {"id": self.id, "username": "x", "team_id": world.team_id},
            "api_app_id": world.app_id,
            "token": "verification",
            "container": container,
            "trigger_id": f"{world.number()}.trigger",
            "channel": {"id": place.id, "name": place.name or "directmessage"},
            "message": message.document(),
            "response_url": f"{self._server.url}/actions/{world.number()}",
            "actions": [action],
        }
        return self._server.bring("interactive", payload)

    def commands(
        self, command: str, text: str = "", *, channel: Conversation | None = None
    ) -> "Delivery":
        """Give a slash command; nobody else sees it."""
        world, place = self._server.world, self._place(channel)
        payload = {
            "token": "verification",
            "team_id": world.team_id,
            "team_domain": "example",
            "channel_id": place.id,
            "channel_name": place.name or "directmessage",
            "user_id": self.id,
            "user_name": "x",
            "command": command,
            "text": text,
            "api_app_id": world.app_id,
            "trigger_id": f"{world.number()}.trigger",
            "response_url": f"{self._server.url}/commands/{world.number()}",
        }
        return self._server.bring("slash_commands", payload)

    def _place(self, channel: Conversation | None) -> Channel:
        place = channel.channel if channel is not None else self.chat().channel
        assert self.id in place.members, "this person is not in it"
        return place

    def _event(self, message: Message) -> Document:
        return message.document() | {
            "team": self._server.world.team_id,
            "channel": message.channel.id,
            "channel_type": "im" if message.channel.is_im else "channel",
            "event_ts": message.ts,
            "client_msg_id": f"client-{message.ts}",
        }

    def _tell(self, place: Channel, event: Document) -> None:
        if self._is_app_in(place):
            self._server.event(event)

    def _is_app_in(self, place: Channel) -> bool:
        return self._server.world.bot_user in place.members
