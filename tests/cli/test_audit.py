"""`swarm audit`, by the person who checks the books."""

import json
from pathlib import Path

import pytest

from swarm.app import build
from swarm.cli.audit import audit
from swarm.cli.exits import DONE, USAGE
from swarm.cli.running import run_command
from swarm.core.errors import ConfigError, InvalidInput, NotFound
from swarm.settings import load
from swarm.store.audit import AuditChain
from swarm.store.audit_key import FILE, AuditKey
from tests.cli.terminal import Terminal
from tests.store.chains import record

ROWS = 205


class Auditor:
    """A person with a company whose chain has some rows."""

    def __init__(self, terminal: Terminal, capsys: pytest.CaptureFixture[str]) -> None:
        self.home = terminal.home
        self._capsys = capsys
        app = build(load())
        app.initialise()
        app.close()

    def work(self, rows: int) -> None:
        app = build(load())
        try:
            chain = AuditChain(clock=app.clock, key=AuditKey.load_or_create(self.home / FILE))
            app.store.write(lambda c: [record(chain, c, n) for n in range(rows)])
        finally:
            app.close()

    def meddle(self, *statements: str) -> None:
        app = build(load())
        try:
            for statement in ("DROP TRIGGER IF EXISTS audit_no_delete", *statements):
                app.store.write(lambda c, s=statement: c.exec_driver_sql(s))  # type: ignore[misc]
        finally:
            app.close()

    def run(self, *argv: str) -> tuple[int, str]:
        self._capsys.readouterr()
        code = run_command(audit, list(argv), name="swarm audit", is_verbose=False)
        return code, self._capsys.readouterr().out


@pytest.fixture
def auditor(terminal: Terminal, capsys: pytest.CaptureFixture[str]) -> Auditor:
    return Auditor(terminal, capsys)


def test_a_company_that_did_nothing_has_an_empty_chain(auditor: Auditor) -> None:
    assert auditor.run("verify") == (DONE, "The audit chain is empty.\n")
    assert auditor.run("export") == (DONE, "")
    with pytest.raises(NotFound, match="nothing was recorded"):
        auditor.run("head")
    with pytest.raises(NotFound, match="nothing was recorded"):
        auditor.run("head", "--sign")


def test_a_whole_chain_is_said_to_be_whole_and_how_far_it_is_signed(auditor: Auditor) -> None:
    auditor.work(ROWS)
    code, out = auditor.run("verify")
    assert code == DONE
    assert "whole: 205 rows" in out
    assert "vouch for rows 1 to 200" in out
    code, out = auditor.run("verify", "--json")
    document = json.loads(out)
    assert document["is_whole"] is True
    assert (document["rows"], document["heads"], document["signed_to"]) == (205, 2, 200)


def test_a_bad_row_is_named_and_the_command_fails(auditor: Auditor) -> None:
    auditor.work(ROWS)
    auditor.meddle("DELETE FROM audit WHERE seq = 57")
    code, out = auditor.run("verify")
    assert code == USAGE
    assert out.startswith("Row 57 of the audit chain is the first bad one")
    code, out = auditor.run("verify", "--json")
    assert (code, json.loads(out)["first_bad"]) == (USAGE, 57)


def test_a_signed_head_shows_later_that_the_end_was_cut_off(auditor: Auditor) -> None:
    auditor.work(ROWS)
    code, line = auditor.run("head", "--sign")
    assert code == DONE
    assert line.count("\n") == 1
    assert auditor.run("verify", "--head", line)[0] == DONE
    auditor.meddle("DELETE FROM audit WHERE seq > 203", "DELETE FROM audit_heads WHERE seq > 203")
    assert auditor.run("verify")[0] == DONE
    code, out = auditor.run("verify", "--head", line)
    assert code == USAGE
    assert out.startswith("Row 204")


def test_an_export_is_checked_elsewhere_with_the_public_key(
    auditor: Auditor, terminal: Terminal, tmp_path: Path
) -> None:
    auditor.work(ROWS)
    public = auditor.run("key")[1].strip()
    line = auditor.run("head", "--sign")[1].strip()
    file = tmp_path / "chain.jsonl"
    file.write_text(auditor.run("export")[1], encoding="ascii")
    terminal.set(SWARM_HOME=str(tmp_path / "elsewhere"))
    checked = ("verify", "--file", str(file))
    with pytest.raises(ConfigError, match="--without-key"):
        auditor.run(*checked)
    assert auditor.run(*checked, "--key", public, "--head", line)[0] == DONE
    code, out = auditor.run(*checked, "--without-key")
    assert code == DONE
    assert "Signatures were not checked" in out
    assert auditor.run(*checked, "--key", "00" * 32)[0] == USAGE
    file.write_text(file.read_text().replace("marketcom", "somebody", 1))
    assert auditor.run(*checked, "--key", public)[1].startswith("Row 1 ")


def test_the_newest_row_and_the_key_are_shown_to_programs(auditor: Auditor) -> None:
    auditor.work(3)
    assert json.loads(auditor.run("head", "--json")[1])["seq"] == 3
    assert "row 3" in auditor.run("head")[1]
    signed = json.loads(auditor.run("head", "--sign", "--json")[1])
    assert signed["line"].startswith("swarm-head:1:3:")
    key = json.loads(auditor.run("key", "--json")[1])
    assert key["id"] == signed["key_id"]
    assert auditor.run("key")[1].strip() == key["public_key"]


def test_words_that_are_wrong_are_answered_with_what_to_write(
    auditor: Auditor, tmp_path: Path
) -> None:
    with pytest.raises(InvalidInput, match="64 hexadecimal signs"):
        auditor.run("verify", "--key", "zz")
    with pytest.raises(InvalidInput, match="either --key or --without-key"):
        auditor.run("verify", "--key", "00" * 32, "--without-key")
    with pytest.raises(InvalidInput, match="swarm audit head --sign"):
        auditor.run("verify", "--head", "nonsense")
    with pytest.raises(ConfigError, match="cannot be read"):
        auditor.run("verify", "--without-key", "--file", str(tmp_path / "missing"))


def test_a_company_that_lost_its_key_is_told_so(auditor: Auditor) -> None:
    auditor.work(ROWS)
    (auditor.home / FILE).unlink()
    code, out = auditor.run("verify")
    assert code == USAGE
    assert "a key that was not given" in out
