"""What a new server is told: the template of its vendor, with the words of this server put in.

The template is a valid cloud-config by itself; a word in it looks like `@HOST@`. Values are checked,
so that none of them can become another line of YAML or of a script.
"""

import json
import re
from pathlib import Path
from typing import Final

from swarm.core.errors import ConfigError
from swarm.farm.cloud.keys import Papers

MOST_BYTES: Final = 32 * 1024
"""Hetzner's limit; Scaleway's is larger."""
_WORD = re.compile(r"@([A-Z][A-Z0-9_]*)@")
_PLAIN = re.compile(r"[A-Za-z0-9+/=@._: -]+")


def deployment(vendor: str, file: str) -> Path:
    """Return a file of `deployments/`: the packaged one, or the one of the source tree.

    Raises:
        ConfigError: It is not there.
    """
    here = Path(__file__).resolve().parents[1]
    for folder in (here / "deployments", here.parents[1] / "deployments"):
        if (folder / vendor / file).is_file():
            return folder / vendor / file
    raise ConfigError(
        f"deployments/{vendor}/{file} is missing; install swarm again, or work in its source tree"
    )


def render(vendor: str, *, host: str, papers: Papers, public_key: str) -> str:
    """Return the cloud-config of one server.

    Args:
        vendor: Whose template.
        host: The server's name.
        papers: Hold the bootstrap host key and the one-time token, of which the digest goes in.
        public_key: The operator's.

    Raises:
        ConfigError: The template has a word that nobody knows, or the whole is too long.
    """
    bootstrap = papers.bootstrap
    words = {
        "HOST": _plain(host),
        "OPERATOR_KEY": _plain(public_key),
        "BOOTSTRAP_PUBLIC": _plain(bootstrap.public),
        # A private key has several lines; as a JSON text it is one YAML scalar.
        "BOOTSTRAP_PRIVATE": json.dumps(bootstrap.private)[1:-1],
        "TOKEN_DIGEST": _plain(papers.token_digest),
    }
    file = deployment(vendor, "cloud-init.yaml")

    def word(found: "re.Match[str]") -> str:
        if found[1] not in words:
            raise ConfigError(f"{file}: no word @{found[1]}@; known: {', '.join(sorted(words))}")
        return words[found[1]]

    text = _WORD.sub(word, file.read_text(encoding="utf-8"))
    # Comments are for who reads the template, and the room is small.
    text = "\n".join(
        line for line in text.splitlines() if not line.startswith("# ") and line.strip() != "#"
    )
    if len(text.encode()) > MOST_BYTES:
        raise ConfigError(f"{file}: {len(text.encode())} bytes; a server takes {MOST_BYTES}")
    return text + "\n"


def _plain(value: str) -> str:
    """Return a value that stays on its line. Raises ConfigError: an operator's key may hold anything."""
    if _PLAIN.fullmatch(value) is None:
        raise ConfigError(
            f"{value[:40]!r} cannot be told to a server: a host's name, or a public key as "
            "ssh-keygen writes it, has letters, digits and a few signs on one line"
        )
    return value
