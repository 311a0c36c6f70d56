"""What is commonly wrong with a Slack app's set-up, each with what helps. Asks Slack, changes nothing."""

from collections.abc import AsyncIterator
from typing import Any

from swarm.channels.mistakes import Mistake
from swarm.channels.slack import errors
from swarm.channels.slack.config import SlackConfig
from swarm.core.errors import ConfigError
from swarm.core.registry import Registry

PARTS = Registry("part of slack", {"slack": "swarm.channels.slack.vendor:Line"})
SCOPES = {
    "chat:write": "write at all",
    "im:history": "hear what is written to it in private",
    "im:write": "answer a slash command in private",
    "app_mentions:read": "hear its name in channels",
    "files:read": "take files in",
    "files:write": "send files",
    "reactions:read": "see reactions",
    "users:read": "know people's names",
    "commands": "take its slash command",
}
"""What the app must be allowed to do, and what for."""


async def diagnose(
    config: SlackConfig, *, has_founder: bool, was_heard: bool
) -> AsyncIterator[Mistake]:
    """Look at everything that can be wrong, the fatal things first."""
    if config.bot_token is None and config.app_token is None:
        yield Mistake("no tokens are set: nothing listens to Slack")
        return
    found = _tokens(config)
    for mistake in found:
        yield mistake
    if found:
        return
    for mistake in _people(config, has_founder):
        yield mistake
    try:
        line = PARTS.load("slack")(config)
    except ConfigError as error:
        yield Mistake(str(error), "pip install 'swarm[slack]'", is_fatal=True)
        return
    async for mistake in _asked(line, config):
        yield mistake
    if not was_heard:
        yield Mistake(
            "nothing was heard from Slack yet",
            "in the app's pages: Socket Mode on; Event Subscriptions on with message.im, app_mention "
            "and reaction_added; Interactivity on; App Home lets people send messages; the slash "
            f"command {config.command} exists; then install the app again",
        )


def _tokens(config: SlackConfig) -> list[Mistake]:
    """Look at what the tokens themselves show."""
    pages = {
        "bot_token": ("xoxb-", "OAuth & Permissions"),
        "app_token": ("xapp-", "Basic Information, App-Level Tokens, with connections:write"),
    }
    found = []
    for name, (beginning, page) in pages.items():
        secret = getattr(config, name)
        variable = f"SWARM_SLACK__{name.upper()}"
        if secret is None:
            text = f"{variable} is not set; Slack needs both tokens"
        elif not secret.get_secret_value().startswith(beginning):
            text = f"{variable} does not begin with {beginning}: it is another kind of token"
        else:
            continue
        found.append(Mistake(text, f"take it from the app's page {page}", is_fatal=True))
    return found


def _people(config: SlackConfig, has_founder: bool) -> list[Mistake]:
    if has_founder:
        return []
    return [
        Mistake(
            "nobody may write to the app: no founder is set and nobody was let in",
            "`swarm pairing invite`, then send its code to the app in private, or set "
            "SWARM_SLACK__FOUNDERS=TEAM:USER",
        )
    ]


async def _asked(line: Any, config: SlackConfig) -> AsyncIterator[Mistake]:
    try:
        name = await line.open()
    except Exception as error:  # noqa: BLE001  # told apart in words
        yield _unreachable(error, config)
        return
    yield Mistake(f"the app is @{name} in the workspace {line.team_id}")
    missing = [scope for scope in SCOPES if line.scopes and scope not in line.scopes]
    for scope in missing:
        yield Mistake(
            f"the app lacks the scope {scope}: it cannot {SCOPES[scope]}",
            "add it under OAuth & Permissions, then install the app again",
            is_fatal=scope in ("chat:write", "im:history"),
        )
    async for mistake in _socket(line):
        yield mistake
    for person in config.founders:
        if not person.startswith(f"{line.team_id}:"):
            yield Mistake(
                f"the founder {person} is of another workspace than the app ({line.team_id})",
                "right for a shared channel; else copy the id anew",
            )
    async for mistake in _groups(line, config):
        yield mistake


async def _socket(line: Any) -> AsyncIterator[Mistake]:
    """Ask for a socket's address, which opens none."""
    try:
        await line.address()
    except Exception as error:  # noqa: BLE001  # told apart in words
        code = errors.code_of(error)
        yield Mistake(
            f"Slack gives out no socket: {code or type(error).__name__}",
            "is Socket Mode on, and has the token of SWARM_SLACK__APP_TOKEN the scope "
            "connections:write, and is it of the same app?",
            is_fatal=True,
        )


def _unreachable(error: Exception, config: SlackConfig) -> Mistake:
    code = errors.code_of(error)
    if code in ("invalid_auth", "not_authed", "token_revoked", "token_expired", "account_inactive"):
        return Mistake(
            f"Slack does not accept the bot's token: {code}",
            "copy it anew from OAuth & Permissions; an app that was removed must be installed again",
            is_fatal=True,
        )
    if code:
        return Mistake(
            f"Slack refuses the app: {code}", "see the app's page for what it misses", is_fatal=True
        )
    return Mistake(
        f"{config.base_url} cannot be reached ({type(error).__name__})",
        "is the network up, and are slack.com and wss-primary.slack.com allowed by the firewall?",
        is_fatal=True,
    )


async def _groups(line: Any, config: SlackConfig) -> AsyncIterator[Mistake]:
    for group in config.groups:
        try:
            channel = (await line.web.conversations_info(channel=group))["channel"]
        except Exception as error:  # noqa: BLE001  # whatever the reason, it is not there for us
            yield Mistake(
                f"the channel {group} cannot be seen ({errors.code_of(error)})",
                "is the id right? A private channel also needs the scope groups:history",
            )
            continue
        if channel.get("is_im"):
            yield Mistake(f"{group} is a private conversation", "it needs no place in slack.groups")
        elif not channel.get("is_member"):
            yield Mistake(f"the app is not in the channel {group}", "write /invite @the-app there")
