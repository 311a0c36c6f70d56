"""How a bot hears: getUpdates and webhooks."""

import re
from typing import Any
from urllib.parse import urlsplit

from tests.servers.telegram.calls import Call
from tests.servers.telegram.methods.desk import Desk, method
from tests.servers.telegram.refusals import bad
from tests.servers.telegram.webhooks import Webhook
from tests.servers.telegram.world import Document

MAX_TIMEOUT_S = 50
MAX_BATCH = 100
PORTS = (443, 80, 88, 8443)
HERE = ("127.0.0.1", "localhost", "::1")


def _take_allowed(desk: Desk, call: Call) -> None:
    """Change which kinds of updates are queued from now on, where the call says."""
    if not call.has("allowed_updates"):
        return
    allowed = call.document("allowed_updates")
    if not isinstance(allowed, list):
        raise bad("can't parse allowed updates JSON array")
    desk.updates.allowed = [str(name) for name in allowed]


@method("getUpdates")
async def get_updates(desk: Desk, call: Call) -> list[Document]:
    if desk.updates.webhook is None:
        _take_allowed(desk, call)
    limit = call.integer("limit", MAX_BATCH)
    return await desk.updates.poll(
        offset=call.integer("offset"),
        limit=limit if 1 <= limit <= MAX_BATCH else MAX_BATCH,
        timeout_s=min(max(call.integer("timeout"), 0), MAX_TIMEOUT_S),
        gone=desk.request.gone,
    )


@method("setWebhook")
async def set_webhook(desk: Desk, call: Call) -> bool:
    url = call.text("url").strip()
    if not url:
        return await _delete(desk, call)
    _check_url(url)
    secret = call.text("secret_token")
    if secret and not re.fullmatch(r"[A-Za-z0-9_-]{1,256}", secret):
        raise bad("secret token contains unallowed characters")
    most = call.integer("max_connections", 40)
    if not 1 <= most <= 100:
        raise bad("max_connections must be between 1 and 100")
    _take_allowed(desk, call)
    await _end(desk)
    if call.flag("drop_pending_updates"):
        _drop(desk)
    # Ends a poll that hangs, as Telegram does.
    desk.updates.end_poll()
    certificate = "certificate" in call.uploads
    hook = Webhook(desk.updates, url, secret, most, rules=desk.rules, has_certificate=certificate)
    hook.on_reply = desk.take_reply
    desk.updates.webhook = hook
    hook.start()
    return True


def _check_url(url: str) -> None:
    split = urlsplit(url)
    # Looser than Telegram on this machine alone, where nobody has a certificate.
    if split.scheme == "http" and split.hostname in HERE:
        return
    if split.scheme != "https":
        raise bad("bad webhook: An HTTPS URL must be provided for webhook")
    if split.hostname not in HERE and (split.port or 443) not in PORTS:
        raise bad("bad webhook: Webhook can be set up only on ports 80, 88, 443 or 8443")


@method("deleteWebhook")
async def delete_webhook(desk: Desk, call: Call) -> bool:
    return await _delete(desk, call)


async def _delete(desk: Desk, call: Call) -> bool:
    await _end(desk)
    if call.flag("drop_pending_updates"):
        _drop(desk)
    return True


async def _end(desk: Desk) -> None:
    hook, desk.updates.webhook = desk.updates.webhook, None
    if hook is not None:
        await hook.stop()


def _drop(desk: Desk) -> None:
    desk.updates.waiting.clear()
    desk.updates.pulse.beat()


@method("getWebhookInfo")
def webhook_info(desk: Desk, call: Call) -> Document:
    hook = desk.updates.webhook
    made: dict[str, Any] = {"url": "", "has_custom_certificate": False}
    if hook is not None:
        made |= hook.info()
    made["pending_update_count"] = len(desk.updates.waiting)
    if desk.updates.allowed:
        made["allowed_updates"] = desk.updates.allowed
    return made
