"""The bot's own account: who it is, its commands, its name and descriptions."""

import json
import re
from typing import Any

from tests.servers.telegram.calls import Call
from tests.servers.telegram.methods.desk import Desk, method
from tests.servers.telegram.refusals import bad
from tests.servers.telegram.world import Document

MAX_COMMANDS = 100
# Seen by users of the service, nowhere documented: names and descriptions of one menu together.
MAX_COMMAND_TEXT = 5_700
MAX_DESCRIPTION = 256
DEFAULT_SCOPE = '{"type": "default"}'
SETTINGS = {
    # method's ending: (field of the result, longest)
    "Name": ("name", 64),
    "Description": ("description", 512),
    "ShortDescription": ("short_description", 120),
}


@method("getMe")
def get_me(desk: Desk, call: Call) -> Document:
    return desk.bot.document()


@method("logOut")
def log_out(desk: Desk, call: Call) -> bool:
    return True


@method("close")
def close(desk: Desk, call: Call) -> bool:
    return True


def _key(call: Call) -> tuple[str, str]:
    scope = call.document("scope") or {"type": "default"}
    return json.dumps(scope, sort_keys=True), call.text("language_code")


@method("setMyCommands")
def set_commands(desk: Desk, call: Call) -> bool:
    commands = call.document("commands")
    if not isinstance(commands, list):
        raise bad("can't parse commands JSON object")
    if len(commands) > MAX_COMMANDS:
        raise bad("BOT_COMMANDS_TOO_MUCH")
    kept = [_command(command) for command in commands]
    if sum(len(c["command"]) + len(c["description"]) for c in kept) > MAX_COMMAND_TEXT:
        raise bad("BOT_COMMANDS_TOO_MUCH")
    desk.bot.commands[_key(call)] = kept
    return True


def _command(given: Any) -> Document:
    if not isinstance(given, dict):
        raise bad("can't parse BotCommand: expected an Object")
    name = str(given.get("command", "")).removeprefix("/").strip().lower()
    description = str(given.get("description", "")).strip()
    if not re.fullmatch(r"[a-z0-9_]{1,32}", name):
        raise bad("BOT_COMMAND_INVALID")
    if not 1 <= len(description) <= MAX_DESCRIPTION:
        raise bad("BOT_COMMAND_DESCRIPTION_INVALID")
    return {"command": name, "description": description}


@method("getMyCommands")
def get_commands(desk: Desk, call: Call) -> list[Document]:
    return list(desk.bot.commands.get(_key(call), ()))


@method("deleteMyCommands")
def delete_commands(desk: Desk, call: Call) -> bool:
    desk.bot.commands.pop(_key(call), None)
    return True


def _register(ending: str, field: str, longest: int) -> None:
    def write(desk: Desk, call: Call) -> bool:
        text = call.text(field)
        if len(text) > longest:
            raise bad(f"BOT_{field.upper()}_TOO_LONG")
        desk.bot.settings[f"{field} {call.text('language_code')}"] = text
        return True

    def read(desk: Desk, call: Call) -> Document:
        settings = desk.bot.settings
        own = settings.get(f"{field} {call.text('language_code')}")
        default = desk.bot.user.first_name if field == "name" else ""
        return {field: own or settings.get(f"{field} ") or default}

    method(f"setMy{ending}")(write)
    method(f"getMy{ending}")(read)


for _ending, (_field, _longest) in SETTINGS.items():
    _register(_ending, _field, _longest)
