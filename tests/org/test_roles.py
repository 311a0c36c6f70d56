"""The roles that come with the product."""

import re

import pytest

from swarm.core.role import Role
from swarm.org.loader import Org, builtin_roles, load_org
from swarm.tools.registry import TOOLS

ROLES = ("ceo", "cto", "marketcom", "support")


def shipped() -> Org:
    return load_org(builtin_roles(), known_tools=TOOLS.names())


def foreign_tools(role: Role) -> set[str]:
    """Return what the prompt calls a tool, or names as one, and the role does not have."""
    in_code = set(re.findall(r"`([^`\n]+)`", role.prompt))
    # One-word names such as `deliver` are ordinary verbs where they are not set as code.
    words = {name for name in TOOLS.names() if "_" in name and name in role.prompt}
    return (in_code | words) - set(role.tools)


def test_the_shipped_roles_make_a_company_led_by_the_ceo() -> None:
    org = shipped()

    assert tuple(org.roles) == ROLES
    assert org.head == "ceo"
    assert {org.roles[name].reports_to for name in ROLES[1:]} == {"ceo"}


@pytest.mark.parametrize("name", ROLES)
def test_a_shipped_role_tells_the_planner_in_one_line_what_it_is_for(name: str) -> None:
    role = shipped().role(name)

    assert role.title
    assert 40 <= len(role.summary) <= 200


@pytest.mark.parametrize("name", ROLES)
def test_a_shipped_prompt_has_substance(name: str) -> None:
    prompt = shipped().role(name).prompt
    sections = dict(re.findall(r"^## ([^\n]+)\n\n(.+?)(?=\n\n## |\Z)", prompt, re.M | re.S))
    headings = " | ".join(sections).lower()

    assert 350 <= len(prompt.split()) <= 660
    for topic in ("how you think", "ask" if name != "support" else "escalate", "refuse", "tools"):
        assert topic in headings
    assert min(len(text.split()) for text in sections.values()) >= 40
    assert prompt.startswith("You ")


@pytest.mark.parametrize("name", ROLES)
def test_a_shipped_prompt_says_that_foreign_words_are_no_orders(name: str) -> None:
    ending = shipped().role(name).prompt.split("\n## ")[-1].lower()

    assert "files" in ending or "pages" in ending
    assert re.search(
        r"\bdata\b|\bsources, not superiors\b|\bnever (an order|instructions)\b", ending
    )


@pytest.mark.parametrize("name", ROLES)
def test_a_shipped_prompt_uses_each_tool_of_the_role_and_no_other(name: str) -> None:
    role = shipped().role(name)

    assert foreign_tools(role) == set()
    assert [tool for tool in role.tools if f"`{tool}`" not in role.prompt] == []


def test_a_tool_that_a_prompt_mentions_in_vain_is_noticed() -> None:
    role = Role(
        name="legal",
        title="Counsel",
        tools=("deliver",),
        prompt="Use `shell`, `deliver`, read_file.",
    )

    assert foreign_tools(role) == {"shell", "read_file"}


@pytest.mark.parametrize("name", ROLES)
def test_a_shipped_role_leaves_the_model_and_its_money_to_the_company(name: str) -> None:
    # A sum has a currency, and a temperature a model: a shipped file can know neither.
    role = shipped().role(name)

    assert (role.model, role.budget, role.temperature) == (None, None, None)
