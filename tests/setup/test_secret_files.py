"""Secrets that lie in files, as Docker and Kubernetes hand them out."""

import subprocess
import sys
from pathlib import Path

import pytest

from swarm.core.errors import ConfigError
from swarm.settings import Environment, load

CANARY = "sk-canary-91f3"


def settings(tmp_path: Path, **variables: str) -> Environment:
    return load({"SWARM_HOME": str(tmp_path / "home"), **variables})


def secret(tmp_path: Path, text: str = f"{CANARY}\n") -> str:
    path = tmp_path / "secret"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_a_setting_is_read_from_the_file_its_variable_names(tmp_path: Path) -> None:
    found = settings(tmp_path, SWARM_LLM__API_KEY_FILE=secret(tmp_path, f"  {CANARY}\r\n\n"))
    assert found.settings.llm.api_key is not None
    assert found.settings.llm.api_key.get_secret_value() == CANARY
    assert CANARY not in repr(found)


def test_a_provider_s_key_counts_as_set(tmp_path: Path) -> None:
    found = settings(tmp_path, ANTHROPIC_API_KEY_FILE=secret(tmp_path))
    assert found.provider_keys == ("ANTHROPIC_API_KEY",)


def test_a_key_of_this_process_is_found_where_libraries_look_and_only_there(tmp_path: Path) -> None:
    script = (
        "import os, swarm.settings as s; s.load(); s.load()\n"
        "print(os.environ['ANTHROPIC_API_KEY'], os.environ.get('SWARM_LLM__API_KEY'))\n"
        "print('canary' in open('/proc/self/environ').read())"
    )
    path = secret(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={"SWARM_HOME": str(tmp_path), "ANTHROPIC_API_KEY_FILE": path,
             "SWARM_LLM__API_KEY_FILE": path},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout.splitlines() == [f"{CANARY} None", "False"], done.stderr


def test_an_empty_variable_is_an_unset_one(tmp_path: Path) -> None:
    found = settings(tmp_path, SWARM_LLM__API_KEY_FILE="", ANTHROPIC_API_KEY_FILE="")
    assert found.settings.llm.api_key is None
    assert found.provider_keys == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [(None, "cannot be read: No such file"), ("", "is empty"), (" \n", "is empty"),
     ("\udcff", "it is not UTF-8 text"), ("x" * 70_000, "larger than 64 KiB")],
)  # fmt: skip
def test_a_file_that_holds_no_secret_is_told_in_one_sentence(
    tmp_path: Path, text: str | None, said: str
) -> None:
    path = tmp_path / "secret"
    if text is not None:
        path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ConfigError) as caught:
        settings(tmp_path, SWARM_LLM__API_KEY_FILE=str(path))
    assert str(caught.value).startswith("SWARM_LLM__API_KEY_FILE: ")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_value_and_a_file_at_once_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="both set; keep one"):
        settings(tmp_path, SWARM_LLM__API_KEY="a", SWARM_LLM__API_KEY_FILE=secret(tmp_path))


def test_a_setting_that_does_not_exist_is_still_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"llm\.api_kee .*unknown key.*api_key"):
        settings(tmp_path, SWARM_LLM__API_KEE_FILE=secret(tmp_path))
