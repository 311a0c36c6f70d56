"""The server: takes calls from the socket, carries them out, and brings webhooks until they are taken."""

import asyncio
import contextlib
import hashlib
import hmac
import itertools
import json
import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import httpx
from aiohttp import web

from tests.servers.whatsapp.people import Person, Sent
from tests.servers.whatsapp.rules import MEDIA, Document, Fault, Refusal, bad, check

WINDOW_S = 24 * 3600


class ContractViolation(AssertionError):
    """A call was not what Meta documents."""


@dataclass
class Delivery:
    """A webhook that is brought until it is answered with 200."""

    body: bytes
    tries: int = 0
    statuses: list[int | str] = field(default_factory=list)
    taken: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def message_id(self) -> str:
        """Return the number of its first message."""
        value = json.loads(self.body)["entry"][0]["changes"][0]["value"]
        return str(value["messages"][0]["id"])


class WhatsAppServer:
    """A WhatsApp Business number, on a loopback socket."""

    def __init__(self, *, is_strict: bool = True) -> None:
        self.is_strict = is_strict
        self.phone_id = "106540352242922"
        self.display_number = "15550783881"
        self.token = "EAAFakeTokenForTestsOnly0123456789"
        self.app_secret = "0123456789abcdef0123456789abcdef"
        self.verify_token = "a word of our own"
        self.webhook_url = ""
        self.phone: Document = {
            "display_phone_number": "+1 555 078 3881",
            "verified_name": "Example",
            "quality_rating": "GREEN",
            "code_verification_status": "VERIFIED",
            "platform_type": "CLOUD_API",
        }
        self.templates: dict[tuple[str, str], int] = {}
        self.windows: dict[str, float] = {}
        """When each person last wrote, as seconds of the server's clock."""
        self.is_late_at_once = False
        self.retry_s = 0.1
        self.faults: list[Fault] = []
        self.record: list[tuple[str, Document]] = []
        self.violations: list[str] = []
        self.deliveries: list[Delivery] = []
        self.people: dict[str, Person] = {}
        self._shift_s = 0.0
        self._media: dict[str, tuple[bytes, str]] = {}
        self._numbers = itertools.count(1)
        self._held: list[Document] | None = None
        self._runner: web.AppRunner | None = None
        self._jobs: set[asyncio.Task[None]] = set()
        self._order = asyncio.Lock()
        self.port = 0

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def base_url(self) -> str:
        """What the client takes as its address."""
        return f"{self.url}/v24.0"

    def now(self) -> float:
        """Return the server's time, in seconds."""
        return time.time() + self._shift_s

    def advance(self, *, hours: float) -> None:
        """Push the server's clock: windows close."""
        self._shift_s += hours * 3600

    # -- start and stop

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=128 * 1024 * 1024)
        app.router.add_post("/v24.0/{phone}/messages", self._messages)
        app.router.add_post("/v24.0/{phone}/media", self._upload)
        app.router.add_get("/v24.0/{object}", self._object)
        app.router.add_get("/bytes/{media}", self._bytes)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
        await self._runner.setup()
        await self.come_back()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._runner is not None
        for job in list(self._jobs):
            job.cancel()
        await asyncio.gather(*self._jobs, return_exceptions=True)
        await self._runner.cleanup()
        if error is None and self.is_strict and self.violations:
            raise ContractViolation("\n".join(dict.fromkeys(self.violations)))

    async def come_back(self) -> None:
        """Listen, on the same port as before."""
        assert self._runner is not None
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True)
        await site.start()
        server = site._server
        assert isinstance(server, asyncio.Server)
        self.port = server.sockets[0].getsockname()[1]

    async def go_down(self) -> None:
        """Refuse connections."""
        assert self._runner is not None
        for site in list(self._runner.sites):
            await site.stop()

    def person(self, name: str = "Ada", *, number: str | None = None) -> Person:
        """Add a person."""
        made = Person(self, name, number or f"3361200{next(self._numbers):04d}")
        self.people[made.id] = made
        return made

    def keep(self, content: bytes, mime: str) -> str:
        """Keep a file and return its id."""
        number = f"13752458793{next(self._numbers):04d}"
        self._media[number] = (content, mime)
        return number

    # -- webhooks

    def bring(self, *values: Document) -> Delivery:
        """Queue a webhook with one change for each value; while batching, only collect them."""
        metadata = {
            "display_phone_number": self.display_number,
            "phone_number_id": self.phone_id,
        }
        made = [{"messaging_product": "whatsapp", "metadata": metadata} | v for v in values]
        if self._held is not None:
            self._held += made
            return Delivery(self._written(made))
        return self.send_bytes(self._written(made))

    @contextlib.contextmanager
    def batch(self) -> Any:
        """Bring all that is said within the block in one webhook."""
        self._held = []
        yield
        values, self._held = self._held, None
        self.send_bytes(self._written(values))

    def _written(self, values: list[Document]) -> bytes:
        changes = [{"field": "messages", "value": value} for value in values]
        entry = {"id": "102290129340398", "changes": changes}
        document = {"object": "whatsapp_business_account", "entry": [entry]}
        # Meta escapes what is not ASCII; the signature is over these very bytes.
        return json.dumps(document, ensure_ascii=True, separators=(",", ":")).encode()

    def send_bytes(self, body: bytes) -> Delivery:
        """Queue a webhook with these bytes."""
        delivery = Delivery(body)
        self.deliveries.append(delivery)
        self._spawn(self._push(delivery))
        return delivery

    def redeliver(self, delivery: Delivery) -> Delivery:
        """Bring the same bytes again, although they were taken."""
        return self.send_bytes(delivery.body)

    def signature(self, body: bytes) -> str:
        """Return what Meta writes into the header."""
        return "sha256=" + hmac.new(self.app_secret.encode(), body, hashlib.sha256).hexdigest()

    async def drained(self, *, timeout_s: float = 10.0) -> None:
        """Wait until every webhook was taken."""
        async with asyncio.timeout(timeout_s):
            for delivery in list(self.deliveries):
                await delivery.taken.wait()

    async def _push(self, delivery: Delivery) -> None:
        headers = {
            "Content-Type": "application/json",
            "X-Hub-Signature-256": self.signature(delivery.body),
        }
        async with self._order, httpx.AsyncClient(trust_env=False, timeout=10) as client:
            while not delivery.taken.is_set():
                delivery.tries += 1
                try:
                    answer = await client.post(
                        self.webhook_url, content=delivery.body, headers=headers
                    )
                    delivery.statuses.append(answer.status_code)
                    if answer.status_code == 200:
                        delivery.taken.set()
                        return
                except (httpx.HTTPError, httpx.InvalidURL) as error:
                    delivery.statuses.append(type(error).__name__)
                await asyncio.sleep(self.retry_s)

    def _spawn(self, work: Any) -> None:
        job = asyncio.get_running_loop().create_task(work)
        self._jobs.add(job)
        job.add_done_callback(self._jobs.discard)

    # -- the Graph API

    async def _messages(self, request: web.Request) -> web.StreamResponse:
        fault = next((f for f in self.faults if f.kind == "messages"), None)
        if fault is not None:
            fault.times -= 1
            if fault.times <= 0:
                self.faults.remove(fault)
            if fault.cut == "before":
                return _cut(request)
            if fault.body is not None:
                return web.Response(status=fault.status, text=fault.body)
        try:
            document = await request.json()
            self._check_call(request)
            if fault is not None and fault.code:
                raise Refusal(fault.code, "It went wrong", status=fault.status)
            answer = self._message(document)
        except Refusal as refusal:
            return web.json_response(refusal.document, status=refusal.status)
        if fault is not None and fault.cut == "after":
            return _cut(request)
        return web.json_response(answer)

    def _check_call(self, request: web.Request) -> None:
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            raise Refusal(190, "Invalid OAuth access token", status=401)
        if request.match_info.get("phone", self.phone_id) != self.phone_id:
            raise Refusal(100, "Unsupported post request. Object does not exist")

    def _message(self, document: Document) -> Document:
        self.record.append((str(document.get("type") or document.get("status")), document))
        if "status" in document:
            known = {"messaging_product", "status", "message_id", "typing_indicator"}
            self.violations += [f"status: an unknown key: {k}" for k in document.keys() - known]
            if not str(document.get("message_id", "")).startswith("wamid."):
                raise bad("message_id")
            return {"success": True}
        kind = check(document, self.violations.append)
        to = str(document.get("to") or document.get("recipient"))
        person = self.people.get(to)
        if person is None:
            raise Refusal(131030, "Recipient phone number not in allowed list")
        content, number = document[kind], f"wamid.out.{next(self._numbers)}"
        is_late = self.now() - self.windows.get(to, -WINDOW_S) >= WINDOW_S
        if kind == "template":
            self._check_template(content)
        elif is_late and self.is_late_at_once:
            raise Refusal(131047, "Re-engagement message", details="More than 24 hours have passed")
        file = None
        if kind == "document":
            if content["id"] not in self._media:
                raise bad("document['id']")
            file = self._media[content["id"]][0]
        if is_late and kind != "template":
            self._report_late(to, number)
        else:
            person.chat.add(Sent(number, kind, content, file))
        contact = {"input": to, "wa_id": to}
        return {
            "messaging_product": "whatsapp",
            "contacts": [contact],
            "messages": [{"id": number}],
        }

    def _check_template(self, content: Document) -> None:
        key = (str(content.get("name")), str(content.get("language", {}).get("code")))
        if key not in self.templates:
            raise Refusal(132001, "Template name does not exist in the translation", status=404)
        given = sum(len(c.get("parameters", [])) for c in content.get("components", []))
        if given != self.templates[key]:
            raise Refusal(132000, "Number of parameters does not match")

    def _report_late(self, to: str, number: str) -> None:
        """Take a message that comes too late, and report afterwards that it failed, as Meta does."""
        error = {
            "code": 131047,
            "title": "Re-engagement message",
            "message": "Re-engagement message",
            "error_data": {"details": "More than 24 hours have passed since they last replied"},
        }
        self.fails(to, number, error)

    def fails(self, to: str, number: str, error: Document) -> Delivery:
        """Report that a message did not arrive."""
        stamp = str(int(self.now()))
        status = {"id": number, "status": "failed", "timestamp": stamp, "recipient_id": to}
        return self.bring({"statuses": [status | {"errors": [error]}]})

    async def _upload(self, request: web.Request) -> web.StreamResponse:
        try:
            self._check_call(request)
            form = await request.post()
            self.violations += [
                f"media: an unknown field: {k}"
                for k in form.keys() - {"file", "type", "messaging_product"}
            ]
            file = form.get("file")
            if form.get("messaging_product") != "whatsapp" or not isinstance(file, web.FileField):
                raise bad("messaging_product and file are required")
            if form.get("type") not in MEDIA or file.content_type not in MEDIA:
                raise bad(
                    f"Param file must be a file with one of the types; got {file.content_type}"
                )
            content = file.file.read()
            if not content:
                raise bad("the file is empty")
        except Refusal as refusal:
            return web.json_response(refusal.document, status=refusal.status)
        return web.json_response({"id": self.keep(content, str(form["type"]))})

    async def _object(self, request: web.Request) -> web.StreamResponse:
        number = request.match_info["object"]
        try:
            self._check_call(request)
            if number == self.phone_id:
                return web.json_response({"id": self.phone_id} | self.phone)
            if number not in self._media:
                raise Refusal(100, "Unsupported get request. Object does not exist")
        except Refusal as refusal:
            return web.json_response(refusal.document, status=refusal.status)
        content, mime = self._media[number]
        document = {
            "url": f"{self.url}/bytes/{number}",
            "mime_type": mime,
            "sha256": hashlib.sha256(content).hexdigest(),
            "file_size": len(content),
            "id": number,
            "messaging_product": "whatsapp",
        }
        return web.json_response(document)

    async def _bytes(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            return web.Response(status=401)
        content, mime = self._media[request.match_info["media"]]
        return web.Response(body=content, headers={"Content-Type": mime})


def _cut(request: web.Request) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)
