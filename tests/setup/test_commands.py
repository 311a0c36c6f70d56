"""`make order` and `make setup`, run for real on a checkout whose programs are stand-ins."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tools.lock import LOCKS, ROOT

PROGRAM = """#!/bin/sh
printf '%s' "{name}" >>"{log}"
printf ' %s' "$@" >>"{log}"
echo >>"{log}"
{body}
"""


@dataclass(frozen=True)
class Checkout:
    """A copy of what the commands read, with a `.venv` of stand-ins that log how they are called."""

    root: Path

    @property
    def log(self) -> str:
        path = self.root / "log"
        return path.read_text() if path.exists() else ""

    def program(self, path: str, body: str = "exit 0") -> None:
        """Put a program that logs its call and then does `body`, in the shell's words."""
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        log = self.root / "log"
        target.write_text(PROGRAM.format(name=target.name, log=log, body=body))
        target.chmod(0o755)

    def stamp(self, level: str) -> None:
        """Say that a level was installed from the files as they are now."""
        done = self.run("sh", "tools/setup.sh", "stamp", level)
        (self.root / done.stdout.strip()).touch()

    def run(self, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
        env = {"PATH": f"{self.root}/path:{os.defpath}", "LC_ALL": "C.UTF-8", **more}
        return subprocess.run(
            words, cwd=self.root, env=env, capture_output=True, text=True, timeout=60, check=False
        )


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    found = Checkout(tmp_path.resolve() / "a checkout")
    for name in ["Makefile", "pyproject.toml", "tools/setup.sh", *(lock.path for lock in LOCKS)]:
        (found.root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, found.root / name)
    found.program(".venv/bin/python")
    found.program(".venv/bin/uv")
    found.program(".venv/bin/swarm", 'cat >text; env >environment; exit "$(cat code)"')
    (found.root / "code").write_text("0")
    (found.root / ".venv/bin/pip").write_text(f"#!{found.root}/.venv/bin/python\n")
    # Nothing of this machine's may be installed or asked for by a test.
    found.program("path/apt-get", "exit 1")
    return found


@pytest.fixture
def ready(checkout: Checkout) -> Checkout:
    checkout.stamp("run")
    return checkout


@pytest.mark.parametrize(
    "text",
    [
        "it costs $5, $HOME, $$ and $(shell touch trap)",
        "`touch trap` $(touch trap) ; touch trap & \"two\" 'one' \\ \\n",
        "first line\nsecond line\n\n\tthird",
        "# a, b) (c } = := %s %d *",
        "-n --json -",
        "Größe: 漢字 🐝",
    ],
)
def test_an_order_arrives_as_it_was_typed(ready: Checkout, text: str) -> None:
    done = ready.run("make", "order", f"TEXT={text}")
    assert done.returncode == 0, done.stderr
    assert (ready.root / "text").read_text() == text
    assert not (ready.root / "trap").exists()
    assert ready.log == "swarm order - --wait --yes\n"


def test_an_order_may_come_from_the_environment(ready: Checkout) -> None:
    ready.run("make", "order", TEXT="$(shell touch trap) $HOME")
    assert (ready.root / "text").read_text() == "$(shell touch trap) $HOME"
    assert not (ready.root / "trap").exists()


def test_without_a_text_the_company_gets_an_example(ready: Checkout) -> None:
    assert ready.run("make", "order").returncode == 0
    assert "bakery" in (ready.root / "text").read_text()
    ready.run("make", "order", "TEXT= ")
    assert "bakery" in (ready.root / "text").read_text()


def test_the_exit_code_of_the_order_is_reported(ready: Checkout) -> None:
    (ready.root / "code").write_text("3")
    done = ready.run("make", "order", "TEXT=wait for me")
    assert done.returncode != 0
    assert "Error 3" in done.stderr


def test_the_commands_let_python_keep_its_compiled_files(ready: Checkout) -> None:
    ready.run("make", "order", "TEXT=hello", PYTHONDONTWRITEBYTECODE="1")
    assert "PYTHONDONTWRITEBYTECODE" not in (ready.root / "environment").read_text()


def test_a_second_setup_starts_no_program(checkout: Checkout) -> None:
    checkout.stamp("dev")
    assert checkout.run("make", "setup").returncode == 0
    assert checkout.run("sh", "tools/setup.sh", "run").returncode == 0
    assert checkout.log == ""


@pytest.mark.parametrize("name", ["pyproject.toml", *(lock.path for lock in LOCKS)])
def test_a_changed_file_is_installed_again_once(checkout: Checkout, name: str) -> None:
    checkout.stamp("dev")
    path = checkout.root / name
    path.write_text(path.read_text().replace("a", "b", 1))
    assert checkout.run("make", "setup").returncode == 0
    assert "requirements-dev.lock" in checkout.log
    once = checkout.log
    assert checkout.run("make", "setup").returncode == 0
    assert checkout.log == once


def test_a_failed_installation_is_tried_again(checkout: Checkout) -> None:
    checkout.program(".venv/bin/uv", "case $* in *--editable*) exit 1;; esac")
    assert checkout.run("make", "setup").returncode != 0
    checkout.program(".venv/bin/uv")
    (checkout.root / "log").unlink()
    assert checkout.run("make", "setup").returncode == 0
    assert "--editable" in checkout.log


def calls(checkout: Checkout, words: str) -> list[str]:
    return [line for line in checkout.log.splitlines() if words in line]


def test_every_download_is_held_to_the_hashes_of_a_lock(checkout: Checkout) -> None:
    checkout.program(".venv/bin/uv", "case $* in *sync*) exit 1;; esac")
    done = checkout.run("sh", "tools/setup.sh", "dev")
    assert done.returncode == 0, done.stderr
    assert "trying again with pip" in done.stderr
    downloads = calls(checkout, "pip install --") + calls(checkout, "pip sync")
    downloads = [line for line in downloads if "--offline" not in line]
    assert len(downloads) == 3
    assert all("--require-hashes" in line for line in downloads)
    assert all("--no-build" in line or "--only-binary :all:" in line for line in downloads)
    assert all("--offline --no-deps" in line for line in calls(checkout, "--editable"))


def test_an_order_installs_what_swarm_runs_on_and_not_the_tools(checkout: Checkout) -> None:
    assert checkout.run("make", "order", "TEXT=hello").returncode == 0
    (sync,) = calls(checkout, "pip sync")
    assert sync.endswith("requirements.lock requirements-build.lock")


def test_an_order_does_not_take_the_tools_away_from_who_has_them(checkout: Checkout) -> None:
    checkout.stamp("dev")
    with (checkout.root / "requirements.lock").open("a") as file:
        file.write("# changed\n")
    assert checkout.run("make", "order", "TEXT=hello").returncode == 0
    (sync,) = calls(checkout, "pip sync")
    assert sync.endswith("requirements-dev.lock")


def test_a_folder_that_was_moved_gets_an_environment_of_its_own(checkout: Checkout) -> None:
    checkout.stamp("dev")
    checkout.program("path/python3")
    moved = Checkout(checkout.root.rename(checkout.root.with_name("moved")))
    moved.program("path/python3")
    moved.run("make", "setup")
    assert calls(moved, f"python3 -m venv --clear {moved.root}/.venv")


@pytest.fixture
def bare(checkout: Checkout) -> Checkout:
    """A checkout that was never set up."""
    shutil.rmtree(checkout.root / ".venv")
    return checkout


NAMES = ("python3", "python3.11", "python3.12", "python3.13")


def test_a_python_that_is_too_old_is_named_with_what_to_do(bare: Checkout) -> None:
    for name in NAMES:
        bare.program(f"path/{name}", "case $1 in --version) echo Python 3.9.2;; *) exit 1;; esac")
    done = bare.run("make", "setup")
    assert done.returncode != 0
    assert "needs Python 3.11 or newer; python3 here: Python 3.9.2" in done.stderr
    assert "make setup PYTHON=" in done.stderr


def test_a_newer_python_beside_an_old_one_is_found(bare: Checkout) -> None:
    for name in NAMES:
        bare.program(f"path/{name}", "exit 0" if name == "python3.12" else "exit 1")
    bare.run("make", "setup")
    assert calls(bare, "python3.12 -m venv")


def test_a_named_python_that_does_not_run_is_refused(bare: Checkout) -> None:
    done = bare.run("make", "setup", "PYTHON=/nowhere/python3")
    assert done.returncode != 0
    assert "PYTHON=/nowhere/python3 is no Python of 3.11 or newer" in done.stderr


NO_ENSUREPIP = "case $* in *ensurepip*) [ -e installed ];; esac"


def test_a_python_without_venv_names_the_one_line_to_run(bare: Checkout) -> None:
    bare.program("path/python3", NO_ENSUREPIP)
    bare.program("path/id", "echo 1000")
    done = bare.run("make", "setup")
    assert done.returncode != 0
    assert "run: sudo apt-get install -y python3-venv" in done.stderr
    assert not calls(bare, "apt-get")


def test_root_gets_the_missing_venv_package_after_the_lists(bare: Checkout) -> None:
    bare.program("path/python3", NO_ENSUREPIP)
    bare.program("path/id", "echo 0")
    bare.program(
        "path/apt-get", "case $1 in update) touch lists;; *) [ -e lists ] && touch installed;; esac"
    )
    bare.run("make", "setup")
    assert len(calls(bare, "apt-get install -y -q python3-venv")) == 2
    assert calls(bare, "python3 -m venv")


def test_a_failing_check_stops_the_tests_and_says_which(checkout: Checkout) -> None:
    checkout.stamp("dev")
    for name in ["ruff", "mypy", "lint-imports", "pytest"]:
        checkout.program(f".venv/bin/{name}", "exit 7" if name == "mypy" else "exit 0")
    done = checkout.run("make", "test")
    assert done.returncode != 0
    assert "== ruff check: ok in" in done.stdout
    assert "== mypy: FAILED in" in done.stdout
    assert not calls(checkout, "lint-imports")
    assert not calls(checkout, "pytest")


def test_the_tests_run_after_every_check_on_all_cores(checkout: Checkout) -> None:
    checkout.stamp("dev")
    for name in ["ruff", "mypy", "lint-imports", "pytest"]:
        checkout.program(f".venv/bin/{name}")
    done = checkout.run("make", "test")
    assert done.returncode == 0, done.stderr
    ran = [line.split()[0] for line in checkout.log.splitlines() if not line.startswith("apt-get")]
    assert ran == ["ruff", "ruff", "mypy", "lint-imports", "python", "pytest"]
    assert calls(checkout, "pytest -n auto --dist=worksteal")


@pytest.fixture
def poor(checkout: Checkout) -> Checkout:
    """A machine with neither Docker nor what makes base images, and where nothing can be installed."""
    checkout.stamp("dev")
    few = ("sh", "cat", "cksum", "tr", "uname", "id", "dirname", "date", "make", "printf", "env")
    for name in few:
        if found := shutil.which(name):
            (checkout.root / "path" / name).symlink_to(found)
    return checkout


def test_tools_for_the_image_that_cannot_be_had_end_it_with_a_sentence(poor: Checkout) -> None:
    only = f"{poor.root}/path"
    done = poor.run("sh", "tools/setup.sh", "docker", PATH=only)
    assert done.returncode == 1
    assert "mmdebstrap" in done.stderr
    assert "the real image cannot be built and tried here" in done.stderr
    assert "not found" not in done.stderr
    (poor.root / "path" / "apt-get").unlink()
    done = poor.run("sh", "tools/setup.sh", "docker", PATH=only)
    assert "install them with this system's package manager" in done.stderr


def test_the_image_is_tried_at_a_lower_level_but_never_in_ci(poor: Checkout) -> None:
    poor.program(".venv/bin/pytest")
    only = f"{poor.root}/path"
    assert poor.run("make", "image-check", PATH=only, CI="true").returncode != 0
    assert "pytest" not in poor.log
    done = poor.run("make", "image-check", PATH=only)
    assert done.returncode == 0, done.stderr
    (called,) = [line for line in poor.log.splitlines() if line.startswith("pytest")]
    assert "test_image.py" in called
    assert "--docker-only" not in called
    poor.program("path/dockerd")
    poor.program("path/mmdebstrap")
    assert poor.run("make", "image-check", PATH=only, CI="true").returncode == 0
    assert poor.log.splitlines()[-1].endswith("--docker-only tests/image/test_image.py "
                                              "tests/image/test_below_docker.py")  # fmt: skip
