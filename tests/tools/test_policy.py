"""Whether an effect may happen."""

from typing import Annotated, Any, ClassVar, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm.core.mark import CLEAN, Mark
from swarm.core.origin import Origin
from swarm.core.role import Role
from swarm.tools.base import SINK, Arguments, Effect, ToolContext, ToolResult, destinations
from swarm.tools.policy import (
    CompanyRule,
    Decision,
    PolicyConfig,
    Situation,
    StandingRule,
    decide,
    is_allowed,
)

LOUD = [Effect.NETWORK, Effect.MESSAGE, Effect.SPEND]
QUIET = [Effect.READ, Effect.WRITE_WORKSPACE, Effect.RUN]


def role(*tools: str, approvals: tuple[str, ...] = ()) -> Role:
    return Role(name="cto", title="CTO", tools=tools, approvals=approvals, prompt="Build.")


def rule(decision: str, tool: str = "*", whose: str = "*") -> CompanyRule:
    return CompanyRule(tool=tool, decision=Decision(decision), role=whose)


def rules_of(rules: tuple[CompanyRule, ...]) -> PolicyConfig:
    return PolicyConfig(rules=rules)


def read(is_marked: bool) -> Situation:
    return Situation(mark=CLEAN.after(Origin.WEB) if is_marked else CLEAN)


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
    verdict = decide(
        tool, Effect.POLICY, role=who, company=rules_of(company), situation=read(is_marked)
    )
    assert verdict.decision is Decision.DENY
    assert verdict.rule.startswith("no tool may change policy")


@given(tool=names, effect=st.sampled_from(Effect), company=rules)
def test_a_tool_the_role_does_not_name_is_denied(
    tool: str, effect: Effect, company: tuple[CompanyRule, ...]
) -> None:
    verdict = decide(tool, effect, role=role("other_tool", "x_*"), company=rules_of(company))
    assert verdict.decision is Decision.DENY


@given(tool=names, effect=st.sampled_from(Effect), who=roles, company=rules, marked=st.booleans())
def test_another_rule_of_the_strict_kinds_never_makes_a_verdict_milder(
    tool: str, effect: Effect, who: Role, company: tuple[CompanyRule, ...], marked: bool
) -> None:
    strictness = [Decision.ALLOW, Decision.ASK, Decision.DENY]
    before = decide(tool, effect, role=who, company=rules_of(company), situation=read(marked))
    for more in (rule("ask"), rule("deny")):
        after = decide(
            tool, effect, role=who, company=rules_of((more, *company)), situation=read(marked)
        )
        assert strictness.index(after.decision) >= strictness.index(before.decision)
    after = decide(tool, effect, role=who, company=rules_of(company), situation=read(True))
    assert strictness.index(after.decision) >= strictness.index(before.decision)


@given(tool=names, effect=st.sampled_from(Effect), who=roles, company=rules, marked=st.booleans())
def test_the_order_of_company_rules_decides_nothing(
    tool: str, effect: Effect, who: Role, company: tuple[CompanyRule, ...], marked: bool
) -> None:
    one = decide(tool, effect, role=who, company=rules_of(company), situation=read(marked))
    other = decide(tool, effect, role=who, company=rules_of(company[::-1]), situation=read(marked))
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
        assert (
            decide("shell", effect, role=who, company=rules_of((wrong,))).decision is Decision.ASK
        )
    allowed = decide("shell", effect, role=who, company=rules_of((rule("allow", "sh*", "cto"),)))
    assert allowed.decision is Decision.ALLOW
    assert allowed.rule == "company rule: allow 'sh*' for 'cto'"


@pytest.mark.parametrize("effect", [*QUIET, *LOUD])
def test_an_approval_named_by_the_role_is_asked_for_whatever_the_company_allows(
    effect: Effect,
) -> None:
    who = role("*", approvals=("write_*",))
    verdict = decide("write_file", effect, role=who, company=rules_of((rule("allow"),)))
    assert verdict.decision is Decision.ASK
    assert verdict.rule == "role cto: approvals names 'write_*'"


