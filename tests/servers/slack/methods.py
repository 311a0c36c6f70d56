"""The methods of the Web API that an app of ours uses, with their arguments and refusals."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias
from urllib.parse import quote

from tests.servers.slack.wire import Refusal, check_blocks
from tests.servers.slack.world import Channel, Document, Message, StoredFile, World

Work: TypeAlias = Callable[["Methods", Document], Document]
MAX_TEXT = 40_000


@dataclass(frozen=True, slots=True)
class Method:
    """What one method takes."""

    work: Work
    required: frozenset[str] = frozenset()
    optional: frozenset[str] = frozenset()
    scope: str = ""
    is_of_app: bool = False


class Methods:
    """Carry out calls on a world."""

    def __init__(self, world: World, url: Callable[[], str]) -> None:
        self.world = world
        self.url = url
        self.scopes = {
            "app_mentions:read", "channels:history", "chat:write", "commands", "files:read",
            "files:write", "groups:history", "im:history", "im:write", "reactions:read", "users:read",
        }  # fmt: skip
        self.tickets: set[str] = set()

    def auth_test(self, _: Document) -> Document:
        world = self.world
        return {
            "url": "https://example.slack.com/",
            "team": "Example",
            "user": "swarm",
            "team_id": world.team_id,
            "user_id": world.bot_user,
            "bot_id": "B0SWARM01",
            "is_enterprise_install": False,
        }

    def connections_open(self, _: Document) -> Document:
        ticket = f"ticket-{self.world.number()}"
        self.tickets.add(ticket)
        address = self.url().replace("http://", "ws://")
        return {"url": f"{address}/link/?ticket={ticket}&app_id={self.world.app_id}"}

    def post_message(self, given: Document) -> Document:
        channel = self._writable(given["channel"])
        text, blocks = self._content(given)
        thread = self._thread(channel, given.get("thread_ts"))
        message = Message(
            self.world.ts(), self.world.bot_user, text, channel, blocks, thread, is_bot=True
        )
        channel.statuses.pop(thread or "", None)
        self.world.post(channel, message)
        return {"channel": channel.id, "ts": message.ts, "message": message.document()}

    def post_ephemeral(self, given: Document) -> Document:
        channel = self._writable(given["channel"])
        if given["user"] not in channel.members:
            raise Refusal("user_not_in_channel")
        text, blocks = self._content(given)
        thread = self._thread(channel, given.get("thread_ts"))
        message = Message(
            self.world.ts(), self.world.bot_user, text, channel, blocks, thread, is_bot=True
        )
        message.only_for = given["user"]
        self.world.post(channel, message)
        return {"message_ts": message.ts}

    def update(self, given: Document) -> Document:
        channel = self._writable(given["channel"])
        message = channel.messages.get(str(given["ts"]))
        if message is None or message.only_for is not None:
            raise Refusal("message_not_found")
        if not message.is_bot:
            raise Refusal("cant_update_message")
        message.text, message.blocks = self._content(given)
        message.edits += 1
        self.world.note("edit", message)
        answer = {"channel": channel.id, "ts": message.ts, "text": message.text}
        return answer | {"message": message.document()}

    def set_status(self, given: Document) -> Document:
        channel = self._writable(given["channel_id"])
        if not isinstance(given["status"], str):
            raise Refusal("invalid_arguments")
        if str(given["thread_ts"]) not in channel.messages:
            raise Refusal("invalid_thread_ts")
        channel.statuses[str(given["thread_ts"])] = given["status"]
        channel.status_calls += 1
        return {}

    def open_conversation(self, given: Document) -> Document:
        user = str(given.get("users") or "")
        if user not in self.world.people:
            raise Refusal("user_not_found")
        return {"channel": {"id": self.world.private(user).id}}

    def conversation(self, given: Document) -> Document:
        channel = self._channel(given["channel"])
        is_in = self.world.bot_user in channel.members
        return {"channel": {"id": channel.id, "is_im": channel.is_im, "is_member": is_in}}

    def user(self, given: Document) -> Document:
        name = self.world.people.get(str(given["user"]))
        if name is None:
            raise Refusal("user_not_found")
        profile = {"display_name": name, "real_name": name}
        return {"user": {"id": given["user"], "name": name.lower(), "profile": profile}}

    def upload_url(self, given: Document) -> Document:
        length = int(given["length"])
        if length < 1:
            raise Refusal("missing_argument")
        file = StoredFile(f"F0{self.world.number():07d}", str(given["filename"]), b"", "")
        file.is_complete, file.declared = False, length
        self.world.files[file.id] = file
        return {"upload_url": f"{self.url()}/upload/{file.id}", "file_id": file.id}

    def complete_upload(self, given: Document) -> Document:
        wanted = given["files"]
        wanted = json.loads(wanted) if isinstance(wanted, str) else wanted
        channel = self._writable(given["channel_id"]) if given.get("channel_id") else None
        files = []
        for one in wanted:
            file = self.world.files.get(one["id"])
            if file is None or file.is_complete:
                raise Refusal("file_not_found")
            if len(file.content) != file.declared:
                raise Refusal("file_update_failed")
            file.is_complete = True
            files.append(file)
        if channel is not None:
            thread = self._thread(channel, given.get("thread_ts"))
            text = str(given.get("initial_comment") or "")
            message = Message(
                self.world.ts(), self.world.bot_user, text, channel, [], thread, is_bot=True
            )
            message.files = files
            self.world.post(channel, message)
        return {"files": [{"id": f.id, "title": f.name} for f in files]}

    def file(self, given: Document) -> Document:
        file = self.world.files.get(str(given["file"]))
        if file is None:
            raise Refusal("file_not_found")
        return {"file": file_document(file, self.url())}

    def _channel(self, number: Any) -> Channel:
        number = str(number)
        if number in self.world.people:
            return self.world.private(number)
        channel = self.world.channels.get(number)
        if channel is None:
            raise Refusal("channel_not_found")
        return channel

    def _writable(self, number: Any) -> Channel:
        channel = self._channel(number)
        if self.world.bot_user not in channel.members:
            raise Refusal("not_in_channel")
        if channel.is_archived:
            raise Refusal("is_archived")
        return channel

    def _thread(self, channel: Channel, thread: Any) -> str | None:
        if thread is None:
            return None
        parent = channel.messages.get(str(thread))
        if parent is None:
            raise Refusal("thread_not_found")
        return parent.thread_ts or parent.ts

    def _content(self, given: Document) -> tuple[str, list[Document]]:
        text = given.get("text") or ""
        if not isinstance(text, str):
            raise Refusal("invalid_arguments")
        if len(text) > MAX_TEXT:
            raise Refusal("msg_too_long")
        blocks = check_blocks(given["blocks"]) if given.get("blocks") else []
        if not text.strip() and not blocks:
            raise Refusal("no_text")
        return text, blocks


def file_document(file: StoredFile, url: str) -> Document:
    """Return a file as Slack describes it."""
    made: Document = {
        "id": file.id,
        "name": file.name,
        "mimetype": file.mime,
        "size": len(file.content),
        "mode": file.mode,
        "url_private": f"{url}/files/{file.id}",
        "url_private_download": f"{url}/files/{file.id}/download/{quote(file.name, safe='')}",
    }
    return made | ({"subtype": file.subtype} if file.subtype else {})


def _set(*names: str) -> frozenset[str]:
    return frozenset(names)


CONTENT = _set("text", "blocks", "thread_ts", "unfurl_links", "unfurl_media", "mrkdwn")
METHODS: Mapping[str, Method] = {
    "auth.test": Method(Methods.auth_test),
    "apps.connections.open": Method(Methods.connections_open, is_of_app=True),
    "chat.postMessage": Method(
        Methods.post_message, _set("channel"), CONTENT | {"reply_broadcast"}, "chat:write"
    ),
    "chat.postEphemeral": Method(
        Methods.post_ephemeral,
        _set("channel", "user"),
        _set("text", "blocks", "thread_ts"),
        "chat:write",
    ),
    "chat.update": Method(
        Methods.update, _set("channel", "ts"), _set("text", "blocks"), "chat:write"
    ),
    "assistant.threads.setStatus": Method(
        Methods.set_status,
        _set("channel_id", "thread_ts", "status"),
        _set("loading_messages", "icon_emoji", "icon_url", "username"),
        "chat:write",
    ),
    "conversations.open": Method(
        Methods.open_conversation, _set(), _set("users", "channel", "return_im"), "im:write"
    ),
    "conversations.info": Method(
        Methods.conversation, _set("channel"), _set("include_locale"), "channels:history"
    ),
    "users.info": Method(Methods.user, _set("user"), _set("include_locale"), "users:read"),
    "files.getUploadURLExternal": Method(
        Methods.upload_url,
        _set("filename", "length"),
        _set("alt_txt", "snippet_type"),
        "files:write",
    ),
    "files.completeUploadExternal": Method(
        Methods.complete_upload,
        _set("files"),
        _set("channel_id", "thread_ts", "initial_comment"),
        "files:write",
    ),
    "files.info": Method(Methods.file, _set("file"), _set("count", "page"), "files:read"),
}
