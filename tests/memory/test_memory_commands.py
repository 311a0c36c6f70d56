"""`swarm memory`: list, search, add, edit, confirm, forget, export, import."""

from pathlib import Path

import pytest

from swarm.cli.entry import COMMANDS, Command
from tests.cli.terminal import Terminal


@pytest.fixture
def terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Terminal:
    """A terminal with a company."""
    declared = Command("swarm.cli.memory_commands:memory", "Memories.", "Books")
    monkeypatch.setitem(COMMANDS, "memory", declared)
    found = Terminal(tmp_path / "home", monkeypatch, capsys)
    assert found.run("init").code == 0
    return found


def add(terminal: Terminal, *argv: str) -> str:
    """Add a memory and return its id."""
    seen = terminal.run("memory", "add", *argv, "--json")
    assert seen.code == 0, seen.err
    return str(seen.document["id"])


def test_what_was_seen_in_the_field_is_found_with_its_age(terminal: Terminal) -> None:
    add(
        terminal,
        "La boulangerie de Pantin ouvre à six heures.",
        "--seen",
        "2026-03-01",
        "--half-life",
        "20",
        "--about",
        "person:ada",
        "--audience",
        "ceo,cto",
    )
    (found,) = terminal.run("memory", "search", "boulangeries", "--json").document
    assert (found["is_flow"], found["observed_by"], found["half_life_days"]) == (True, "ada", 20)
    assert (found["scope"], found["scope_id"], found["audience"]) == (
        "person",
        "ada",
        ["ceo", "cto"],
    )
    assert found["age"].startswith("seen ")
    assert found["age"].endswith(" by you")
    assert found["score"] > 0
    assert "by you, person ada: La boulangerie" in terminal.run("memory", "list").out


def test_the_owner_sees_what_belongs_to_customers(terminal: Terminal) -> None:
    add(terminal, "likes tea", "--about", "customer:c1")
    assert len(terminal.run("memory", "search", "tea", "--json").document) == 1
    assert "customer c1" in terminal.run("memory", "list").out


def test_an_edit_supersedes_and_all_shows_both(terminal: Terminal) -> None:
    old = add(terminal, "opens at six", "--subject", "hours")
    new = terminal.run("memory", "edit", old, "opens at seven", "--json").document["id"]
    assert [m["id"] for m in terminal.run("memory", "list", "--json").document] == [new]
    assert f"replaced by {new}: opens at six" in terminal.run("memory", "list", "--all").out
    again = terminal.run("memory", "edit", old, "opens at eight")
    assert (again.code, again.out) == (2, "")
    assert new in again.err


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["x", "--kind", "fcat"], "did you mean 'fact'"),
        (["x", "--about", "planet:mars"], "write role:NAME"),
        (["x", "--about", "customer:"], "write role:NAME"),
        (["x", "--seen", "yesterday"], "write it as 2026-03-01"),
        (["x", "--seen", "2999-01-01"], "future"),
        (["x", "--half-life", "0"], "half-life"),
        (["x", "--audience", "the boss"], "list of role names"),
        ([" "], "needs words"),
    ],
)
def test_a_word_that_is_off_is_named_and_nothing_is_stored(
    terminal: Terminal, argv: list[str], said: str
) -> None:
    seen = terminal.run("memory", "add", *argv)
    assert (seen.code, seen.out) == (2, "")
    assert said in seen.err
    assert terminal.run("memory", "list", "--json").document == []


@pytest.mark.parametrize(
    ("answer", "code", "left"), [(b"y\n", 0, 0), (b"oui\n", 0, 0), (b"n\n", 2, 1), (b"", 2, 1)]
)
def test_forgetting_asks_first(terminal: Terminal, answer: bytes, code: int, left: int) -> None:
    memory_id = add(terminal, "the recipe")
    seen = terminal.run("memory", "forget", memory_id, stdin=answer)
    assert seen.code == code
    assert "the recipe\nForget it for good?" in seen.err
    assert len(terminal.run("memory", "list", "--json").document) == left


