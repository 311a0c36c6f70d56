"""Take an instance's secrets from a file, the environment or a prompt; never from the command line."""

import getpass
import re
import stat
import sys
from collections.abc import Sequence
from pathlib import Path

from pydantic import SecretStr

from swarm.cli.terminal import tell
from swarm.core.errors import ConfigError, InvalidInput
from swarm.llm.choose import provider_keys
from swarm.settings import secret_named

TOKEN = "SWARM_TELEGRAM__TOKEN"  # noqa: S105  # the name of a variable
MOST_BYTES = 64 * 1024
_LINE = re.compile(r"(?:export\s+)?([A-Z][A-Z0-9_]*)\s*=\s*(.*)")


def secrets_of(file: str | None, names: Sequence[str], *, prompts: bool) -> dict[str, SecretStr]:
    """Return secrets by the name of the variable they stand for.

    Args:
        file: Path of lines `NAME=value`, or `-` for standard input.
        names: Variables of this process's environment that are handed on.
        prompts: Whether a person is asked where nothing else was named.

    Raises:
        InvalidInput: A line or a name is off; no value is in the text.
        ConfigError: The file cannot be read, or a variable is not set.
    """
    found: dict[str, SecretStr] = {}
    if file is not None:
        found |= read_lines(_text(file), file)
    for name in names:
        if "=" in name:
            raise InvalidInput(
                "--secret takes the name of a variable, never its value: a command line is read by "
                "everybody on the machine."
            )
        found[name] = secret_named(name)
    if not found and prompts:
        found |= _asked()
    return found


def read_lines(text: str, shown: str) -> dict[str, SecretStr]:
    """Read lines `NAME=value`; empty ones and those that begin with # are skipped.

    Raises:
        InvalidInput: A line is none, or a name comes twice.
    """
    found: dict[str, SecretStr] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.strip()
        if not words or words.startswith("#"):
            continue
        match = _LINE.fullmatch(words)
        if match is None:
            raise InvalidInput(
                f"{shown}: line {number} is not NAME=value, with a name in capitals."
            )
        name, value = match[1], match[2].strip()
        if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
            value = value[1:-1]
        if not value:
            raise InvalidInput(f"{shown}: line {number}: {name} is empty.")
        if name in found:
            raise InvalidInput(f"{shown}: line {number}: {name} is there twice.")
        found[name] = SecretStr(value)
    return found


def missing(names: Sequence[str]) -> list[str]:
    """Say what an instance lacks to be of use, in words for the operator."""
    lacks = []
    if not any(name.endswith(("__TOKEN", "__BOT_TOKEN")) for name in names):
        lacks.append(f"a chat to be steered from ({TOKEN}; @BotFather gives one)")
    keys = provider_keys()
    if not any(name in keys or name == "SWARM_LLM__API_KEY" for name in names):
        lacks.append("a model (a provider's key, such as ANTHROPIC_API_KEY)")
    return lacks


def _text(file: str) -> str:
    try:
        if file == "-":
            return sys.stdin.read(MOST_BYTES)
        path = Path(file)
        status = path.stat()
        if status.st_size > MOST_BYTES:
            raise ConfigError(f"{file} is no file of secrets: it is larger than 64 KiB.")
        if stat.S_ISREG(status.st_mode) and status.st_mode & 0o077:
            tell(f"Warning: others on this machine can read {file}: chmod 600 {file}")
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise ConfigError(f"The secrets in {file} cannot be read: {why}.") from error


def _asked() -> dict[str, SecretStr]:
    found: dict[str, SecretStr] = {}
    for name, what in (
        (TOKEN, "The bot's token, from @BotFather (Enter for none): "),
        ("ANTHROPIC_API_KEY", "The key of Anthropic's models (Enter for none): "),
    ):
        if value := getpass.getpass(what).strip():
            found[name] = SecretStr(value)
    return found
