"""Find out whom to talk to: the bot's name, and the founder's first word, asked inside the instance."""

import json
from dataclasses import dataclass

from swarm.core.errors import SwarmError
from swarm.farm.base import Driver, Runner
from swarm.farm.records import Record

TOKEN = "SWARM_TELEGRAM__TOKEN"  # noqa: S105  # the name of a variable
ASK = """\
import json, os, sys, urllib.request
base = os.environ.get("SWARM_TELEGRAM__BASE_URL") or "https://api.telegram.org"
base = base.rstrip("/").removesuffix("/bot").rstrip("/")
try:
    with open(os.environ["SWARM_TELEGRAM__TOKEN_FILE"]) as file:
        token = file.read().strip()
    with urllib.request.urlopen(f"{base}/bot{token}/getMe", timeout=5) as answer:
        print(json.load(answer)["result"]["username"])
except urllib.error.HTTPError as error:
    sys.exit(f"Telegram refuses the token (HTTP {error.code})")
except Exception as error:
    sys.exit(f"Telegram cannot be reached ({type(error).__name__})")
"""
"""Runs where the token is, which so never leaves it; no error names it either."""


@dataclass(frozen=True, slots=True)
class Talk:
    """How to reach an instance."""

    bot: str = ""
    code: str = ""
    """What makes who sends it founder, once."""
    problem: str = ""
    """Why there is no bot's name although there is a token."""


async def talk(place: Driver, record: Record) -> Talk:
    """Ask a running instance for its bot and for a founder's code; what fails is said, not raised."""
    if TOKEN not in record.secrets or not isinstance(place, Runner):
        return Talk()
    try:
        asked = await place.run(record.name, ["python3", "-I", "-c", ASK])
        bot = asked.stdout.strip()
        if asked.code != 0 or not bot:
            return Talk(problem=asked.stderr.strip() or "Telegram gave no name")
        ran = await place.run(record.name, ["swarm", "init", "--json"])
        document = json.loads(ran.stdout) if ran.code == 0 else {}
    except (SwarmError, ValueError) as error:
        return Talk(problem=str(error))
    return Talk(bot=bot, code=str(document.get("founder_code", "")))
