"""The server: answers calls, keeps sockets open, and brings what happens until it is acknowledged."""

import asyncio
import json
import time
import uuid
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from aiohttp import WSMsgType, web

from tests.servers.slack.methods import METHODS, Method, Methods
from tests.servers.slack.person import Person
from tests.servers.slack.wire import Call, Fault, Refusal, arguments_of
from tests.servers.slack.world import Channel, Conversation, Document, World

BOT_TOKEN = "xoxb-710000001-710000002-FakeBotTokenForTests"
APP_TOKEN = "xapp-1-A0SWARM01-710000003-fakeapptokenfortests"


class ContractViolation(AssertionError):
    """A call or an acknowledgement was not what Slack documents."""


@dataclass
class Delivery:
    """Something that is brought until it is acknowledged."""

    kind: str
    payload: Document
    tries: int = 0
    acked: asyncio.Event = field(default_factory=asyncio.Event)
    ack_s: float | None = None
    """How long the acknowledgement of the try that brought it took, in seconds."""


class SlackServer:
    """A workspace with an app, on a loopback socket."""

    def __init__(self, *, is_strict: bool = True, ack_s: float = 3.0) -> None:
        self.world = World()
        self.is_strict = is_strict
        self.ack_s = ack_s
        """After so long without an acknowledgement something is brought again, in seconds."""
        self.bot_token, self.app_token = BOT_TOKEN, APP_TOKEN
        self.methods = Methods(self.world, lambda: self.url)
        self.faults: list[Fault] = []
        self.record: list[Call] = []
        self.violations: list[str] = []
        self.deliveries: list[Delivery] = []
        self.opened = 0
        """Sockets that were opened so far."""
        self.is_mute = False
        """While true nothing is brought and no ping is answered, on any socket."""
        self._sockets: list[web.WebSocketResponse] = []
        self._dead: set[int] = set()
        self._leaving: set[int] = set()
        self._pending: dict[str, tuple[Delivery, float]] = {}
        self._changed = asyncio.Event()
        self._runner: web.AppRunner | None = None
        self._site: web.TCPSite | None = None
        self._pusher: asyncio.Task[None] | None = None
        self.port = 0

    # -- where it is

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def base_url(self) -> str:
        """What slack-sdk takes as `base_url`."""
        return f"{self.url}/api/"

    def calls(self, method: str) -> list[Call]:
        """Return the record of a method's calls."""
        return [call for call in self.record if call.method == method]

    # -- start and stop

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_route("*", "/api/{method}", self._call)
        app.router.add_get("/link/", self._link)
        app.router.add_post("/upload/{file}", self._upload)
        app.router.add_get("/files/{file}{rest:.*}", self._download)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
        await self._runner.setup()
        await self.come_back()
        self._pusher = asyncio.create_task(self._push())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._runner is not None
        if self._pusher is not None:
            self._pusher.cancel()
            await asyncio.gather(self._pusher, return_exceptions=True)
        await self.go_down()
        await self._runner.cleanup()
        if error is None and self.is_strict and self.violations:
            raise ContractViolation("\n".join(dict.fromkeys(self.violations)))

    async def come_back(self) -> None:
        """Listen, on the same port as before."""
        if self._site is None:
            assert self._runner is not None
            self._site = web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True)
            await self._site.start()
            server = self._site._server
            assert isinstance(server, asyncio.Server)
            self.port = server.sockets[0].getsockname()[1]

    async def go_down(self) -> None:
        """Refuse connections and drop those that are open; everything is kept."""
        site, self._site = self._site, None
        if site is not None:
            await site.stop()
        for socket in list(self._sockets):
            if socket._req is not None and socket._req.transport is not None:
                socket._req.transport.abort()

    def sockets_die(self) -> None:
        """Let the open sockets stay open and say nothing more, as after a lost route."""
        self._dead |= {id(socket) for socket in self._sockets}

    async def asks_to_reconnect(self, reason: str = "refresh_requested") -> None:
        """Tell the open sockets to make place, as Slack does every few hours."""
        for socket in list(self._sockets):
            self._leaving.add(id(socket))
            await socket.send_json({"type": "disconnect", "reason": reason, "debug_info": {}})

    # -- who is there

    def person(self, name: str = "Ada", *, id: str | None = None) -> Person:
        """Add a person."""
        user = id or f"U0{self.world.number():07d}"
        self.world.people[user] = name
        return Person(self, user)

    def channel(self, name: str, *people: Person, has_app: bool = True) -> Conversation:
        """Open a channel with people, and the app, in it."""
        members = {person.id for person in people}
        members |= {self.world.bot_user} if has_app else set()
        made = Channel(f"C0{self.world.number():07d}", name, False, members)
        self.world.channels[made.id] = made
        return Conversation(made, self.world)

    # -- what is brought

    def bring(self, kind: str, payload: Document) -> Delivery:
        """Queue something to be brought."""
        delivery = Delivery(kind, payload)
        self.deliveries.append(delivery)
        self._changed.set()
        return delivery

    def event(self, event: Document) -> Delivery:
        """Queue an event of the Events API."""
        number = self.world.number()
        payload = {
            "token": "verification",
            "team_id": self.world.team_id,
            "api_app_id": self.world.app_id,
            "type": "event_callback",
            "event_id": f"Ev0{number:08d}",
            "event_time": int(time.time()),
            "event": event,
        }
        return self.bring("events_api", payload)

    def redeliver(self, delivery: Delivery) -> Delivery:
        """Bring something again although it was acknowledged."""
        again = self.bring(delivery.kind, json.loads(json.dumps(delivery.payload)))
        again.tries = delivery.tries
        return again

    async def drained(self, *, timeout_s: float = 10.0) -> None:
        """Wait until everything was acknowledged."""
        async with asyncio.timeout(timeout_s):
            for delivery in list(self.deliveries):
                await delivery.acked.wait()

    async def connected(self, *, timeout_s: float = 15.0) -> None:
        """Wait until a socket is open and alive."""
        async with asyncio.timeout(timeout_s):
            while not self._alive():  # noqa: ASYNC110  # nothing tells of it
                await asyncio.sleep(0.01)

    def _alive(self) -> list[web.WebSocketResponse]:
        gone = self._dead | self._leaving
        return [s for s in self._sockets if not s.closed and id(s) not in gone]

    async def _push(self) -> None:
        while True:
            self._changed.clear()
            now = time.monotonic()
            in_flight = {id(d) for d, at in self._pending.values() if now - at < self.ack_s}
            for delivery in list(self.deliveries):
                if delivery.acked.is_set() or id(delivery) in in_flight or self.is_mute:
                    continue
                sockets = self._alive()
                if sockets:
                    await self._bring(delivery, sockets[delivery.tries % len(sockets)])
            try:
                async with asyncio.timeout(0.05):
                    await self._changed.wait()
            except TimeoutError:
                pass

    async def _bring(self, delivery: Delivery, socket: web.WebSocketResponse) -> None:
        envelope = str(uuid.uuid4())
        document: Document = {
            "envelope_id": envelope,
            "type": delivery.kind,
            "payload": delivery.payload,
            "accepts_response_payload": delivery.kind != "events_api",
        }
        if delivery.kind == "events_api":
            document["retry_attempt"] = delivery.tries
            document["retry_reason"] = "timeout" if delivery.tries else ""
        delivery.tries += 1
        self._pending[envelope] = (delivery, time.monotonic())
        try:
            await socket.send_json(document)
        except (ConnectionError, RuntimeError):
            del self._pending[envelope]

    def _acknowledge(self, document: Any) -> None:
        envelope = document.get("envelope_id") if isinstance(document, dict) else None
        if envelope not in self._pending:
            self.violations.append(f"an acknowledgement of nothing: {document}")
            return
        delivery, at = self._pending[envelope]
        took = time.monotonic() - at
        if delivery.ack_s is None:
            delivery.ack_s = took
        if took > 3.0:
            self.violations.append(f"acknowledged after {took:.1f} s, Slack wants three")
        delivery.acked.set()

    # -- the sockets

    async def _link(self, request: web.Request) -> web.StreamResponse:
        ticket = request.query.get("ticket", "")
        if ticket not in self.methods.tickets:
            return web.Response(status=403)
        self.methods.tickets.discard(ticket)
        socket = web.WebSocketResponse(autoping=False)
        await socket.prepare(request)
        self._sockets.append(socket)
        self.opened += 1
        info = {"app_id": self.world.app_id}
        hello = {"type": "hello", "connection_info": info, "num_connections": len(self._alive())}
        await socket.send_json(hello)
        self._changed.set()
        try:
            async for message in socket:
                if self.is_mute or id(socket) in self._dead:
                    continue
                if message.type == WSMsgType.PING:
                    await socket.pong(message.data)
                elif message.type == WSMsgType.TEXT:
                    self._acknowledge(json.loads(message.data))
        finally:
            self._sockets.remove(socket)
            # What was on its way over it comes again at once.
            self._pending = {k: v for k, v in self._pending.items() if v[0].acked.is_set()}
            self._changed.set()
        return socket

    # -- the Web API

    async def _call(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["method"]
        fault = self._fault(name)
        if fault is not None and fault.delay_s:
            await asyncio.sleep(fault.delay_s)
        if fault is not None and fault.cut == "before":
            return _cut(request)
        given: Document = {}
        try:
            given = await arguments_of(request)
            if fault is not None and (fault.code or fault.status != 200):
                raise Refusal(fault.code or "ratelimited")
            answer = self._work(name, given, request.headers.get("Authorization", ""))
        except Refusal as refusal:
            answer = refusal.document
        self.record.append(Call(name, given, answer, time.monotonic()))
        if fault is not None and fault.cut == "after":
            return _cut(request)
        headers = {"x-oauth-scopes": ",".join(sorted(self.methods.scopes))}
        if fault is not None and fault.retry_after is not None:
            headers["Retry-After"] = str(fault.retry_after)
        status = fault.status if fault is not None else 200
        if fault is not None and fault.body is not None:
            return web.Response(status=status, text=fault.body, content_type="text/html")
        return web.json_response(answer, status=status, headers=headers)

    def _work(self, name: str, given: Document, authorization: str) -> Document:
        method = METHODS.get(name)
        if method is None:
            self.violations.append(f"an unknown method: {name}")
            raise Refusal("unknown_method", req_method=name)
        self._check_token(method, authorization.removeprefix("Bearer "))
        if method.scope and method.scope not in self.methods.scopes:
            raise Refusal("missing_scope", needed=method.scope)
        for unknown in given.keys() - method.required - method.optional:
            self.violations.append(f"{name}: an unknown parameter: {unknown}")
        if any(given.get(key) in (None, "") for key in method.required):
            raise Refusal("invalid_arguments")
        return {"ok": True, **method.work(self.methods, given)}

    def _check_token(self, method: Method, token: str) -> None:
        if not token:
            raise Refusal("not_authed")
        if token not in (self.bot_token, self.app_token):
            raise Refusal("invalid_auth")
        if (token == self.app_token) != method.is_of_app:
            raise Refusal("not_allowed_token_type")

    def _fault(self, method: str) -> Fault | None:
        for fault in self.faults:
            if fault.method not in (method, "*"):
                continue
            if fault.skip:
                fault.skip -= 1
                continue
            fault.times -= 1
            if fault.times <= 0:
                self.faults.remove(fault)
            return fault
        return None

    async def _upload(self, request: web.Request) -> web.StreamResponse:
        file = self.world.files.get(request.match_info["file"])
        if file is None or file.is_complete:
            return web.Response(status=404)
        file.content = await request.read()
        return web.Response(text=f"OK - {len(file.content)}")

    async def _download(self, request: web.Request) -> web.StreamResponse:
        file = self.world.files.get(request.match_info["file"])
        if request.headers.get("Authorization") != f"Bearer {self.bot_token}":
            # Slack leads who may not read it to a page to log in.
            raise web.HTTPFound(f"{self.url}/login")
        if file is None:
            return web.Response(status=404)
        return web.Response(body=file.content, content_type=file.mime or "application/octet-stream")


def _cut(request: web.Request) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)
