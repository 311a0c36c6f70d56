"""What a server's tools said when a person approved them, and what they say now.

A tool is its name, its description and the schema of its arguments: all that a model reads of it.
Of these the lock keeps the text and a digest. A tool whose text is not the approved one, to the
byte, is not offered and not called until a person has looked at it again.
"""

import difflib
import fcntl
import hashlib
import json
import os
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from swarm.core.errors import ConfigError
from swarm.tools.mcp.config import ServerName
from swarm.tools.mcp.schema import SchemaRefusedError, Shape, check_size, texts

MAX_DESCRIPTION = 4_096
"""Signs; longer ones hide something, or cost more in every prompt than they help."""
MAX_TOOL_NAME = 64
"""What every provider takes as a function's name, `mcp_` and the server's name included."""
_TOOL_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*")
# Signs that no person sees: controls, format marks, surrogates, private and unassigned ones. The
# variation selectors above FE0F are marks by category, and carry text just as well.
_UNSEEN = frozenset(["Cc", "Cf", "Cs", "Co", "Cn"])
_SELECTORS = range(0xE0100, 0xE01F0)


class ToolState(StrEnum):
    """Say where a tool of a server stands."""

    APPROVED = "approved"
    CHANGED = "changed"
    NEEDS_APPROVAL = "needs approval"
    REFUSED = "refused"
    """It cannot be approved: its name, description or schema is not used."""
    GONE = "gone"
    """Approved once, but no longer offered by the server."""


@dataclass(frozen=True)
class ToolText:
    """All that a server says about one tool that may ever reach a model."""

    name: str
    description: str
    input_schema: dict[str, Any]

    @cached_property
    def digest(self) -> str:
        """Return the SHA-256 of the canonical JSON, RFC 8785.

        Raises:
            ConfigError: There is no canonical form: numbers beyond 2^53, or not finite.
        """
        import rfc8785

        try:
            canonical = rfc8785.dumps(
                {
                    "name": self.name,
                    "description": self.description,
                    "inputSchema": self.input_schema,
                }
            )
        except (rfc8785.CanonicalizationError, UnicodeError) as error:
            raise ConfigError(f"tool {self.name!r} has no canonical form: {error}") from error
        return hashlib.sha256(canonical).hexdigest()

    @cached_property
    def refusal(self) -> str | None:
        """Say why this text may not be approved, or None where it may."""
        if not _TOOL_NAME.fullmatch(self.name):
            return "its name may have only a-z, A-Z, 0-9, '_', '.', '-' and begins with a letter"
        if len(self.description) > MAX_DESCRIPTION:
            return f"its description has more than {MAX_DESCRIPTION:,} signs"
        try:
            # First, since nothing else may walk through what is too deep.
            check_size(self.input_schema)
            unseen = next(filter(None, map(_unseen, self._texts())), None)
            if unseen:
                return f"it holds {unseen}, which nobody can see"
            Shape(self.input_schema)
            assert self.digest
        except (SchemaRefusedError, ConfigError) as error:
            return str(error)
        return None

    def _texts(self) -> Iterator[str]:
        yield self.description
        yield from texts(self.input_schema)

    def shown(self) -> str:
        """Return the text as a person reads it."""
        schema = json.dumps(self.input_schema, indent=2, ensure_ascii=False)
        return f"{self.name}\n{self.description}\n{schema}"


def _unseen(text: str) -> str | None:
    """Name the first sign of a text that a person would not see, or None."""
    for sign in text.replace("\r\n", "\n"):
        if sign in "\n\t":
            continue
        if unicodedata.category(sign) in _UNSEEN or ord(sign) in _SELECTORS:
            return f"U+{ord(sign):04X}"
    return None


def full_name(server: str, tool: str) -> str:
    """Return the name under which a role and a model know a server's tool."""
    return f"mcp_{server}_{re.sub(r'[.-]', '_', tool).lower()}"


