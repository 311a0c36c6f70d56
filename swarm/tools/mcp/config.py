"""Which MCP servers a company has; the operator writes it, nobody else."""

from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints, field_validator

from swarm.tools.base import Effect

ServerName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9]{0,19}$")]
"""No underscore: `mcp_files_*` in a role must name the tools of one server alone."""
OwnEffect = Literal[Effect.READ, Effect.NETWORK, Effect.MESSAGE, Effect.SPEND]
"""What a server's tool may be declared to do. What it really does, nobody can know."""
Glob = Annotated[str, StringConstraints(min_length=1)]


class McpServerConfig(BaseModel):
    """One server: a program of the operator's choice that speaks MCP over its standard streams.

    It runs with the rights of the worker, outside any sandbox, so it is trusted as the operator
    trusts any program; what it says is not.
    """

    model_config = ConfigDict(extra="forbid")

    command: tuple[str, ...] = Field(min_length=1)
    """The program and its arguments; never a shell line. A bare name is looked up on PATH."""
    env: dict[str, SecretStr] = Field(default_factory=dict)
    """All that the program finds in its environment, besides PATH."""
    cwd: Path | None = None
    """Where it starts, an absolute path; None is the root folder."""
    effect: dict[Glob, OwnEffect] = Field(default_factory=dict)
    """What its tools do, by glob over the server's own names; the first that fits counts, and
    `network` where none does. One word stands for all tools."""
    timeout_s: float = Field(default=60, gt=0, le=3600)
    """How long it may take to start, and to answer one call; then it is killed."""
    destinations: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Arguments that say whom a call reaches, by tool: `{send_mail: [to, cc]}`. A dot goes down
    into an object: `message.to`."""

    @field_validator("effect", mode="before")
    @classmethod
    def _one_word_for_all(cls, value: object) -> object:
        return {"*": value} if isinstance(value, str) else value

    @field_validator("command")
    @classmethod
    def _runnable(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        program = value[0]
        if not program or any("\0" in word for word in value):
            raise ValueError("the first word must be a program, and no word may hold a NUL")
        # A relative path would mean another program wherever the worker happens to be started.
        if "/" in program and not program.startswith("/"):
            raise ValueError(f"{program!r}: write an absolute path, or a bare name found on PATH")
        return value

    @field_validator("cwd")
    @classmethod
    def _absolute(cls, value: Path | None) -> Path | None:
        if value is not None and not value.is_absolute():
            raise ValueError("write an absolute path")
        return value

    @field_validator("env")
    @classmethod
    def _settable(cls, value: dict[str, SecretStr]) -> dict[str, SecretStr]:
        for name, secret in value.items():
            if not name or "=" in name or "\0" in name + secret.get_secret_value():
                raise ValueError(f"{name!r} cannot be set: no '=' and no NUL in names and values")
        return value

    def effect_of(self, tool: str) -> Effect:
        """Return what the operator says that a tool of this server does."""
        for pattern, effect in self.effect.items():
            if fnmatchcase(tool, pattern):
                return effect
        return Effect.NETWORK


class McpConfig(BaseModel):
    """The company's MCP servers: `mcp:` in `company.yaml`."""

    model_config = ConfigDict(extra="forbid")

    servers: dict[ServerName, McpServerConfig] = Field(default_factory=dict)
    """By the name under which their tools appear: `mcp_<server>_<tool>`."""
