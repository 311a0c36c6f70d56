"""Whether an effect may happen."""

from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm.core.role import Role
from swarm.tools.base import Effect
from swarm.tools.policy import CompanyRule, Decision, decide

LOUD = [Effect.RUN, Effect.NETWORK, Effect.MESSAGE, Effect.SPEND]
QUIET = [Effect.READ, Effect.WRITE_WORKSPACE]


def role(*tools: str, approvals: tuple[str, ...] = ()) -> Role:
    return Role(name="cto", title="CTO", tools=tools, approvals=approvals, prompt="Build.")


def rule(decision: str, tool: str = "*", whose: str = "*") -> CompanyRule:
    return CompanyRule(tool=tool, decision=Decision(decision), role=whose)


names = st.sampled_from(["shell", "read_file", "mail", "a*", "*", "[", ""]) | st.text(max_size=6)
globs = st.sampled_from(["*", "sh*", "shell", "?ail", "[a-z]*", "read_file", ""])
roles = st.builds(
    lambda tools, approvals: role(*tools, approvals=tuple(approvals)),
    st.lists(globs, max_size=4),
    st.lists(globs, max_size=3),
)
rules = st.lists(
    st.builds(
        CompanyRule,
        tool=st.sampled_from(["*", "shell", "m*"]),
        decision=st.sampled_from(Decision),
        role=st.sampled_from(["*", "cto", "ceo"]),
    ),
    max_size=4,
).map(tuple)


@given(tool=names, who=roles, company=rules, is_marked=st.booleans())
def test_nothing_lets_a_tool_change_policy(
    tool: str, who: Role, company: tuple[CompanyRule, ...], is_marked: bool
) -> None:
    verdict = decide(tool, Effect.POLICY, role=who, company_rules=company, is_marked=is_marked)
    assert verdict.decision is Decision.DENY
    assert verdict.rule.startswith("no tool may change policy")


@given(tool=names, effect=st.sampled_from(Effect), company=rules)
def test_a_tool_the_role_does_not_name_is_denied(
    tool: str, effect: Effect, company: tuple[CompanyRule, ...]
) -> None:
    verdict = decide(tool, effect, role=role("other_tool", "x_*"), company_rules=company)
    assert verdict.decision is Decision.DENY


@given(tool=names, effect=st.sampled_from(Effect), who=roles, company=rules, marked=st.booleans())
def test_another_rule_of_the_strict_kinds_never_makes_a_verdict_milder(
    tool: str, effect: Effect, who: Role, company: tuple[CompanyRule, ...], marked: bool
) -> None:
    strictness = [Decision.ALLOW, Decision.ASK, Decision.DENY]
    before = decide(tool, effect, role=who, company_rules=company, is_marked=marked)
    for more in (rule("ask"), rule("deny")):
        after = decide(tool, effect, role=who, company_rules=(more, *company), is_marked=marked)
        assert strictness.index(after.decision) >= strictness.index(before.decision)
    after = decide(tool, effect, role=who, company_rules=company, is_marked=True)
    assert strictness.index(after.decision) >= strictness.index(before.decision)


@given(tool=names, effect=st.sampled_from(Effect), who=roles, company=rules, marked=st.booleans())
def test_the_order_of_company_rules_decides_nothing(
    tool: str, effect: Effect, who: Role, company: tuple[CompanyRule, ...], marked: bool
) -> None:
    one = decide(tool, effect, role=who, company_rules=company, is_marked=marked)
    other = decide(tool, effect, role=who, company_rules=company[::-1], is_marked=marked)
    assert one.decision is other.decision


@pytest.mark.parametrize("effect", QUIET)
def test_reading_and_writing_in_the_workspace_are_allowed(effect: Effect) -> None:
    verdict = decide("read_file", effect, role=role("read_*"))
    assert verdict.decision is Decision.ALLOW
    assert effect.value in verdict.rule


@pytest.mark.parametrize("effect", LOUD)
def test_what_leaves_the_workspace_asks_by_default_and_can_be_allowed_by_the_company(
    effect: Effect,
) -> None:
    who = role("shell")
    assert decide("shell", effect, role=who).decision is Decision.ASK
    for wrong in (rule("allow", "mail"), rule("allow", whose="ceo")):
        assert decide("shell", effect, role=who, company_rules=(wrong,)).decision is Decision.ASK
    allowed = decide("shell", effect, role=who, company_rules=(rule("allow", "sh*", "cto"),))
    assert allowed.decision is Decision.ALLOW
    assert allowed.rule == "company rule: allow 'sh*' for 'cto'"


@pytest.mark.parametrize("effect", [*QUIET, *LOUD])
def test_an_approval_named_by_the_role_is_asked_for_whatever_the_company_allows(
    effect: Effect,
) -> None:
    who = role("*", approvals=("write_*",))
    verdict = decide("write_file", effect, role=who, company_rules=(rule("allow"),))
    assert verdict.decision is Decision.ASK
    assert verdict.rule == "role cto: approvals names 'write_*'"


@pytest.mark.parametrize("effect", [*QUIET, *LOUD])
@pytest.mark.parametrize("decision", [Decision.ASK, Decision.DENY])
def test_the_company_can_ask_or_deny_whatever_else_is_allowed(
    effect: Effect, decision: Decision
) -> None:
    company = (rule("allow"), rule(decision, "sh*", "c?o"))
    verdict = decide("shell", effect, role=role("*"), company_rules=company)
    assert verdict.decision is decision
    assert verdict.rule == f"company rule: {decision.value} 'sh*' for 'c?o'"
    other = decide("mail", effect, role=role("*"), company_rules=company)
    assert other.decision is Decision.ALLOW


@pytest.mark.parametrize("effect", [Effect.NETWORK, Effect.MESSAGE, Effect.SPEND])
def test_a_marked_task_reaches_nobody_without_a_signature(effect: Effect) -> None:
    company = (rule("allow"),)
    assert decide("mail", effect, role=role("mail"), company_rules=company).decision == "allow"
    marked = decide("mail", effect, role=role("mail"), company_rules=company, is_marked=True)
    assert marked.decision is Decision.ASK
    assert "not the founder's" in marked.rule


@pytest.mark.parametrize("effect", QUIET)
def test_a_marked_task_still_reads_and_writes(effect: Effect) -> None:
    assert decide("x", effect, role=role("x"), is_marked=True).decision is Decision.ALLOW


def test_an_effect_that_nobody_has_thought_of_is_denied() -> None:
    unheard: Any = cast("Effect", "teleport")
    verdict = decide("x", unheard, role=role("*"), company_rules=(rule("allow"),))
    assert verdict.decision is Decision.DENY


def test_names_are_matched_exactly_by_case() -> None:
    assert decide("Shell", Effect.READ, role=role("shell")).decision is Decision.DENY