@dataclass(frozen=True, slots=True)
class ListedTool:
    """One tool of a server, and where it stands."""

    server: str
    name: str
    """The server's own name for it."""
    state: ToolState
    offered: ToolText | None
    """What the server says now; None where it does not offer the tool."""
    pinned: ToolText | None
    """What was approved."""
    reason: str = ""
    """Why it is refused."""

    @property
    def full_name(self) -> str:
        """Return the name under which a role and a model know it."""
        return full_name(self.server, self.name)

    @property
    def diff(self) -> str:
        """Return what changed since the approval, line by line; nothing where nothing did."""
        before = self.pinned.shown().splitlines() if self.pinned else []
        after = self.offered.shown().splitlines() if self.offered else []
        return "\n".join(difflib.unified_diff(before, after, "approved", "offered", lineterm=""))


@dataclass(frozen=True, slots=True)
class Listing:
    """All tools of a server at one moment, beside what was approved."""

    server: str
    tools: tuple[ListedTool, ...]

    @property
    def approvable(self) -> tuple[ToolText, ...]:
        """Return what an approval of this listing would pin."""
        return tuple(
            tool.offered
            for tool in self.tools
            if tool.offered is not None and tool.state is not ToolState.REFUSED
        )

    def check(self, tools: Sequence[str]) -> None:
        """Hold names against what can be approved.

        Raises:
            ConfigError: A name that cannot be approved.
        """
        names = {text.name for text in self.approvable}
        if wrong := next((tool for tool in tools if tool not in names), None):
            raise ConfigError(f"{self.server} offers no tool {wrong!r} that can be approved.")

    @property
    def digest(self) -> str:
        """Return the SHA-256 that names exactly what an approval would pin."""
        lines = "".join(f"{text.digest}\n" for text in sorted_by_name(self.approvable))
        return hashlib.sha256(f"{self.server}\n{lines}".encode()).hexdigest()


def sorted_by_name(tools: Sequence[ToolText]) -> list[ToolText]:
    """Return the texts in the order of their names."""
    return sorted(tools, key=lambda text: text.name)


def compare(server: str, offered: Sequence[ToolText], pinned: Mapping[str, ToolText]) -> Listing:
    """Say of each tool, offered or approved once, where it stands."""
    found = [_stand(server, text, offered, pinned.get(text.name)) for text in offered]
    names = {text.name for text in offered}
    found += [
        ListedTool(server, name, ToolState.GONE, None, text)
        for name, text in pinned.items()
        if name not in names
    ]
    return Listing(server, tuple(sorted(found, key=lambda tool: tool.name)))


def _stand(
    server: str, text: ToolText, offered: Sequence[ToolText], pinned: ToolText | None
) -> ListedTool:
    listed = ListedTool(server, text.name, ToolState.NEEDS_APPROVAL, text, pinned)
    own = full_name(server, text.name)
    reason = text.refusal
    if reason is None and len(own) > MAX_TOOL_NAME:
        reason = f"its name is too long: {own!r} may have {MAX_TOOL_NAME} signs"
    if reason is None and sum(full_name(server, t.name) == own for t in offered) > 1:
        reason = f"two tools of the server would be called {own!r}"
    if reason is not None:
        return replace(listed, state=ToolState.REFUSED, reason=reason)
    if pinned is None:
        return listed
    is_same = pinned.digest == text.digest
    return replace(listed, state=ToolState.APPROVED if is_same else ToolState.CHANGED)


class _Pinned(BaseModel):
    model_config = ConfigDict(extra="forbid")

    sha256: str
    description: str
    input_schema: dict[str, Any]


class _PinnedServer(BaseModel):
    model_config = ConfigDict(extra="forbid")

    approved_by: str
    approved_at: str
    tools: dict[str, _Pinned]


class _Lock(BaseModel):
    model_config = ConfigDict(extra="forbid")

    version: int = Field(default=1, ge=1, le=1)
    servers: dict[ServerName, _PinnedServer] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Approval:
    """Who approved a server's tools, and when."""

    by: str
    at: str


