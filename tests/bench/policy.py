"""Measure what the policy's word on one call costs: `python -m tests.bench.policy`."""

import json
import sys
import time
from typing import Annotated

from swarm.agents.words import Words
from swarm.core.mark import CLEAN
from swarm.core.origin import Origin
from swarm.core.role import Role
from swarm.tools.base import SINK, Arguments, Effect
from swarm.tools.policy import (
    CompanyRule,
    Decision,
    PolicyConfig,
    Situation,
    StandingRule,
    decide,
)

ROUNDS, CALLS = 7, 2_000
ORDER = "Write to the list and tell them about the bakery that opens in May. " * 60
PAGE = "Opening hours, prices and a letter to all neighbours of the new bakery. " * 400


class Letter(Arguments):
    """A call as a role makes it."""

    to: Annotated[str, SINK]
    body: str


def measure() -> dict[str, float]:
    """Return the CPU of one decision in ms: for a quiet call, and for a letter of a marked task.

    The company has 20 rules and 20 rules signed in advance; the task has read four pages, and the
    letter's words are looked for in all of them.
    """
    role = Role(name="marketcom", title="M", tools=("read_*", "write_*", "mail_*"), prompt="x")
    rules = tuple(CompanyRule(tool=f"tool_{n}_*", decision=Decision.ASK) for n in range(20))
    company = PolicyConfig(rules=rules, allow={"mail_send": ("list@example.org",)})
    standing = tuple(
        StandingRule(f"p{n}", "marketcom", "mail_send", (f"a{n}@example.org",)) for n in range(20)
    )
    mark = CLEAN.after(Origin.WEB, is_private=True)
    args = Letter(
        to="eve@example.net", body="Opening hours, prices and a letter to all neighbours."
    )
    words = Words(ORDER)
    for _ in range(4):
        words.heard(PAGE)

    def letter() -> None:
        situation = Situation(
            mark, (args.to,), standing, False, words.are_founders(args), words.are_known(args)
        )
        verdict = decide(
            "mail_send", Effect.MESSAGE, role=role, company=company, situation=situation
        )
        assert verdict.decision is Decision.ASK

    def quiet() -> None:
        situation = Situation(mark, (), standing)
        verdict = decide("read_file", Effect.READ, role=role, company=company, situation=situation)
        assert verdict.decision is Decision.ALLOW

    return {"policy_quiet_ms": _least_ms(quiet), "policy_letter_ms": _least_ms(letter)}


def _least_ms(work: object) -> float:
    """Return the least mean of several rounds: the rest is what other programs did meanwhile."""
    assert callable(work)
    found = []
    for _ in range(ROUNDS):
        start = time.process_time()
        for _ in range(CALLS):
            work()
        found.append((time.process_time() - start) / CALLS * 1e3)
    return round(min(found), 4)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measure(), indent=2) + "\n")
