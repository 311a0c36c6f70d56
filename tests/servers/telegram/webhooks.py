"""Updates pushed to a bot: with the secret header, again and again until it answers 2xx."""

import asyncio
import contextlib
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import httpx

from tests.servers.telegram.delivery import Deliveries, Waiting
from tests.servers.telegram.world import Document

SECRET_HEADER = "X-Telegram-Bot-Api-Secret-Token"
MAX_GROWTH = 20


class Timing(Protocol):
    """When a webhook is tried again."""

    webhook_retry_s: float
    webhook_timeout_s: float


class Webhook:
    """Pushes the updates of one bot; of one chat, one at a time and in order."""

    def __init__(
        self,
        updates: Deliveries,
        url: str,
        secret: str,
        max_connections: int,
        *,
        rules: Timing,
        has_certificate: bool = False,
    ) -> None:
        self.url = url
        self.secret = secret
        self.max_connections = max_connections
        self.attempts: list[tuple[int, int | str]] = []
        """Each try: the update's id, and the status or the name of what went wrong."""
        self.on_reply: Callable[[Document], Awaitable[None]] | None = None
        """Takes a method call that the bot put into its answer."""
        self._rules = rules
        self._updates = updates
        self._has_certificate = has_certificate
        self._last_error: tuple[int, str] | None = None
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._chats: dict[int, asyncio.Lock] = {}
        self._slots = asyncio.Semaphore(max_connections)
        self._loop_task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to push."""
        self._loop_task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """End all pushes."""
        tasks = [*self._tasks.values()]
        if self._loop_task is not None:
            tasks.append(self._loop_task)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def info(self) -> Document:
        """What `getWebhookInfo` says of it."""
        made: Document = {
            "url": self.url,
            "has_custom_certificate": self._has_certificate,
            "max_connections": self.max_connections,
            "ip_address": "127.0.0.1",
        }
        if self._last_error is not None:
            made["last_error_date"], made["last_error_message"] = self._last_error
        return made

    async def _run(self) -> None:
        limits = httpx.Limits(max_connections=self.max_connections)
        timeout = self._rules.webhook_timeout_s
        async with httpx.AsyncClient(
            trust_env=False, limits=limits, timeout=timeout, verify=False
        ) as client:
            while True:
                changed = self._updates.pulse.next()
                for update in self._updates.ready():
                    if update.id not in self._tasks:
                        self._spawn(client, update)
                await changed

    def _spawn(self, client: httpx.AsyncClient, update: Waiting) -> None:
        task = asyncio.get_running_loop().create_task(self._push(client, update))
        self._tasks[update.id] = task
        task.add_done_callback(lambda _: self._ended(update))

    def _ended(self, update: Waiting) -> None:
        self._tasks.pop(update.id, None)
        if update.id in self._updates.waiting:
            # Asked for once more while the last push was ending.
            self._updates.pulse.beat()

    async def _push(self, client: httpx.AsyncClient, update: Waiting) -> None:
        lock = self._chats.setdefault(_chat_of(update.document), asyncio.Lock())
        pause = self._rules.webhook_retry_s
        longest = pause * MAX_GROWTH
        is_orderly = self._updates.disorder is None and self._updates.order is None
        async with lock if is_orderly else contextlib.nullcontext():
            while update.id in self._updates.waiting:
                async with self._slots:
                    is_taken = await self._try(client, update)
                if is_taken:
                    self._updates.delivered(update)
                    continue
                await asyncio.sleep(pause)
                pause = min(pause * 2, longest)

    async def _try(self, client: httpx.AsyncClient, update: Waiting) -> bool:
        headers = {"Content-Type": "application/json"}
        if self.secret:
            headers[SECRET_HEADER] = self.secret
        body = json.dumps(update.document, ensure_ascii=False).encode()
        try:
            answer = await client.post(self.url, content=body, headers=headers)
        except httpx.HTTPError as error:
            self._failed(update, type(error).__name__, "Connection failed")
            return False
        self.attempts.append((update.id, answer.status_code))
        if not answer.is_success:
            phrase = f"Wrong response from the webhook: {answer.status_code} {answer.reason_phrase}"
            self._last_error = (int(time.time()), phrase)
            return False
        await self._take_reply(answer)
        return True

    def _failed(self, update: Waiting, name: str, message: str) -> None:
        self.attempts.append((update.id, name))
        self._last_error = (int(time.time()), message)

    async def _take_reply(self, answer: httpx.Response) -> None:
        if self.on_reply is None or "json" not in answer.headers.get("content-type", ""):
            return
        with contextlib.suppress(ValueError):
            document: Any = answer.json()
            if isinstance(document, dict) and "method" in document:
                await self.on_reply(document)


def _chat_of(update: Document) -> int:
    for content in update.values():
        if isinstance(content, dict):
            holder = content.get("message") or content
            chat = holder.get("chat") or {}
            return int(chat.get("id", 0))
    return 0
