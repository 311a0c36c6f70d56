"""Steers a server through its own socket, for when it runs as a process of its own.

`POST /admin/<verb>` with a JSON document, or `GET` with a query; the answer is JSON. A chat is
named by its id, a person by the id that `person` returned. Verbs are the methods of `Admin` that
begin with `do_`; an unknown one is answered with the list.
"""

import asyncio
import base64
import inspect
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tests.servers.telegram import faults
from tests.servers.telegram.conversation import Conversation, NothingCame
from tests.servers.telegram.sockets import Answer, Request
from tests.servers.telegram.world import Document, Message

if TYPE_CHECKING:
    from tests.servers.telegram.person import Person
    from tests.servers.telegram.server import TelegramServer


def view(message: Message) -> Document:
    """Return what a test wants to know of a message."""
    return {
        "message_id": message.id,
        "chat": message.chat.id,
        "topic": message.topic,
        "author": message.author,
        "is_bot": message.is_bot,
        "text": message.text,
        "buttons": [[{"text": b.text, "data": b.data} for b in row] for row in message.rows],
        "edits": message.edits,
        "is_silent": message.is_silent,
        "file": message.file and message.file.name,
        "update_ids": message.update_ids,
        "document": message.document,
    }


class Admin:
    """The verbs."""

    def __init__(self, server: "TelegramServer") -> None:
        self._server = server
        self._flapping: asyncio.Task[None] | None = None

    async def answer(self, verb: str, query: dict[str, str], request: Request) -> Answer:
        """Do what is asked."""
        work: Callable[..., Any] | None = getattr(self, f"do_{verb}", None)
        if work is None:
            verbs = [n.removeprefix("do_") for n in dir(self) if n.startswith("do_")]
            return _json(404, {"error": f"no verb {verb!r}", "verbs": verbs})
        try:
            given = json.loads(request.body) if request.body else query
            result = work(**given)
            if inspect.isawaitable(result):
                result = await result
        except (AssertionError, LookupError, TypeError, ValueError, TimeoutError) as error:
            return _json(400, {"error": f"{type(error).__name__}: {error}"})
        return _json(200, result)

    # -- who is there

    def do_state(self) -> Document:
        server = self._server
        return {
            "token": server.token,
            "base_url": server.base_url,
            "base_file_url": server.base_file_url,
            "has_contract": server.has_contract,
            "violations": server.violations,
            "requests": len(server.requests),
            "chats": [chat.id for chat in server.world.chats()],
        }

    def do_person(self, name: str = "Ada", **options: Any) -> Document:
        return {"id": self._server.person(name, **options).id}

    def do_group(self, title: str, people: list[int], **options: Any) -> Document:
        members = [self._person(number) for number in people]
        return {"id": self._server.group(title, *members, **options).id}

    # -- what people do

    def do_starts(self, person: int, payload: str = "") -> Document:
        return view(self._person(person).starts(payload))

    def do_says(
        self,
        person: int,
        text: str,
        chat: int | None = None,
        reply_to: int | None = None,
        topic: int | None = None,
    ) -> Document:
        where = self._where(person, chat)
        quoted = where.chat.messages[reply_to] if reply_to is not None else None
        said = self._person(person).says(text, chat=where, reply_to=quoted, topic=topic)
        return view(said)

    def do_edits(self, person: int, message: int, text: str, chat: int | None = None) -> Document:
        found = self._where(person, chat).chat.messages[message]
        return view(self._person(person).edits(found, text))

    def do_presses(
        self, person: int, button: str, chat: int | None = None, message: int | None = None
    ) -> Document:
        where = self._where(person, chat)
        found = where.chat.messages[message] if message is not None else None
        press = self._person(person).presses(button, chat=where, message=found)
        return {"id": press.id, "update_id": press.update_id, "data": press.data}

    def do_forges(self, person: int, message: int, data: str, chat: int | None = None) -> Document:
        found = self._where(person, chat).chat.messages[message]
        press = self._person(person).forges(found, data)
        return {"id": press.id, "update_id": press.update_id, "data": press.data}

    def do_reacts(
        self, person: int, message: int, emoji: list[str], chat: int | None = None
    ) -> Document:
        found = self._where(person, chat).chat.messages[message]
        return {"update_id": self._person(person).reacts(found, *emoji)}

    def do_sends(
        self, person: int, kind: str, content: str, chat: int | None = None, **options: Any
    ) -> Document:
        """Send a document, a photo or a voice note; `content` is base64."""
        someone = self._person(person)
        verbs: dict[str, Callable[..., Message]] = {
            "document": someone.sends_document,
            "photo": someone.sends_photo,
            "voice": someone.sends_voice,
        }
        send = verbs[kind]
        return view(send(base64.b64decode(content), chat=self._where(person, chat), **options))

    def do_pastes(self, person: int, text: str, chat: int | None = None) -> list[Document]:
        where = self._where(person, chat)
        return [view(m) for m in self._person(person).pastes(text, chat=where)]

    def do_opens_topic(self, person: int, name: str, chat: int) -> Document:
        return {"id": self._person(person).opens_topic(name, self._where(person, chat)).id}

    # -- what goes wrong

    def do_fault(
        self, fault: str, arguments: list[Any] | None = None, method: str | None = None, **plan: Any
    ) -> Document:
        made = faults.BY_NAME[fault](*(arguments or ()))
        self._server.faults.add(made, method, **plan)
        return {"planned": len(self._server.faults.planned)}

    def do_clear_faults(self) -> Document:
        self._server.faults.clear()
        return {}

    def do_replay(self, update_id: int, copies: int = 1) -> Document:
        self._server.replay(int(update_id), int(copies))
        return {}

    def do_disorder(self, seed: int, copies: int = 5) -> Document:
        self._server.disorder(int(seed), copies=int(copies))
        return {}

    def do_go_silent(self) -> Document:
        self._server.go_silent()
        return {}

    async def do_flap(self, times: int = 1, down_s: float = 0.2, up_s: float = 0.2) -> Document:
        """Drop every connection, this one too, and come back by itself."""

        async def flap() -> None:
            # Leaves time for the answer to this request.
            await asyncio.sleep(0.05)
            await self._server.flap(int(times), down_s=float(down_s), up_s=float(up_s))

        self._flapping = asyncio.get_running_loop().create_task(flap())
        return {}

    def close(self) -> None:
        """Let nothing come back by itself any more."""
        if self._flapping is not None:
            self._flapping.cancel()

    async def do_come_back(self) -> Document:
        await self._server.come_back()
        return {}

    def do_advance(self, seconds: float) -> Document:
        self._server.advance(float(seconds))
        return {}

    # -- what can be seen

    async def do_next(
        self, chat: int, contains: str | None = None, timeout_s: float = 5.0
    ) -> Document:
        return view(await self._chat(int(chat)).next(contains, timeout_s=float(timeout_s)))

    async def do_drained(self, timeout_s: float = 10.0) -> Document:
        await self._server.drained(timeout_s=float(timeout_s))
        return {}

    async def do_listened(self, timeout_s: float = 10.0) -> Document:
        await self._server.listened(timeout_s=float(timeout_s))
        return {}

    def do_messages(self, chat: int) -> list[Document]:
        return [view(message) for message in self._chat(int(chat)).messages]

    def do_transcript(self, chat: int) -> str:
        return self._chat(int(chat)).transcript()

    def do_delays(self, chat: int) -> list[float]:
        return self._chat(int(chat)).delays_s()

    def do_requests(self, method: str | None = None) -> list[Document]:
        kept = (r for r in self._server.requests if method in (None, r.method))
        return [
            {
                "number": r.number,
                "at": r.at,
                "method": r.method,
                "parameters": r.call.parameters,
                "status": r.status,
                "fault": r.fault,
                "message_id": r.effect and r.effect.id,
            }
            for r in kept
        ]

    def do_updates(self) -> Document:
        updates = self._server.updates()
        return {
            "waiting": sorted(updates.waiting),
            "confirmed": sorted(updates.confirmed),
            "handed_out": updates.handed_out,
            "is_polled": updates.is_polled,
        }

    def do_rates(self) -> Document:
        rates = self._server.rates
        return {
            "total": rates.total,
            "busiest_second": rates.busiest_second,
            "busiest_chat_second": rates.busiest_chat_second,
            "busiest_group_minute": rates.busiest_group_minute,
            "exceeded": rates.exceeded,
            "disobeyed": [[e.chat_id, e.method, e.early_s] for e in rates.disobeyed],
        }

    def _person(self, number: int) -> "Person":
        assert number in self._server.world.people, f"no person {number}; add it with `person`"
        return self._server.person(id=number)

    def _chat(self, number: int) -> Conversation:
        chat = self._server.world.chat_of(self._server.bot, number)
        if chat is None:
            raise NothingCame(f"no chat {number}")
        return Conversation(chat)

    def _where(self, person: int, chat: int | None) -> Conversation:
        if chat is None or chat == person:
            return self._person(person).chat()
        return self._chat(chat)


def _json(status: int, document: Any) -> Answer:
    return Answer(status, json.dumps(document, ensure_ascii=False).encode())
