"""What is commonly wrong with a WhatsApp number's set-up, each with what helps. Changes nothing."""

import re
from collections.abc import AsyncIterator
from typing import Any

from swarm.channels.mistakes import Mistake
from swarm.channels.whatsapp import errors
from swarm.channels.whatsapp.config import WhatsAppConfig
from swarm.core.errors import ConfigError
from swarm.core.registry import Registry

PARTS = Registry("part of whatsapp", {"whatsapp": "swarm.channels.whatsapp.vendor:Line"})
_SECRET = re.compile(r"[0-9a-f]{32}")
_NEEDED = {
    "token": "a system user's permanent token with whatsapp_business_messaging",
    "phone_id": "the phone number's id from the app's page API Setup, not the number",
    "app_secret": "the app's secret from App settings, Basic",
    "verify_token": "a word of your own choice, written in the webhook's settings at Meta too",
}


async def diagnose(
    config: WhatsAppConfig, *, has_founder: bool, was_heard: bool
) -> AsyncIterator[Mistake]:
    """Look at everything that can be wrong, the fatal things first."""
    missing = [name for name in _NEEDED if not getattr(config, name)]
    if len(missing) == len(_NEEDED):
        yield Mistake("no token is set: nothing listens to WhatsApp")
        return
    for name in missing:
        text = f"SWARM_WHATSAPP__{name.upper()} is not set"
        yield Mistake(text, f"set it: {_NEEDED[name]}", is_fatal=True)
    if missing:
        return
    for mistake in _settings(config, has_founder):
        yield mistake
    try:
        line = PARTS.load("whatsapp")(config)
    except ConfigError as error:
        yield Mistake(str(error), "pip install 'swarm[whatsapp]'", is_fatal=True)
        return
    try:
        async for mistake in _asked(line, config):
            yield mistake
    finally:
        await line.close()
    if not was_heard:
        yield Mistake(
            "nothing was heard from WhatsApp yet",
            f"at Meta, Webhooks: the address is https and leads to {config.listen}{config.path}, its "
            "verify token is SWARM_WHATSAPP__VERIFY_TOKEN, the field `messages` is subscribed, and "
            "the app is subscribed to the business account",
        )


def _settings(config: WhatsAppConfig, has_founder: bool) -> list[Mistake]:
    """Look at what the settings themselves show."""
    found = []
    assert config.app_secret is not None
    if not _SECRET.fullmatch(config.app_secret.get_secret_value()):
        found.append(
            Mistake(
                "SWARM_WHATSAPP__APP_SECRET does not look like an app's secret: 32 digits of 0-9a-f",
                "copy it from App settings, Basic; with another one every webhook is refused",
            )
        )
    for person in config.founders:
        if person.startswith("0"):
            text = f"the founder {person} begins with 0: a number there begins with its country"
            found.append(Mistake(text, "write 33612345678 for 06 12 34 56 78 of France"))
    if not has_founder:
        found.append(
            Mistake(
                "nobody may write to the number: no founder is set and nobody was let in",
                "`swarm pairing invite`, then send its code, or set SWARM_WHATSAPP__FOUNDERS",
            )
        )
    if not config.template:
        found.append(
            Mistake(
                "no template is set: a decision that comes up a day after you wrote waits in silence",
                "let Meta approve a utility template with one place in its body, and set "
                "SWARM_WHATSAPP__TEMPLATE to its name",
            )
        )
    if config.listen.startswith(("0.0.0.0:", "[::]:")):
        found.append(
            Mistake(
                f"the door listens on {config.listen}, open to the whole network and without a "
                "certificate",
                "listen on 127.0.0.1 and put a proxy with https before it",
            )
        )
    return found


async def _asked(line: Any, config: WhatsAppConfig) -> AsyncIterator[Mistake]:
    try:
        phone = await line.phone()
    except Exception as error:  # noqa: BLE001  # told apart in words
        yield _unreachable(error, config)
        return
    yield Mistake(
        f"the number is {phone.get('display_phone_number')} ({phone.get('verified_name')})"
    )
    if phone.get("platform_type") not in (None, "CLOUD_API"):
        yield Mistake(
            "the number is not registered with the Cloud API",
            "register it at Meta, WhatsApp Manager, Phone numbers",
            is_fatal=True,
        )
    if phone.get("code_verification_status") not in (None, "VERIFIED"):
        yield Mistake(
            f"the number's verification is {phone['code_verification_status']}",
            "verify it again at Meta, WhatsApp Manager, Phone numbers",
        )
    if phone.get("quality_rating") == "RED":
        yield Mistake(
            "people blocked or reported the number often: Meta limits it",
            "write only to people who wrote first, and use templates sparingly",
        )


def _unreachable(error: Exception, config: WhatsAppConfig) -> Mistake:
    code = errors.code_of(error)
    if code in (0, 190):
        return Mistake(
            "Meta does not accept the token: it ended or was revoked",
            "the token of the app's first page ends within a day; make one for a system user",
            is_fatal=True,
        )
    if code in (3, 10) or 200 <= code < 300:
        return Mistake(
            "the token may not use this number",
            "give the system user the business account, with whatsapp_business_messaging",
            is_fatal=True,
        )
    if code in (33, 100, 110, 404):
        return Mistake(
            f"Meta knows no number with the id {config.phone_id}",
            "SWARM_WHATSAPP__PHONE_ID is the number's id from API Setup, not the number itself",
            is_fatal=True,
        )
    return Mistake(
        f"{config.base_url} cannot be reached ({type(error).__name__})",
        "is the network up, and is graph.facebook.com allowed by the firewall or proxy?",
        is_fatal=True,
    )
