"""The server: takes calls from the socket, checks them, carries them out, and keeps the record."""

import asyncio
import itertools
import random
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.servers.telegram.admin import Admin
from tests.servers.telegram.calls import target_of
from tests.servers.telegram.contract import DEFAULT_PATH, Contract
from tests.servers.telegram.conversation import Conversation
from tests.servers.telegram.delivery import Deliveries, Disorder
from tests.servers.telegram.dispatch import Dispatch, Record, as_json
from tests.servers.telegram.faults import Faults
from tests.servers.telegram.methods import Rules
from tests.servers.telegram.methods.chats import member_document
from tests.servers.telegram.person import Person
from tests.servers.telegram.rates import Rates
from tests.servers.telegram.refusals import NOT_FOUND, Refusal
from tests.servers.telegram.sockets import CUT, Answer, Listener, Request
from tests.servers.telegram.webhooks import Webhook
from tests.servers.telegram.world import Bot, Chat, ChatKind, Document, Member, Status, User, World

TOKEN = "710000001:AAFakeTokenForTestsOnly_0123456789abcde"
RIGHTS = {"can_manage_topics", "can_pin_messages", "can_delete_messages"}


class ContractViolation(AssertionError):
    """A call, a result or an update was not what the contract says."""


class TelegramServer:
    """A Bot API server with chats, people and bots on a loopback socket.

    Use it as `async with TelegramServer() as server`. Leaving it raises `ContractViolation` where
    any call, result or update broke the contract, unless another error is on its way.
    """

    def __init__(
        self,
        *,
        token: str = TOKEN,
        username: str = "swarm_bot",
        port: int = 0,
        is_strict: bool = True,
        has_privacy: bool = True,
        has_topics: bool = False,
        contract: Path | None = DEFAULT_PATH,
    ) -> None:
        self.world = World()
        self.is_strict = is_strict
        self._dispatch = Dispatch(self.world, Contract.load(contract) if contract else None)
        self._admin = Admin(self)
        self._listener = Listener(self._answer, port)
        self._speaks = asyncio.Event()
        self._speaks.set()
        self._group_ids = itertools.count(1_000_000_001)
        self._person_ids = itertools.count(5_000_000_001)
        self.bot = self.add_bot(token, username, has_privacy=has_privacy, has_topics=has_topics)

    # -- where it is

    @property
    def port(self) -> int:
        """The port it listens on; stays the same when it goes down and comes back."""
        return self._listener.port

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def base_url(self) -> str:
        """What python-telegram-bot takes as `base_url`."""
        return f"{self.url}/bot"

    @property
    def base_file_url(self) -> str:
        """What python-telegram-bot takes as `base_file_url`."""
        return f"{self.url}/file/bot"

    @property
    def token(self) -> str:
        """The token of the first bot."""
        return self.bot.token

    @property
    def has_contract(self) -> bool:
        """Whether calls are checked against the published contract."""
        return self._dispatch.contract is not None

    # -- what it keeps

    @property
    def rules(self) -> Rules:
        """Limits that a test may change."""
        return self._dispatch.rules

    @property
    def faults(self) -> Faults:
        """What is to go wrong."""
        return self._dispatch.faults

    @property
    def rates(self) -> Rates:
        """How fast the bots write."""
        return self._dispatch.rates

    @property
    def requests(self) -> list[Record]:
        """Every call in the order of arrival."""
        return self._dispatch.requests

    @property
    def violations(self) -> list[str]:
        """Everything that broke the contract; clear it where a test does so on purpose."""
        return self._dispatch.violations

    # -- start and stop

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()
        if error is None:
            self.check()

    async def start(self) -> None:
        """Listen on loopback."""
        await self._listener.start()

    async def stop(self) -> None:
        """End webhooks and polls, and drop every connection."""
        self._admin.close()
        for updates in self._dispatch.updates.values():
            hook: Webhook | None = updates.webhook
            updates.webhook = None
            if hook is not None:
                await hook.stop()
        await self._listener.stop()

    def check(self) -> None:
        """Raise what broke the contract so far.

        Raises:
            ContractViolation: Something did, and the server is strict.
        """
        if self.is_strict and self.violations:
            listed = "\n".join(dict.fromkeys(self.violations))
            raise ContractViolation(f"{len(self.violations)} times:\n{listed}")

    async def go_down(self) -> None:
        """Refuse and drop connections until `come_back`; everything is kept."""
        await self._listener.stop()

    def go_silent(self) -> None:
        """Take connections and calls, and answer nothing until `come_back`."""
        self._speaks.clear()

    async def come_back(self) -> None:
        """Answer again, on the same port."""
        self._speaks.set()
        await self._listener.start()

    async def flap(self, times: int, *, down_s: float, up_s: float) -> None:
        """Go down and come back so many times."""
        for _ in range(times):
            await self.go_down()
            await asyncio.sleep(down_s)
            await self.come_back()
            await asyncio.sleep(up_s)

    # -- who is there

    def add_bot(
        self, token: str, username: str, *, has_privacy: bool = True, has_topics: bool = False
    ) -> Bot:
        """Add a bot; its id is the number before the colon of its token."""
        bot = Bot(token, username, has_privacy=has_privacy, has_topics=has_topics)
        self.world.bots[token] = bot
        self._dispatch.updates[bot.id] = Deliveries()
        return bot

    def change_token(self, token: str, bot: Bot | None = None) -> None:
        """Give a bot another token, as BotFather does; the old one is refused from now on."""
        bot = bot or self.bot
        assert int(token.split(":")[0]) == bot.id, "the bot's id stays"
        del self.world.bots[bot.token]
        bot.token = token
        self.world.bots[token] = bot

    def person(
        self,
        name: str = "Ada",
        *,
        id: int | None = None,
        username: str | None = None,
        language: str | None = "en",
    ) -> Person:
        """Add a person; the same id is the same person."""
        number = id or next(self._person_ids)
        user = self.world.people.get(number)
        if user is None:
            user = User(number, name, False, None, username, language)
            self.world.people[number] = user
        return Person(self, user)

    def group(
        self,
        title: str,
        *people: Person,
        id: int | None = None,
        is_forum: bool = False,
        is_bot_admin: bool = False,
        is_plain: bool = False,
        bots: tuple[Bot, ...] | None = None,
    ) -> Conversation:
        """Open a supergroup (or a plain group) with people and the bot in it.

        The first person owns it. The bot is told that it was added.
        """
        number = id or (
            -next(self._group_ids) if is_plain else -1_000_000_000_000 - next(self._group_ids)
        )
        ids = itertools.count(1)
        kind: ChatKind = "group" if is_plain else "supergroup"
        chat = Chat(number, kind, ids=ids, clock=self.world.clock)
        chat.title, chat.is_forum = title, is_forum
        for index, person in enumerate(people):
            chat.members[person.id] = Member(person.user, "member" if index else "creator")
        self.world.groups[number] = chat
        for bot in (self.bot,) if bots is None else bots:
            self.join(
                Conversation(chat), bot, is_admin=is_bot_admin, by=people[0] if people else None
            )
        return Conversation(chat)

    def join(
        self, group: Conversation, bot: Bot, *, is_admin: bool = False, by: Person | None = None
    ) -> None:
        """Add a bot to a group, or add it again: its privacy setting counts from then on."""
        status: Status = "administrator" if is_admin else "member"
        sees_all = is_admin or not bot.has_privacy
        member = Member(bot.user, status, set(RIGHTS) if is_admin else set(), sees_all)
        group.chat.members[bot.id] = member
        self._tell_of_bot(group.chat, bot, by.user if by else bot.user, "left", "member")

    def enter(self, group: Conversation, *people: Person) -> None:
        """Let people join a group; its bots are told."""
        for person in people:
            group.chat.members[person.id] = Member(person.user)
            content = {"new_chat_members": [person.user.document()]}
            message = group.chat.post(person.user, content)
            for bot in self._bots_of(group.chat):
                self.queue(bot, "message", message.shown())

    def kick(self, group: Conversation, bot: Bot | None = None) -> None:
        """Throw a bot out of a group; it is told."""
        bot = bot or self.bot
        group.chat.members[bot.id].status = "kicked"
        by = next(iter(group.chat.members.values())).user
        self._tell_of_bot(group.chat, bot, by, "member", "kicked")

    def _bots_of(self, chat: Chat) -> list[Bot]:
        return [b for b in self.world.bots.values() if b.id in chat.members]

    def _tell_of_bot(self, chat: Chat, bot: Bot, by: User, old: Status, new: Status) -> None:
        content: Document = {"chat": chat.document(), "from": by.document()}
        content |= {"date": int(self.world.clock())}
        content["old_chat_member"] = member_document(Member(bot.user, old))
        content["new_chat_member"] = member_document(Member(bot.user, new))
        self.queue(bot, "my_chat_member", content)

    def upgrade(self, group: Conversation) -> Conversation:
        """Make a supergroup of a plain group, as Telegram does for topics; it gets another id.

        Calls with the old id are refused and name the new one.
        """
        old = group.chat
        assert old.kind == "group", "only plain groups can be upgraded"
        number = -1_000_000_000_000 - next(self._group_ids)
        chat = Chat(number, "supergroup", ids=itertools.count(1), clock=self.world.clock)
        chat.title, chat.members = old.title, dict(old.members)
        self.world.groups[number] = chat
        old.moved_to = number
        owner = next(iter(old.members.values())).user
        told = old.post(owner, {"migrate_to_chat_id": number})
        tells = chat.post(owner, {"migrate_from_chat_id": old.id})
        for bot in self._bots_of(chat):
            self.queue(bot, "message", told.shown())
            self.queue(bot, "message", tells.shown())
        return Conversation(chat)

    # -- updates

    def updates(self, bot: Bot | None = None) -> Deliveries:
        """Return the updates of a bot."""
        return self._dispatch.updates[(bot or self.bot).id]

    def queue(self, bot: Bot, kind: str, content: dict[str, Any]) -> int | None:
        """Queue an update; None where the bot didn't ask for its kind."""
        updates = self._dispatch.updates[bot.id]
        number = updates.add(kind, content)
        contract = self._dispatch.contract
        if number is not None and contract is not None:
            self._dispatch.violated(contract.problems("Update", updates.created[number]))
        return number

    def replay(self, update_id: int, copies: int = 1) -> None:
        """Hand out an update again, although the bot confirmed it."""
        bot = next(b for b in self._dispatch.updates.values() if update_id in b.created)
        bot.again(update_id, copies)

    def disorder(self, seed: int, *, copies: int = 5, bot: Bot | None = None) -> None:
        """From now on deliver each update one to `copies` times, in any order, never losing one."""
        self.updates(bot).disorder = Disorder(random.Random(seed), copies)

    async def drained(self, *, timeout_s: float = 10.0, bot: Bot | None = None) -> None:
        """Wait until the bot has confirmed every update."""
        async with asyncio.timeout(timeout_s):
            await self.updates(bot).drained()

    async def listened(self, *, timeout_s: float = 10.0, bot: Bot | None = None) -> None:
        """Wait until the bot hangs in a long poll: it is up and has taken what there was."""
        async with asyncio.timeout(timeout_s):
            await self.updates(bot).listened()

    def advance(self, seconds: float) -> None:
        """Push the server's clock: drafts, presses and links grow old."""
        self.world.clock.shift_s += seconds

    def calls(self, method: str) -> list[Record]:
        """Return the record of a method's calls."""
        return [r for r in self.requests if r.method.lower() == method.lower()]

    # -- the socket

    async def _answer(self, request: Request) -> Answer:
        parts, query = target_of(request)
        if parts[:1] == ["admin"]:
            return await self._admin.answer("/".join(parts[1:]), query, request)
        if not self._speaks.is_set() and not await self._may_speak(request):
            return CUT
        try:
            match parts:
                case ["file", bot, *path] if path and bot.startswith("bot"):
                    token = bot.removeprefix("bot")
                    return await self._dispatch.download(token, "/".join(path), request)
                case [bot, method] if bot.startswith("bot"):
                    token = bot.removeprefix("bot")
                    return await self._dispatch.call(token, method, query, request)
                case _:
                    raise NOT_FOUND
        except Refusal as refusal:
            return as_json(refusal.code, refusal.document)

    async def _may_speak(self, request: Request) -> bool:
        """Wait until the server speaks again; False where the client left meanwhile."""
        waits = [asyncio.ensure_future(e.wait()) for e in (self._speaks, request.gone)]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        return self._speaks.is_set() and not request.gone.is_set()
