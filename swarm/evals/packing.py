"""Contents of files as lines of a cassette hold them."""

import base64
import hashlib
from collections.abc import Mapping
from typing import Any

from swarm.evals.lanes import Entry


def packed(data: bytes) -> Entry:
    """Return a file's content as a line holds it: text where it is text, else base64."""
    entry: Entry = {"sha256": hashlib.sha256(data).hexdigest()}
    try:
        return entry | {"text": data.decode()}
    except UnicodeDecodeError:
        return entry | {"base64": base64.b64encode(data).decode()}


def content_of(entry: Mapping[str, Any]) -> bytes | None:
    """Return the content of a recorded file; None where it is only named."""
    if entry.get("text") is not None:
        return str(entry["text"]).encode()
    return base64.b64decode(entry["base64"]) if entry.get("base64") is not None else None
