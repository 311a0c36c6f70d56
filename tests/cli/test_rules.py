"""What is signed in advance is listed, ends, and can be taken back."""

import pytest

from tests.cli.terminal import Terminal


@pytest.fixture
def company(terminal: Terminal) -> Terminal:
    assert terminal.run("init").code == 0
    return terminal


def test_a_rule_is_signed_listed_and_taken_back(company: Terminal) -> None:
    made = company.run(
        "rules", "allow", "marketcom", "web_fetch", "--to", "example.org", "--days", "3", "--json"
    )
    assert made.code == 0, made.err
    rule = made.document["id"]
    (listed,) = company.run("rules", "list", "--json").document
    assert listed["destinations"] == ["example.org"]
    assert listed["created_by"].startswith("console:")
    assert company.run("rules", "revoke", rule).code == 0
    assert company.run("rules", "list", "--json").document[0]["revoked_at"]
    assert "(ended)" in company.run("rules", "list").out
    again = company.run("rules", "revoke", rule)
    assert again.code == 2
    assert "revoked before" in again.err
    assert company.run("audit", "verify").code == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("marketing", "web_fetch", "--to", "a.org"), "did you mean 'marketcom'"),
        (("marketcom", "web_fetsh", "--to", "a.org"), "did you mean 'web_fetch'"),
        (("marketcom", "web_fetch", "--to", "*"), "no wildcards"),
        (("marketcom", "web_fetch", "--to", " "), "an empty list means nobody"),
        (("marketcom", "web_fetch", "--to", "a.org", "--days", "0"), "make no sense"),
        (("marketcom", "web_fetch", "--to", "a.org", "--days", "nan"), "make no sense"),
        (("marketcom", "web_fetch"), "--to"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused_in_a_sentence(
    company: Terminal, arguments: tuple[str, ...], said: str
) -> None:
    seen = company.run("rules", "allow", *arguments)
    assert seen.code == 2
    assert said in " ".join(seen.err.split())
    assert "Traceback" not in seen.err
    assert company.run("rules", "list").out.strip() == "Nothing is signed in advance."


def test_a_rule_that_does_not_exist_is_named(company: Terminal) -> None:
    seen = company.run("rules", "revoke", "p123")
    assert seen.code == 2
    assert "There is no standing rule 'p123'" in seen.err
