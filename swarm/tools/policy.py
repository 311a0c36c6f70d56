"""May this effect happen? The one place that says so, before any tool runs.

A pure function of what was declared and of what the task has read. Of what a model wrote only the
tool's name and the destinations take part, and those only by comparison with lists that people keep.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase

from pydantic import BaseModel, ConfigDict, Field

from swarm.core.mark import CLEAN, Mark
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


class PolicyConfig(BaseModel):
    """The company's own policy, written by people alone: `policy:` in `company.yaml`."""

    model_config = ConfigDict(extra="forbid")

    rules: tuple[CompanyRule, ...] = ()
    allow: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Destinations that need no signature, by tool: hosts, addresses, accounts. `.example.org`
    means every host below it. An empty list means nobody."""
    approval_hours: float = Field(default=72, gt=0)
    """How long a request for a signature may be signed."""
    refusals: int = Field(default=3, ge=1)
    """Refused signatures after which a task is stopped: no role may wear its founder down."""


@dataclass(frozen=True, slots=True)
class StandingRule:
    """What the founder signed in advance and has not revoked; `until` is checked by who reads it."""

    id: str
    role: str
    tool: str
    destinations: tuple[str, ...]

    def covers(self, tool: str, role: Role, destinations: Sequence[str]) -> bool:
        """Return whether the call lies within what was signed: every destination is named."""
        return (
            self.role == role.name
            and self.tool == tool
            and bool(destinations)
            and all(d in self.destinations for d in destinations)
        )


@dataclass(frozen=True, slots=True)
class Situation:
    """What is known when a call is made."""

    mark: Mark = CLEAN
    destinations: tuple[str, ...] = ()
    standing: tuple[StandingRule, ...] = ()
    is_look: bool = False
    """The call only reads: it may safely be made twice, such as fetching a page."""
    is_founders_word: bool = False
    """Every argument stands word for word in what the founder wrote for this order."""
    carries_nothing_new: bool = False
    """Every argument was written by the founder or a stranger before, so no secret leaves by it."""


_QUIET = frozenset({Effect.READ, Effect.WRITE_WORKSPACE, Effect.RUN})
"""Stay inside the order's workspace: a command runs in the sandbox, which has no network."""
_OUTWARD = frozenset({Effect.NETWORK, Effect.MESSAGE, Effect.SPEND})
_MARKED = "after reading words that are not the founder's"


def decide(
    tool: str,
    effect: Effect,
    *,
    role: Role,
    company: PolicyConfig | None = None,
    situation: Situation | None = None,
) -> Verdict:
    """Decide whether a role may use a tool.

    The strictest word counts: a rule of the company can forbid and ask for more than the role's
    declaration does, and can allow only what is asked for by default. What a task has read closes
    ways that were open before, never the other way round.

    Args:
        tool: The name under which the tool is registered.
        effect: What the tool declares to do. `Effect.POLICY` is refused whatever else is said.
        role: Who wants to use it; `tools` and `approvals` hold names or globs.
        company: The company's own policy.
        situation: What the task has read, and whom the call reaches.
    """
    company = company or PolicyConfig()
    situation = situation or Situation()
    refusal = _refusal(tool, effect, role, company.rules)
    if refusal:
        return Verdict(Decision.DENY, refusal)
    standing = next(
        (s for s in situation.standing if s.covers(tool, role, situation.destinations)), None
    )
    signature = _signature(tool, effect, role, company.rules, situation, standing)
    if signature:
        return Verdict(Decision.ASK, signature)
    if effect in _QUIET:
        return Verdict(Decision.ALLOW, f"effect {effect.value} is allowed")
    opening = _opening(tool, effect, role, company, situation, standing)
    if opening:
        return Verdict(Decision.ALLOW, opening)
    if situation.mark.is_marked:
        return Verdict(Decision.ASK, f"effect {effect.value} {_MARKED}")
    return Verdict(Decision.ASK, f"effect {effect.value} needs a signature by default")


def _refusal(tool: str, effect: Effect, role: Role, rules: tuple[CompanyRule, ...]) -> str | None:
    if effect is Effect.POLICY:
        return "no tool may change policy, budgets, roles or schedules"
    # What is not known to be harmless or signable is refused, so that a new effect starts closed.
    if effect not in _QUIET | _OUTWARD:
        return f"effect {effect!r} is unknown"
    if not tool or not any(fnmatchcase(tool, pattern) for pattern in role.tools):
        return f"role {role.name}: tools does not name {tool!r}"
    return _company(tool, role, rules, Decision.DENY)


def _signature(
    tool: str,
    effect: Effect,
    role: Role,
    rules: tuple[CompanyRule, ...],
    situation: Situation,
    standing: StandingRule | None,
) -> str | None:
    """Return why a person must sign, or None. A rule signed in advance is a signature already."""
    for pattern in role.approvals:
        if standing is None and fnmatchcase(tool, pattern):
            return f"role {role.name}: approvals names {pattern!r}"
    asking = _company(tool, role, rules, Decision.ASK)
    if asking and standing is None:
        return asking
    mark = situation.mark
    if effect not in _OUTWARD or not mark.is_marked:
        return None
    is_look = effect is Effect.NETWORK and situation.is_look
    # Of private data, untrusted words and an effect outside, a task keeps two. A look at an
    # address that others wrote down tells nobody anything.
    tells_nothing = situation.carries_nothing_new or situation.is_founders_word
    if mark.is_private and not (is_look and (standing is not None or tells_nothing)):
        return f"effect {effect.value} after reading both private data and words of others"
    if not is_look and (effect is Effect.SPEND or standing is None):
        return f"effect {effect.value} {_MARKED}"
    return None


def _opening(
    tool: str,
    effect: Effect,
    role: Role,
    company: PolicyConfig,
    situation: Situation,
    standing: StandingRule | None,
) -> str | None:
    """Return what lets an effect outside happen without a new signature, or None."""
    if standing is not None:
        return f"standing rule {standing.id}"
    if effect is Effect.NETWORK and situation.is_look and situation.is_founders_word:
        return "the founder named this address in the order"
    if is_allowed(tool, situation.destinations, company.allow):
        return f"company allowlist of {tool!r}"
    if situation.mark.is_marked:
        return None
    return _company(tool, role, company.rules, Decision.ALLOW)


def is_allowed(tool: str, destinations: Sequence[str], allow: Mapping[str, Sequence[str]]) -> bool:
    """Return whether every destination of a call is on the company's list for the tool.

    A call that names no destination is on no list.
    """
    known = allow.get(tool, ())
    return bool(destinations) and all(
        any(d == k or (k.startswith(".") and d.endswith(k)) for k in known) for d in destinations
    )


def _company(
    tool: str, role: Role, rules: tuple[CompanyRule, ...], decision: Decision
) -> str | None:
    for rule in rules:
        if rule.decision is decision and rule.covers(tool, role):
            return f"company rule: {decision.value} {rule.tool!r} for {rule.role!r}"
    return None
