"""May this effect happen? The one place that says so, before any tool runs.

A pure function of what was declared: nothing a model wrote, but the name of the tool, takes part.
"""

from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase

from pydantic import BaseModel, ConfigDict, Field

from swarm.core.role import Role
from swarm.tools.base import Effect


class Decision(StrEnum):
    """Let it happen, ask a person first, or refuse."""

    ALLOW = "allow"
    ASK = "ask"
    DENY = "deny"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was decided and by which rule; both go into the audit."""

    decision: Decision
    rule: str


class CompanyRule(BaseModel):
    """One line of the company's own policy; `tool` and `role` are names or globs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tool: str = Field(min_length=1)
    decision: Decision
    role: str = "*"

    def covers(self, tool: str, role: Role) -> bool:
        """Return whether this rule speaks of that role's use of the tool."""
        return fnmatchcase(tool, self.tool) and fnmatchcase(role.name, self.role)


_QUIET = frozenset({Effect.READ, Effect.WRITE_WORKSPACE})
_LOUD = frozenset({Effect.RUN, Effect.NETWORK, Effect.MESSAGE, Effect.SPEND})
_OUTWARD = frozenset({Effect.NETWORK, Effect.MESSAGE, Effect.SPEND})


def decide(
    tool: str,
    effect: Effect,
    *,
    role: Role,
    company_rules: tuple[CompanyRule, ...] = (),
    is_marked: bool = False,
) -> Verdict:
    """Decide whether a role may use a tool.

    The strictest word counts: a rule of the company can forbid and ask for more than the role's
    declaration does, and can allow only what is asked for by default.

    Args:
        tool: The name under which the tool is registered.
        effect: What the tool declares to do. `Effect.POLICY` is refused whatever else is said.
        role: Who wants to use it; `tools` and `approvals` hold names or globs.
        company_rules: The company's own policy, in no particular order.
        is_marked: The task has read words that are not the founder's: people, money and the
            network are then never reached without a signature.
    """
    refusal = _refusal(tool, effect, role, company_rules)
    if refusal:
        return Verdict(Decision.DENY, refusal)
    signature = _signature(tool, effect, role, company_rules, is_marked=is_marked)
    if signature:
        return Verdict(Decision.ASK, signature)
    if effect in _QUIET:
        return Verdict(Decision.ALLOW, f"effect {effect.value} is allowed")
    allowing = _company(tool, role, company_rules, Decision.ALLOW)
    if allowing:
        return Verdict(Decision.ALLOW, allowing)
    return Verdict(Decision.ASK, f"effect {effect.value} needs a signature by default")


def _refusal(tool: str, effect: Effect, role: Role, rules: tuple[CompanyRule, ...]) -> str | None:
    if effect is Effect.POLICY:
        return "no tool may change policy, budgets, roles or schedules"
    # What is not known to be harmless or signable is refused, so that a new effect starts closed.
    if effect not in _QUIET | _LOUD:
        return f"effect {effect!r} is unknown"
    if not tool or not any(fnmatchcase(tool, pattern) for pattern in role.tools):
        return f"role {role.name}: tools does not name {tool!r}"
    return _company(tool, role, rules, Decision.DENY)


def _signature(
    tool: str, effect: Effect, role: Role, rules: tuple[CompanyRule, ...], *, is_marked: bool
) -> str | None:
    for pattern in role.approvals:
        if fnmatchcase(tool, pattern):
            return f"role {role.name}: approvals names {pattern!r}"
    if is_marked and effect in _OUTWARD:
        return f"effect {effect.value} after reading words that are not the founder's"
    return _company(tool, role, rules, Decision.ASK)


def _company(
    tool: str, role: Role, rules: tuple[CompanyRule, ...], decision: Decision
) -> str | None:
    for rule in rules:
        if rule.decision is decision and rule.covers(tool, role):
            return f"company rule: {decision.value} {rule.tool!r} for {rule.role!r}"
    return None