def test_with_yes_nobody_is_asked_and_older_wordings_go_too(terminal: Terminal) -> None:
    old = add(terminal, "the recipe")
    new = terminal.run("memory", "edit", old, "the new recipe", "--json").document["id"]
    seen = terminal.run("memory", "forget", new, "--yes", "--json")
    assert seen.document == {"forgotten": new, "older": [old]}
    assert terminal.run("memory", "list", "--all", "--json").document == []
    assert terminal.run("memory", "forget", new, "--yes").code == 2


def test_a_broken_file_gives_its_good_lines_and_names_the_bad_ones(
    terminal: Terminal, tmp_path: Path
) -> None:
    lines = [
        b'{"text": "the bakery opens at six", "id": "m1"}',
        b"{not json",
        b"",
        b'{"text": ""}',
        b'{"text": "x", "kind": "rumour"}',
        b'{"text": "x", "colour": "red"}',
        b'{"text": "\xff"}',
        b'{"text": "x", "scope": "customer"}',
        b"[1]",
        b'{"text": "another", "id": "m1"}',
        b'{"text": "' + b"x" * 1_100_000 + b'"}',
        b'{"text": "from a stranger", "origin": "web"}',
        b"[" * 100_000,
    ]
    path = tmp_path / "memories.jsonl"
    path.write_bytes(b"\n".join(lines))
    seen = terminal.run("memory", "import", str(path), "--json")
    assert seen.code == 2
    assert len(seen.document["added"]) == 2
    bad = {entry["line"]: entry["reason"] for entry in seen.document["bad"]}
    assert sorted(bad) == [2, 4, 5, 6, 7, 8, 9, 10, 11, 13]
    assert (bad[7], bad[11]) == ("not UTF-8", "longer than 1,048,576 bytes")
    kept = terminal.run("memory", "list", "--json").document
    assert {m["text"]: m["is_quarantined"] for m in kept} == {
        "the bakery opens at six": False,
        "from a stranger": True,
    }
    plain = terminal.run("memory", "import", str(path))
    assert "1 known already" in plain.out
    assert "line 4: text: " in plain.err


def test_an_export_imports_again_to_the_same(
    terminal: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = add(terminal, "Fermé le lundi", "--subject", "hours", "--until", "2999-01-01")
    terminal.run("memory", "edit", old, "Fermé le mardi")
    add(terminal, "likes tea", "--about", "customer:c1", "--source", "message 7")
    path = tmp_path / "out.jsonl"
    assert terminal.run("memory", "export", str(path)).code == 0
    exported = path.read_text(encoding="utf-8")
    assert "Fermé le lundi" in exported
    terminal.set(SWARM_HOME=str(tmp_path / "other"))
    terminal.run("init")
    assert terminal.run("memory", "import", "-", stdin=exported.encode()).code == 0
    assert terminal.run("memory", "export").out == exported
    again = terminal.run("memory", "import", str(path), "--json")
    assert (again.code, again.document["added"]) == (0, [])


def test_a_stranger_s_memory_is_confirmed_by_name(terminal: Terminal) -> None:
    line = b'{"text": "market on sunday", "origin": "customer", "id": "m7"}'
    terminal.run("memory", "import", "-", stdin=line)
    assert "unconfirmed" in terminal.run("memory", "list").out
    seen = terminal.run("memory", "confirm", "m7", "--json").document
    assert (seen["is_quarantined"], seen["confirmed_by"]) == (False, "ada")
    assert terminal.run("memory", "confirm", "nowhere").code == 2


@pytest.mark.parametrize("command", ["import", "export"])
def test_a_file_that_cannot_be_used_is_named(terminal: Terminal, command: str) -> None:
    seen = terminal.run("memory", command, "/nowhere/file.jsonl")
    assert seen.code == 2
    assert "/nowhere/file.jsonl cannot be " in seen.err
