"""The door: help, wrong words, exit codes, and what happens when something breaks."""

import errno
import json
import logging
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import structlog

from swarm.cli.entry import COMMANDS, Command
from swarm.cli.lazy import load
from swarm.cli.opened import opened
from swarm.core.errors import (
    Conflict,
    InvalidInput,
    LimitExceeded,
    NotFound,
    Refused,
    SwarmError,
    Transient,
)
from tests.cli.terminal import Terminal

HEAVY = (
    "swarm.app",
    "sqlalchemy",
    "sqlmodel",
    "dbos",
    "litellm",
    "rich.live",
    "structlog",
    "typer",
)


def test_help_lists_every_command_and_every_exit_code(terminal: Terminal) -> None:
    seen = terminal.run("--help")
    assert (seen.code, seen.err) == (0, "")
    for name, command in COMMANDS.items():
        assert f"  {name} " in seen.out
        assert command.help in seen.out
    assert "130 interrupted" in seen.out


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_of_its_own(terminal: Terminal, name: str) -> None:
    seen = terminal.run(name, "--help")
    assert (seen.code, seen.err) == (0, "")
    assert f"swarm {name}" in seen.out
    assert not terminal.home.exists()


@pytest.mark.parametrize("argv", [["--help"], ["order", "--help"]])
def test_help_imports_nothing_heavy(argv: list[str]) -> None:
    code = (
        "import sys; from swarm.cli.entry import run; run(sys.argv[2:]);"
        "sys.exit(','.join(m for m in sys.argv[1].split(',') if m in sys.modules))"
    )
    heavy = ",".join(m for m in HEAVY if m != "typer" or argv == ["--help"])
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", code, heavy, *argv], capture_output=True, text=True, check=False
    )
    sys.stdout.write(f"{' '.join(argv)}: {time.perf_counter() - began:.3f} s\n")
    assert done.stderr == "\n"


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (["ordr"], "Error: There is no command 'ordr'; did you mean 'order'?"),
        (["--wat"], "Error: There is no option '--wat'; known: --help, "),
        (["--versoin"], "Error: There is no option '--versoin'; did you mean '--version'?"),
        (["order"], "Error: Missing argument 'TEXT|-'. `swarm order --help` says what it takes."),
        (["orders", "--wat"], "Error: No such option: --wat"),
        (["orders", "--limit", "0"], "Error: Invalid value for '--limit'"),
        (["choose", "q1", "two"], "Error: Invalid value for 'NUMBER'"),
        (["memory", "lst"], "Error: No such command 'lst'. Did you mean 'list'"),
        (["schema", "ordre"], "Error: There is no document 'ordre'; did you mean 'order'?"),
    ],
)
def test_wrong_usage_is_one_sentence_with_code_2(
    terminal: Terminal, argv: list[str], sentence: str
) -> None:
    seen = terminal.run(*argv)
    assert (seen.code, seen.out) == (2, "")
    assert seen.err.startswith(sentence)
    assert seen.err.count("\n") == 1


def test_no_command_at_all_shows_the_help_as_an_error(terminal: Terminal) -> None:
    seen = terminal.run()
    assert (seen.code, seen.out) == (2, "")
    assert "Usage: swarm" in seen.err


def test_the_version_is_told(terminal: Terminal) -> None:
    assert terminal.run("--version").out.startswith("swarm 0.")


