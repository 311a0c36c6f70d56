"""What a method's code works with: who asks, and the checks that many methods share."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from tests.servers.telegram.calls import Call
from tests.servers.telegram.delivery import Deliveries
from tests.servers.telegram.refusals import NO_CHAT, NO_THREAD, bad, forbidden
from tests.servers.telegram.sockets import Request
from tests.servers.telegram.world import Bot, Chat, Document, Member, Message, World

Work: TypeAlias = Callable[["Desk", Call], "Any | Awaitable[Any]"]
TakeReply: TypeAlias = Callable[[Document], Awaitable[None]]
METHODS: dict[str, Work] = {}


@dataclass(slots=True)
class Rules:
    """Limits of the service that a test may want to change."""

    callback_lifetime_s: float = 900.0
    second_answer: str = "ignored"
    """What a second answer to one press gets: `ignored` (true, no effect) or `refused`."""
    max_download: int = 20 * 1024 * 1024
    max_photo: int = 10 * 1024 * 1024
    max_upload: int = 50 * 1024 * 1024
    link_lifetime_s: float = 3600.0
    webhook_retry_s: float = 0.05
    """First pause before a webhook is tried again; doubles up to twenty times as long."""
    webhook_timeout_s: float = 10.0


@dataclass(slots=True)
class Desk:
    """One call's surroundings."""

    world: World
    bot: Bot
    updates: Deliveries
    rules: Rules
    request: Request
    take_reply: TakeReply
    """Carries out a call that a bot put into its answer to a webhook."""
    effect: Message | None = None
    """The message that the call made or changed."""

    def chat(self, call: Call, name: str = "chat_id") -> Chat:
        """Return the chat that is meant, if the bot may act there.

        Raises:
            Refusal: No such chat, or the bot may not write to it.
        """
        chat = self.known_chat(call, name)
        if chat.kind == "private":
            if not chat.has_started:
                raise forbidden("bot can't initiate conversation with a user")
            if chat.is_blocked:
                raise forbidden("bot was blocked by the user")
            return chat
        if chat.moved_to is not None:
            what = "group chat was upgraded to a supergroup chat"
            raise bad(what, migrate_to_chat_id=chat.moved_to)
        me = chat.members.get(self.bot.id)
        if me is None or not me.is_present:
            verb = "was kicked from" if me and me.status == "kicked" else "is not a member of"
            raise forbidden(f"bot {verb} the {chat.kind} chat")
        return chat

    def known_chat(self, call: Call, name: str = "chat_id") -> Chat:
        """Return the chat that is meant, whether or not the bot may write to it."""
        text = call.text(name).strip()
        if not text:
            raise bad("chat_id is empty")
        try:
            number = int(text)
        except ValueError:
            raise NO_CHAT from None
        chat = self.world.chat_of(self.bot, number)
        if chat is None and number in self.world.people:
            raise forbidden("bot can't initiate conversation with a user")
        if chat is None:
            raise NO_CHAT
        return chat

    def topic(self, call: Call, chat: Chat, name: str = "message_thread_id") -> int | None:
        """Return the topic that is meant; None for General.

        Raises:
            Refusal: The thread is 1 (General has no number), unknown or closed.
        """
        if not call.has(name):
            return None
        number = call.integer(name)
        # Stricter than Telegram, which takes 1 for chat actions: nobody should rely on it.
        if number not in chat.topics:
            raise NO_THREAD
        me = chat.members.get(self.bot.id)
        if chat.topics[number].is_closed and not (me and me.is_admin):
            raise bad("TOPIC_CLOSED")
        return number

    def me(self, chat: Chat) -> Member:
        """Return how the bot stands in a chat."""
        return chat.members.get(self.bot.id) or Member(self.bot.user)

    def require(self, chat: Chat, right: str, what: str) -> None:
        """Refuse unless the bot has a right in a group; in private it may do everything.

        Raises:
            Refusal: It has not.
        """
        me = self.me(chat)
        if chat.kind != "private" and not (me.is_admin and right in me.rights):
            raise bad(f"not enough rights to {what}")

    def message(self, call: Call, chat: Chat, missing: str) -> Message:
        """Return the message that is meant.

        Raises:
            Refusal: There is none any more; `missing` says so.
        """
        found = chat.messages.get(call.integer("message_id"))
        if found is None or found.is_deleted:
            raise bad(missing)
        return found


def method(name: str) -> Callable[[Work], Work]:
    """Register the code of a Bot API method."""

    def register(work: Work) -> Work:
        METHODS[name] = work
        return work

    return register