class PinBook:
    """The file of approved tools. Only a person's command writes it; it is read at every use."""

    def __init__(self, path: Path) -> None:
        """`path` is the lock, `mcp.lock` in the company's folder; it need not exist."""
        self.path = path
        self._read: tuple[tuple[int, int, int], _Lock, dict[str, dict[str, ToolText]]] | None = None

    def of(self, server: str) -> Mapping[str, ToolText]:
        """Return the approved tools of a server, by the server's own names.

        An entry whose digest is not that of its text was not written by an approval: it counts as
        not approved.

        Raises:
            ConfigError: The file cannot be read.
        """
        return self._current()[1].get(server, {})

    def servers(self) -> list[str]:
        """Return the servers with approved tools, sorted."""
        return sorted(self._current()[0].servers)

    def approval(self, server: str) -> Approval | None:
        """Return who approved the tools of a server last."""
        entry = self._current()[0].servers.get(server)
        return Approval(entry.approved_by, entry.approved_at) if entry else None

    def approve(self, listing: Listing, *, by: str, at: str, tools: Sequence[str] = ()) -> None:
        """Pin what a listing offers.

        Args:
            listing: What the person was shown; nothing else is pinned.
            by: Who approves, by name.
            at: When, as ISO-8601.
            tools: Only these, by the server's own names; the rest stays as it was. Empty pins all
                that can be, and drops what is gone.

        Raises:
            ConfigError: A name that cannot be approved, or a file that cannot be written.
        """
        listing.check(tools)
        chosen = {text.name: text for text in listing.approvable}
        with self._writing() as lock:
            old = lock.servers.get(listing.server)
            kept = dict(old.tools) if old and tools else {}
            for name in tools or sorted(chosen):
                text = chosen[name]
                kept[name] = _Pinned(
                    sha256=text.digest, description=text.description, input_schema=text.input_schema
                )
            lock.servers[listing.server] = _PinnedServer(approved_by=by, approved_at=at, tools=kept)

    def revoke(self, server: str, tool: str | None = None) -> bool:
        """Forget the approval of a server's tools, or of one; return whether there was one."""
        with self._writing() as lock:
            entry = lock.servers.get(server)
            if entry is None:
                return False
            if tool is None:
                del lock.servers[server]
                return True
            return entry.tools.pop(tool, None) is not None

    def _current(self) -> tuple[_Lock, dict[str, dict[str, ToolText]]]:
        try:
            facts = self.path.stat()
        except FileNotFoundError:
            return _Lock(), {}
        except OSError as error:
            raise ConfigError(f"{self.path} cannot be read: {error.strerror}.") from error
        stamp = (facts.st_ino, facts.st_mtime_ns, facts.st_size)
        if self._read is None or self._read[0] != stamp:
            lock = self._load()
            self._read = (stamp, lock, {n: _texts(s) for n, s in lock.servers.items()})
        return self._read[1], self._read[2]

    def _load(self) -> _Lock:
        try:
            return _Lock.model_validate_json(self.path.read_bytes())
        except FileNotFoundError:
            return _Lock()
        except OSError as error:
            raise ConfigError(f"{self.path} cannot be read: {error.strerror}.") from error
        except (ValidationError, RecursionError) as error:
            raise ConfigError(
                f"{self.path} is damaged, so no MCP tool is approved: move it away, and approve "
                "each server again with `swarm mcp approve NAME`."
            ) from error

    @contextmanager
    def _writing(self) -> Iterator[_Lock]:
        """Change the file as one step; two commands at once wait for each other."""
        temporary = self.path.with_name(f"{self.path.name}.{os.getpid()}")
        try:
            folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise ConfigError(f"{self.path.parent} cannot be read: {error.strerror}.") from error
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            lock = self._load()
            yield lock
            temporary.write_text(lock.model_dump_json(indent=1), encoding="utf-8")
            temporary.chmod(0o600)
            temporary.replace(self.path)
        except OSError as error:
            raise ConfigError(f"{self.path} cannot be written: {error.strerror}.") from error
        finally:
            temporary.unlink(missing_ok=True)
            os.close(folder)


def _texts(server: _PinnedServer) -> dict[str, ToolText]:
    found = {
        name: ToolText(name, pin.description, pin.input_schema)
        for name, pin in server.tools.items()
    }
    return {
        name: text
        for name, text in found.items()
        if text.refusal is None and text.digest == server.tools[name].sha256
    }