def raising(error: BaseException) -> Any:
    """Return a command that raises."""

    def command() -> None:
        raise error

    return command


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that makes the command `roles` raise an error."""

    def break_with(error: BaseException) -> None:
        monkeypatch.setattr(sys.modules[__name__], "raised", raising(error), raising=False)
        monkeypatch.setitem(COMMANDS, "roles", Command(f"{__name__}:raised", "", ""))

    return break_with


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InvalidInput("no"), 2),
        (NotFound("no"), 2),
        (Conflict("no"), 2),
        (Refused("no", kind="unauthorized"), 2),
        (Transient("no", kind="timeout"), 5),
        (LimitExceeded("no", limit="order", value=1.0, unit="USD"), 5),
        (SwarmError("no"), 2),
    ],
)
def test_an_error_is_one_sentence_and_the_code_of_its_class(
    terminal: Terminal, broken: Any, error: SwarmError, code: int
) -> None:
    broken(error)
    seen = terminal.run("roles")
    assert (seen.code, seen.out, seen.err) == (code, "", "Error: no\n")


def test_controls_in_an_error_do_not_reach_the_terminal(terminal: Terminal, broken: Any) -> None:
    broken(NotFound("no \x1b[31m'\u202e'"))
    assert terminal.run("roles").err == "Error: no [31m''\n"


def test_a_bug_names_the_log_that_holds_its_trace(terminal: Terminal, broken: Any) -> None:
    terminal.run("init")
    broken(RuntimeError("the roof is on fire"))
    seen = terminal.run("roles")
    log = terminal.home / "logs" / "swarm.log"
    assert (seen.code, seen.out) == (1, "")
    assert seen.err.count("\n") == 1
    assert str(log) in seen.err
    assert "Traceback" not in seen.err
    entry_of_log = json.loads(log.read_text().splitlines()[-1])
    assert entry_of_log["error"] == "RuntimeError: the roof is on fire"
    assert entry_of_log["trace"].startswith("Traceback")
    assert log.stat().st_mode & 0o077 == 0


def test_a_bug_without_a_home_leaves_its_trace_elsewhere(
    terminal: Terminal, broken: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    broken(RuntimeError("the roof is on fire"))
    seen = terminal.run("roles")
    [log] = tmp_path.glob("swarm-*.log")
    assert str(log) in seen.err
    assert "the roof is on fire" in log.read_text()
    assert not terminal.home.exists()


def test_logs_are_lines_of_json_and_traces_stay_in_the_file(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def command() -> None:
        with opened():
            logging.getLogger("a.library").warning("watch %s", "out")
            logging.getLogger("a.library").info("never told")
            structlog.get_logger("swarm.test").info("for the file", order="o1")
            try:
                raise ValueError("inside")
            except ValueError:
                structlog.get_logger("swarm.test").exception("broke", order="o1")

    terminal.run("init")
    monkeypatch.setattr(sys.modules[__name__], "logging_command", command, raising=False)
    monkeypatch.setitem(COMMANDS, "roles", Command(f"{__name__}:logging_command", "", ""))
    lines = [json.loads(line) for line in terminal.run("roles").err.splitlines()]
    assert [(line["level"], line["event"]) for line in lines] == [
        ("warning", "watch out"),
        ("error", "broke"),
    ]
    assert lines[1]["error"] == "ValueError: inside"
    assert "trace" not in lines[1]
    kept = (terminal.home / "logs" / "swarm.log").read_text().splitlines()
    assert [json.loads(line)["event"] for line in kept] == ["watch out", "for the file", "broke"]
    assert "Traceback" in json.loads(kept[-1])["trace"]
    assert "for the file" in terminal.run("roles", "--verbose").err
    assert not [h for h in logging.getLogger().handlers if "swarm.log" in str(h)]


def test_an_interrupt_has_code_130(terminal: Terminal, broken: Any) -> None:
    broken(KeyboardInterrupt())
    seen = terminal.run("roles")
    assert (seen.code, seen.err) == (130, "")


def test_a_reader_that_hangs_up_is_no_fault() -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "swarm.cli", "--help"],
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (141, "")


def test_a_full_disk_behind_the_output_is_a_sentence() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "swarm.cli", "--help"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 2
    assert done.stderr.startswith("Error: The output cannot be written")


@pytest.mark.parametrize("argv", [["--verbose", "roles"], ["roles", "--verbose"]])
def test_verbose_is_understood_wherever_it_stands(terminal: Terminal, argv: list[str]) -> None:
    terminal.run("init")
    assert terminal.run(*argv).code == 0


def test_settings_that_cannot_be_read_say_what_to_write(terminal: Terminal) -> None:
    terminal.set(SWARM_LLM__MODLE="x")
    seen = terminal.run("orders")
    assert seen.code == 2
    assert "did you mean 'model'" in seen.err


def test_the_table_and_the_declarations_agree() -> None:
    for command in COMMANDS.values():
        assert load(command.target) is not None


def test_a_full_disk_is_no_bug_and_names_what_could_not_be_written(
    terminal: Terminal, broken: Any
) -> None:
    broken(OSError(errno.ENOSPC, "No space left on device", "/data/swarm.db"))
    seen = terminal.run("roles")
    told = "Error: The disk is full (/data/swarm.db): free some space and try again.\n"
    assert (seen.code, seen.out, seen.err) == (2, "", told)
