"""`swarm skills`: a person reads a skill whole, lets it in, and shuts it out."""

import io
import sys
from pathlib import Path

import pytest

from swarm.cli import entry
from tests.cli.terminal import Seen, Terminal

SKILL = "---\nname: greeting\ndescription: Greets people.\n---\nSay hello\u200b.\n"


@pytest.fixture
def home(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> Path:
    command = entry.Command("swarm.cli.skills:skills", "List, show and approve skills.", "Books")
    monkeypatch.setitem(entry.COMMANDS, "skills", command)
    assert terminal.run("init").code == 0
    folder = terminal.home / "skills" / "greeting"
    folder.mkdir(parents=True)
    (folder / "SKILL.md").write_text(SKILL)
    (folder / "wave.md").write_text("Wave.")
    return terminal.home


def state(terminal: Terminal, name: str = "greeting") -> str:
    seen = terminal.run("skills", "list", "--json")
    return str(next(entry["state"] for entry in seen.document if entry["name"] == name))


def test_skills_are_listed_with_their_state(terminal: Terminal, home: Path) -> None:
    seen = terminal.run("skills", "list")
    assert seen.code == 0
    assert "landing-page" in seen.out
    line = next(line for line in seen.out.splitlines() if line.startswith("greeting"))
    assert "needs approval" in line
    assert "approve NAME" in seen.out
    assert state(terminal, "landing-page") == "ready"


def test_a_skill_is_shown_whole_with_its_hidden_signs(terminal: Terminal, home: Path) -> None:
    seen = terminal.run("skills", "show", "greeting")
    assert "Say hello\\u{200b}." in seen.out
    assert "with hidden signs" in seen.out
    assert "=== wave.md (5 bytes)\nWave." in seen.out
    document = terminal.run("skills", "show", "greeting", "--json").document
    assert document["state"] == "needs approval"
    assert [file["path"] for file in document["files"]] == ["SKILL.md", "wave.md"]
    assert document["files"][0]["text"] == SKILL


def test_an_approval_shows_everything_first_and_names_the_person(
    terminal: Terminal, home: Path
) -> None:
    seen = terminal.run("skills", "approve", "greeting", "--yes")
    assert seen.code == 0
    assert "Say hello\\u{200b}." in seen.out
    assert "approved by ada" in seen.out
    assert state(terminal) == "ready"
    (home / "skills" / "greeting" / "wave.md").write_text("Waves")
    assert state(terminal) == "changed"


def test_an_approval_as_json_is_one_document_and_still_shows_everything(
    terminal: Terminal, home: Path
) -> None:
    seen = terminal.run("skills", "approve", "greeting", "--yes", "--json")
    assert seen.document["state"] == "ready"
    assert seen.document["approved_by"] == "ada"
    assert "Say hello" in seen.err


def answer(monkeypatch: pytest.MonkeyPatch, text: str) -> int:
    """Answer at a terminal what `approve` asks."""

    class Keyboard(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdin", Keyboard(text))
    return entry.run(["skills", "approve", "greeting"])


@pytest.mark.parametrize("text", ["n\n", "\n", "", "yeah no\n"])
def test_anything_but_a_yes_lets_nothing_in(
    terminal: Terminal, home: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    assert answer(monkeypatch, text) == 3
    assert state(terminal) == "needs approval"
    assert not (home / "skills.lock").exists()


def test_a_yes_at_the_terminal_lets_it_in(
    terminal: Terminal, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert answer(monkeypatch, "y\n") == 0
    assert state(terminal) == "ready"


def test_where_nobody_can_be_asked_nothing_is_approved(terminal: Terminal, home: Path) -> None:
    seen = terminal.run("skills", "approve", "greeting", stdin=b"y\n")
    assert seen.code == 2
    assert "--yes" in seen.err
    assert state(terminal) == "needs approval"


def test_an_approval_can_be_bound_to_what_was_read(terminal: Terminal, home: Path) -> None:
    read = terminal.run("skills", "show", "greeting", "--json").document["sha256"]
    (home / "skills" / "greeting" / "wave.md").write_text("Steal.")
    refused = terminal.run("skills", "approve", "greeting", "--yes", "--digest", read)
    assert refused.code == 2
    assert "look at it again" in refused.err
    assert state(terminal) == "needs approval"
    (home / "skills" / "greeting" / "wave.md").write_text("Wave.")
    assert terminal.run("skills", "approve", "greeting", "--yes", "--digest", read).code == 0


def test_a_revoked_skill_is_closed(terminal: Terminal, home: Path) -> None:
    terminal.run("skills", "approve", "greeting", "--yes")
    assert terminal.run("skills", "revoke", "greeting", "--json").document == {
        "revoked": "greeting"
    }
    assert state(terminal) == "needs approval"
    assert terminal.run("skills", "revoke", "greeting").code == 2


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("show", "greting"), "did you mean 'greeting'"),
        (("approve", "nothing-like-it", "--yes"), "There is no skill"),
        (("approve", "landing-page", "--yes"), "needs no approval"),
    ],
)
def test_a_wrong_name_gets_a_sentence(
    terminal: Terminal, home: Path, arguments: tuple[str, ...], word: str
) -> None:
    seen: Seen = terminal.run("skills", *arguments)
    assert seen.code == 2
    assert word in seen.err
    assert seen.out == ""


def test_a_broken_skill_cannot_be_approved(terminal: Terminal, home: Path) -> None:
    (home / "skills" / "greeting" / "link").symlink_to("/etc/passwd")
    seen = terminal.run("skills", "approve", "greeting", "--yes")
    assert seen.code == 2
    assert "holds links" in seen.err
