"""`swarm up` reads its own plain options, and leaves all others to the library of options."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TELL = """
import json, sys
from swarm.cli import service
from swarm.cli.entry import run

def up(**options):
    said.append({"options": options, "typer": "typer" in sys.modules})

service.up = up
said = []
for line in json.loads(sys.argv[1]):
    code = run(line)
    said[-1:] = [{**(said[-1] if said else {}), "code": code}] if code == 0 else said[-1:]
    if code:
        said.append({"code": code})
print(json.dumps(said))
"""


def told(*lines: list[str]) -> list[dict[str, object]]:
    """Return what came of command lines, one after the other in one process."""
    argv = [sys.executable, "-c", TELL, json.dumps(lines)]
    done = subprocess.run(argv, check=True, capture_output=True, text=True, cwd=ROOT)
    found: list[dict[str, object]] = json.loads(done.stdout)
    return found


def test_plain_options_load_no_library_of_options_and_mean_the_same_as_with_it() -> None:
    none, places, many, same, wrong, stray = told(
        ["up"],
        ["up", "--no-work", "--verbose"],
        ["up", "--companies", "here", "--at-work", "7"],
        ["up", "--companies=here", "--at-work=7"],
        ["up", "--at-work", "0"],
        ["up", "--companies", "--no-work", "more"],
    )
    assert none == {"options": {}, "typer": False, "code": 0}
    assert places == {"options": {"no_work": True}, "typer": False, "code": 0}
    assert many == {"options": {"companies": "here", "at_work": 7}, "typer": False, "code": 0}
    assert same["options"] == {"companies": "here", "at_work": 7, "no_work": False}
    assert same["typer"], "that form is the library's"
    assert [wrong, stray] == [{"code": 2}, {"code": 2}]


@pytest.mark.parametrize("words", [["--help"], ["--comp", "x"]])
def test_what_is_not_plain_is_left_to_the_library(words: list[str]) -> None:
    argv = [sys.executable, "-m", "swarm.cli", "up", *words]
    done = subprocess.run(argv, check=False, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == (0 if words == ["--help"] else 2)
    assert "--companies" in done.stdout + done.stderr or "--comp" in done.stderr