@pytest.mark.parametrize("effect", [*QUIET, *LOUD])
@pytest.mark.parametrize("decision", [Decision.ASK, Decision.DENY])
def test_the_company_can_ask_or_deny_whatever_else_is_allowed(
    effect: Effect, decision: Decision
) -> None:
    company = (rule("allow"), rule(decision, "sh*", "c?o"))
    verdict = decide("shell", effect, role=role("*"), company=rules_of(company))
    assert verdict.decision is decision
    assert verdict.rule == f"company rule: {decision.value} 'sh*' for 'c?o'"
    other = decide("mail", effect, role=role("*"), company=rules_of(company))
    assert other.decision is Decision.ALLOW


@pytest.mark.parametrize("effect", [Effect.NETWORK, Effect.MESSAGE, Effect.SPEND])
def test_a_marked_task_reaches_nobody_without_a_signature(effect: Effect) -> None:
    company = (rule("allow"),)
    assert decide("mail", effect, role=role("mail"), company=rules_of(company)).decision == "allow"
    marked = decide(
        "mail", effect, role=role("mail"), company=rules_of(company), situation=read(True)
    )
    assert marked.decision is Decision.ASK
    assert "not the founder's" in marked.rule


@pytest.mark.parametrize("effect", QUIET)
def test_a_marked_task_still_reads_and_writes(effect: Effect) -> None:
    assert decide("x", effect, role=role("x"), situation=read(True)).decision is Decision.ALLOW


def test_an_effect_that_nobody_has_thought_of_is_denied() -> None:
    unheard: Any = cast("Effect", "teleport")
    verdict = decide("x", unheard, role=role("*"), company=rules_of((rule("allow"),)))
    assert verdict.decision is Decision.DENY


def test_names_are_matched_exactly_by_case() -> None:
    assert decide("Shell", Effect.READ, role=role("shell")).decision is Decision.DENY


PRIVATE = Situation(mark=CLEAN.after(Origin.WEB, is_private=True))
FRIDAY = StandingRule(id="s1", role="cto", tool="mail", destinations=("list@example.org",))


def standing(to: tuple[str, ...], mark: Mark = CLEAN) -> Situation:
    return Situation(mark=mark, destinations=to, standing=(FRIDAY,))


def test_of_private_data_strangers_words_and_an_effect_outside_a_task_keeps_two() -> None:
    company = PolicyConfig(allow={"fetch": ("docs.example.org",)})
    who = role("fetch")
    for mark, expected in [
        (CLEAN, "allow"),
        (CLEAN.after(Origin.WEB), "allow"),
        (CLEAN.after(Origin.TEAM, is_private=True), "allow"),
        (PRIVATE.mark, "ask"),
    ]:
        situation = Situation(mark, ("docs.example.org",), is_look=True)
        verdict = decide("fetch", Effect.NETWORK, role=who, company=company, situation=situation)
        assert verdict.decision == expected


def test_what_was_signed_in_advance_covers_exactly_the_role_the_tool_and_the_people_named() -> None:
    who = role("mail", approvals=("mail",))
    to = ("list@example.org",)
    assert decide("mail", Effect.MESSAGE, role=who, situation=standing(to)).decision == "allow"
    for wrong in [(), ("boss@example.org",), (*to, "boss@example.org"), ("LIST@example.org",)]:
        verdict = decide("mail", Effect.MESSAGE, role=who, situation=standing(wrong))
        assert verdict.decision is Decision.ASK
    ceo = who.model_copy(update={"name": "ceo"})
    assert decide("mail", Effect.MESSAGE, role=ceo, situation=standing(to)).decision == "ask"


def test_money_after_strangers_words_is_signed_each_time() -> None:
    situation = standing(("list@example.org",), CLEAN.after(Origin.CUSTOMER))
    assert (
        decide("mail", Effect.MESSAGE, role=role("mail"), situation=situation).decision == "allow"
    )
    assert decide("mail", Effect.SPEND, role=role("mail"), situation=situation).decision == "ask"


