"""Turn what a server answered into what a model reads."""

import json
import re
from typing import TYPE_CHECKING, Any

from swarm.core.origin import Origin
from swarm.core.text import clean_text, shorten
from swarm.tools.base import ToolResult
from swarm.tools.mcp.config import McpServerConfig

if TYPE_CHECKING:
    from mcp import types

MAX_RESULT_SIGNS = 64 * 1024
"""The most of one answer that enters a prompt, about 16,000 tokens."""
MIN_SECRET_SIGNS = 8
"""Shorter values stand in texts by chance."""
_SECRETIVE = re.compile("TOKEN|KEY|SECRET|PASS|AUTH|CRED", re.IGNORECASE)


def read_result(answer: "types.CallToolResult", config: McpServerConfig) -> ToolResult:
    """Return the texts of an answer, with a note for each part that is none.

    The words are the server's, in an error too: they carry the origin `tool`, so reading them
    marks the task.
    """
    parts = [_part(part) for part in answer.content]
    if not parts and answer.structured_content is not None:
        parts = [json.dumps(answer.structured_content, ensure_ascii=False)]
    return _result("\n".join(parts) or "[the tool answered nothing]", config, answer.is_error)


def read_refusal(words: str, config: McpServerConfig) -> ToolResult:
    """Return what a server said instead of an answer."""
    return _result(f"The server refused the call: {words}", config, True)


def _result(words: str, config: McpServerConfig, is_error: bool) -> ToolResult:
    content = _cut(without_secrets(clean_text(words), config))
    return ToolResult(content, origin=Origin.TOOL, is_private=False, is_error=is_error)


def without_secrets(words: str, config: McpServerConfig) -> str:
    """Replace the keys the operator gave the server, which a server may well repeat."""
    for name, secret in config.env.items():
        value = secret.get_secret_value()
        if len(value) >= MIN_SECRET_SIGNS and _SECRETIVE.search(name):
            words = words.replace(value, f"[secret {name}]")
    return words


def _part(part: Any) -> str:
    """Return a part's text, or say what it was."""
    if part.type == "text":
        return str(part.text)
    if part.type == "resource":
        resource = part.resource
        if hasattr(resource, "text"):
            return str(resource.text)
        return _note("file", resource.mime_type, len(resource.blob))
    if part.type == "resource_link":
        return f"[a link, not followed: {shorten(f'{part.name} {part.uri}', 300)}]"
    return _note(part.type, part.mime_type, len(part.data))


def _note(kind: str, mime_type: str | None, base64_signs: int) -> str:
    size = base64_signs * 3 // 4
    return f"[{kind} left out: {shorten(mime_type or 'of unknown type', 80)}, {size:,} bytes]"


def _cut(text: str) -> str:
    """Keep the beginning and the end; both tell more than the middle."""
    if len(text) <= MAX_RESULT_SIGNS:
        return text
    half = MAX_RESULT_SIGNS // 2
    return f"{text[:half]}\n[… {len(text) - 2 * half:,} signs cut …]\n{text[-half:]}"
