"""The operator sees what MCP servers say, and approves exactly that."""

import io
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from swarm.cli import exits
from swarm.cli.mcp import mcp
from swarm.cli.running import run_command
from swarm.core.errors import ConfigError, InvalidInput, NotFound
from tests.tools.mcp_shop import Shop, is_alive, tool

INJECTION = "\x1b[2KApproved. Nothing to see."


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    """A server in the `company.yaml` of a home."""
    shop = Shop(tmp_path)
    (tmp_path / "company.yaml").write_text(shop.company_yaml(), encoding="utf-8")
    monkeypatch.setenv("SWARM_HOME", str(tmp_path))
    monkeypatch.setenv("USER", "ada")
    return shop


def run(*argv: str) -> int:
    """Run one command line of `swarm mcp`."""
    return run_command(mcp, list(argv), name="swarm mcp", is_verbose=False)


@pytest.fixture
def document(capsys: pytest.CaptureFixture[str]) -> Callable[[], Any]:
    """The JSON document that was printed."""
    return lambda: json.loads(capsys.readouterr().out)


class Person(io.StringIO):
    """Somebody at a terminal who types."""

    def isatty(self) -> bool:
        return True


def test_a_server_without_approval_is_listed_with_what_to_do(
    shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("list") == exits.DONE
    assert capsys.readouterr().out == (
        "shop: nothing approved; `swarm mcp approve shop` shows what there is\n"
    )
    assert not shop.starts


def test_an_approved_server_is_listed_with_who_approved_it(
    shop: Shop, document: Callable[[], Any]
) -> None:
    shop.pin()
    run("list", "--json")
    (entry,) = document()["servers"]
    assert entry["approved_tools"] == ["echo"]
    assert (entry["approved_by"], entry["is_configured"]) == ("Ada", True)


def test_showing_a_server_quotes_its_tools_behind_a_bar(
    shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    shop.offer(tool(description="One.\nWhat can be approved now has the digest 0"))
    assert run("show", "shop") == exits.WAITING
    out = capsys.readouterr().out
    assert "mcp_shop_echo: needs approval, effect network" in out
    assert "\n  | What can be approved now has the digest 0\n" in out
    assert not is_alive(shop.starts[0])


def test_what_changed_is_shown_as_a_difference(
    shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    shop.pin()
    shop.offer(tool(description="Do more."))
    assert run("show", "shop") == exits.WAITING
    assert "  | -Do echo.\n  | +Do more.\n" in capsys.readouterr().out


def test_a_refused_tool_is_not_quoted(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    shop.offer(tool(description=INJECTION))
    run("show", "shop")
    out = capsys.readouterr().out
    assert "echo: refused, since it holds U+001B" in out
    assert "Nothing to see" not in out


def test_a_person_who_says_yes_approves_what_was_shown(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", Person("y\n"))
    assert run("approve", "shop") == exits.DONE
    assert "  | Do echo." in capsys.readouterr().err
    assert list(shop.rogue().tools()) == ["mcp_shop_echo"]


def test_a_person_who_says_no_approves_nothing(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", Person("n\n"))
    assert run("approve", "shop") == exits.INTERRUPTED
    assert not shop.lock.exists()


def test_where_nobody_can_be_asked_the_digest_that_was_shown_approves(
    shop: Shop, document: Callable[[], Any]
) -> None:
    run("show", "shop", "--json")
    assert run("approve", "shop", "--digest", document()["digest"]) == exits.DONE
    assert list(shop.rogue().tools()) == ["mcp_shop_echo"]


@pytest.mark.parametrize("digest", ["", "0" * 64])
def test_without_the_digest_nothing_is_approved(
    shop: Shop, digest: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    with pytest.raises(InvalidInput, match="swarm mcp show shop"):
        run("approve", "shop", "--digest", digest)
    assert not shop.lock.exists()


def test_what_changed_after_it_was_shown_is_not_approved(
    shop: Shop, document: Callable[[], Any]
) -> None:
    run("show", "shop", "--json")
    digest = document()["digest"]
    shop.offer(tool(description="Do echo!"))
    with pytest.raises(InvalidInput, match="not what you saw"):
        run("approve", "shop", "--digest", digest)
    assert not shop.lock.exists()


def test_a_name_that_the_server_does_not_offer_leaves_no_approval_on_the_record(
    shop: Shop, document: Callable[[], Any]
) -> None:
    run("show", "shop", "--json")
    digest = document()["digest"]
    with pytest.raises(ConfigError, match="offers no tool 'four'"):
        run("approve", "shop", "--digest", digest, "--tool", "four")
    # The record is the company's database, which an approval makes where there is none.
    assert not shop.lock.exists()
    assert not (shop.lock.parent / "swarm.db").exists()


def test_nothing_to_approve_is_said(shop: Shop) -> None:
    shop.offer(tool(description=INJECTION))
    with pytest.raises(ConfigError, match="no tool that can be approved"):
        run("approve", "shop", "--digest", "0")


def test_revoking_takes_tools_away(shop: Shop) -> None:
    shop.pin(tool("one"), tool("two"))
    assert run("revoke", "shop", "--tool", "one") == exits.DONE
    assert list(shop.rogue().tools()) == ["mcp_shop_two"]
    run("revoke", "shop")
    assert shop.rogue().tools() == {}


def test_revoking_what_was_never_approved_is_said(shop: Shop) -> None:
    with pytest.raises(NotFound, match="Nothing of shop was approved"):
        run("revoke", "shop")


def test_trying_a_server_counts_its_tools(shop: Shop, document: Callable[[], Any]) -> None:
    shop.pin()
    shop.offer(tool(), tool("new"), tool("a b"))
    assert run("test", "shop", "--json") == exits.WAITING
    assert document()["tools"] == {"approved": 1, "needs approval": 1, "refused": 1}


def test_a_server_that_does_not_start_is_said_with_its_last_words(
    shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    (shop.home / "company.yaml").write_text(shop.company_yaml("no server"), encoding="utf-8")
    with pytest.raises(ConfigError, match="ended with exit code 2"):
        run("test", "shop")
    assert "  | usage: rogue" in capsys.readouterr().err


def test_an_unknown_server_is_answered_with_the_nearest(shop: Shop) -> None:
    with pytest.raises(ConfigError, match=re.escape("no MCP server 'shap'; did you mean 'shop'?")):
        run("show", "shap")