def test_what_was_signed_in_advance_sends_no_private_data_of_a_marked_task() -> None:
    situation = standing(("list@example.org",), PRIVATE.mark)
    assert decide("mail", Effect.MESSAGE, role=role("mail"), situation=situation).decision == "ask"


def test_an_empty_list_means_nobody() -> None:
    assert not is_allowed("fetch", ("a.org",), {})
    assert not is_allowed("fetch", ("a.org",), {"fetch": ()})
    assert not is_allowed("fetch", (), {"fetch": ("a.org",)})
    assert is_allowed("fetch", ("a.org",), {"fetch": ("a.org",)})
    for near in ["A.org", "a.org.", "xa.org", "b.a.org", "a.org.evil.net"]:
        assert not is_allowed("fetch", (near,), {"fetch": ("a.org",)})
    assert is_allowed("fetch", ("b.a.org",), {"fetch": (".a.org",)})
    assert not is_allowed("fetch", ("ba.org",), {"fetch": (".a.org",)})


@given(
    origins=st.lists(st.sampled_from(Origin), max_size=4),
    is_private=st.booleans(),
    effect=st.sampled_from(Effect),
    company=rules,
    is_look=st.booleans(),
    is_founders_word=st.booleans(),
    is_known=st.booleans(),
)
def test_what_a_task_reads_never_opens_a_way(
    origins: list[Origin],
    is_private: bool,
    effect: Effect,
    company: tuple[CompanyRule, ...],
    is_look: bool,
    is_founders_word: bool,
    is_known: bool,
) -> None:
    strictness = [Decision.ALLOW, Decision.ASK, Decision.DENY]
    policy = PolicyConfig(rules=company, allow={"mail": ("list@example.org",)})
    mark, before = CLEAN, 0
    for origin in [Origin.FOUNDER, *origins]:
        mark = mark.after(origin, is_private=is_private)
        situation = Situation(
            mark, ("list@example.org",), (FRIDAY,), is_look, is_founders_word, is_known
        )
        verdict = decide("mail", effect, role=role("mail"), company=policy, situation=situation)
        assert strictness.index(verdict.decision) >= before
        before = strictness.index(verdict.decision)


def test_a_look_at_an_address_that_others_wrote_tells_nobody_anything() -> None:
    company = PolicyConfig(allow={"fetch": ("docs.example.org",)})
    for known, look, expected in [
        (True, True, "allow"),
        (False, True, "ask"),
        (True, False, "ask"),
    ]:
        situation = Situation(
            PRIVATE.mark, ("docs.example.org",), is_look=look, carries_nothing_new=known
        )
        verdict = decide(
            "fetch", Effect.NETWORK, role=role("fetch"), company=company, situation=situation
        )
        assert verdict.decision == expected


def test_an_address_that_the_founder_named_is_looked_at_but_not_written_to() -> None:
    for look, expected in [(True, "allow"), (False, "ask")]:
        situation = Situation(destinations=("a.org",), is_look=look, is_founders_word=True)
        verdict = decide("fetch", Effect.NETWORK, role=role("fetch"), situation=situation)
        assert verdict.decision == expected


def test_whom_a_call_reaches_are_the_values_that_were_given() -> None:
    class Mail:
        name: ClassVar[str] = "mail"
        description: ClassVar[str] = ""
        effect: ClassVar[Effect] = Effect.MESSAGE
        Args: ClassVar[type[Arguments]] = MailArguments

        async def run(self, args: Any, context: ToolContext) -> ToolResult:
            raise NotImplementedError

    given = MailArguments(to=["a@x.org", "b@x.org"], body="Hello")
    assert destinations(Mail(), given) == ("a@x.org", "b@x.org")


class MailArguments(Arguments):
    to: Annotated[list[str], SINK]
    cc: Annotated[str | None, SINK] = None
    body: str
