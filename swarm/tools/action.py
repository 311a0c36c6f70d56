"""The whole of what a person signs: one call, in one place of one order, as canonical JSON.

What is signed is the SHA-256 of this text and of a nonce; what runs is built again at that moment
and must give the same digest, so that nothing can be changed between the two.
"""

import hashlib
import json
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import rfc8785

from swarm.core.errors import ToolError
from swarm.tools.base import Arguments, Tool

_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


@dataclass(frozen=True, slots=True)
class Place:
    """Where in the company a call stands; no two calls share one."""

    order_id: str
    task_id: str
    role: str
    node: str
    seq: int
    position: int


def canonical_action(
    tool: Tool, args: Arguments, place: Place, *, inputs: Mapping[str, str] | None = None
) -> str:
    """Return the RFC 8785 JSON of a call.

    Args:
        tool: What would run.
        args: Its checked arguments, defaults included.
        place: Where it would run.
        inputs: SHA-256 of each file that the call reads, by its path in the workspace.

    Raises:
        ToolError: The arguments hold something that JSON cannot say exactly.
    """
    document: dict[str, Any] = {
        "tool": tool.name,
        "effect": tool.effect.value,
        "arguments": args.model_dump(mode="json"),
        "inputs": dict(inputs or {}),
        "order": place.order_id,
        "task": place.task_id,
        "role": place.role,
        "node": place.node,
        "seq": place.seq,
        "position": place.position,
    }
    try:
        return rfc8785.dumps(document).decode()
    except (rfc8785.CanonicalizationError, UnicodeError) as error:
        raise ToolError(f"{tool.name}: the arguments cannot be signed: {error}") from error


def digest(action: str, nonce: str) -> str:
    """Return what a signature binds: SHA-256 of the action and the nonce, in hexadecimal."""
    return hashlib.sha256(f"{nonce}\n{action}".encode()).hexdigest()


def show(action: str, *, rule: str, signed: str) -> str:
    """Return the whole action as a person reads it; nothing is cut, nothing invisible stays so.

    Args:
        action: Canonical JSON.
        rule: Why a signature is needed.
        signed: The digest that the signature binds.
    """
    document = json.loads(action)
    lines = [
        f"{document['role']} asks to use {document['tool']} ({document['effect']}). Signing runs "
        "exactly this, once:",
    ]
    for name, value in document["arguments"].items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        shown = visible(text)
        lines.append(f"{name}: {_indented(shown)}" if "\n" in shown else f"{name}: {shown}")
    for path, sha256 in document["inputs"].items():
        lines.append(f"file {visible(path)}: sha256 {sha256}")
    lines += [f"Why you are asked: {rule}.", f"Digest: {signed}"]
    return "\n".join(lines)


def visible(text: str) -> str:
    """Return the text with every sign that hides or reorders others written as its code."""
    return "".join(
        sign
        if sign == "\n" or unicodedata.category(sign) not in _HIDDEN
        else f"\\u{{{ord(sign):x}}}"
        for sign in text
    )


def _indented(text: str) -> str:
    return "\n" + "\n".join(f"  | {line}" for line in text.split("\n"))
