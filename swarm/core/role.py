"""The declaration of a role, as `roles/<name>.md` states it."""

from decimal import Decimal

from pydantic import BaseModel, ConfigDict, Field

MCP_PREFIX = "mcp_"
"""Tools of MCP servers are named so, and may be meant by a glob: which there are is known only
when the servers run."""


class Role(BaseModel):
    """One role of the company. The file's name is the role's name; its body is the prompt."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    title: str = Field(min_length=1)
    reports_to: str | None = None
    """The role that reviews and answers for this one; None for the head, exactly one per company."""
    summary: str = ""
    """One line that tells the planner when to give work to this role."""
    model: str | None = None
    """Provider-qualified model name; None takes the company's."""
    tools: tuple[str, ...] = ()
    approvals: tuple[str, ...] = ()
    """Tools that need a person's signature each time, by name or glob."""
    budget: Decimal | None = Field(default=None, gt=0)
    """The most one task of this role may spend, in the company's currency."""
    temperature: float | None = Field(default=None, ge=0, le=2)
    prompt: str = Field(min_length=1)
