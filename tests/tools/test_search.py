"""What search_files finds, and that no pattern and no file makes it hang or flood."""

import asyncio
import contextlib
import re
import time
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from swarm.core.errors import ToolError
from swarm.tools import search
from swarm.tools.base import ToolContext
from swarm.tools.search import SearchArguments, SearchFiles, compile_glob


def find(workspace: Path, regex: str = "", **more: Any) -> list[str]:
    args = SearchArguments(regex=regex, **more)
    found = asyncio.run(SearchFiles().run(args, ToolContext(workspace, "cto", "t1")))
    return found.content.split("\n")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for path, text in {
        "README.md": "# Tool\n\nRun it with `tool run`.\n",
        "src/main.py": "import sys\n\ndef run() -> int:\n    return 0\n",
        "src/deep/other.py": "from main import run\r\nRUN = run()\r\n",
        "site/index.html": "<h1>Run!</h1>",
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(text.encode())
    return tmp_path


def test_lines_come_with_their_files_and_numbers(project: Path) -> None:
    assert find(project, r"\brun\b") == [
        "README.md:3: Run it with `tool run`.",
        "src/deep/other.py:1: from main import run",
        "src/deep/other.py:2: RUN = run()",
        "src/main.py:3: def run() -> int:",
    ]


def test_case_can_be_ignored(project: Path) -> None:
    assert find(project, "RUN!", ignore_case=True) == ["site/index.html:1: <h1>Run!</h1>"]
    assert find(project, "RUN!") == ["Nothing found in 4 files."]


def test_a_glob_alone_lists_names(project: Path) -> None:
    assert find(project, glob="*.py") == [
        "src/deep/other.py (35 bytes)",
        "src/main.py (43 bytes)",
    ]
    assert find(project, glob="src/*.py") == ["src/main.py (43 bytes)"]
    assert find(project, glob="*.{md,html}") == [
        "README.md (32 bytes)",
        "site/index.html (13 bytes)",
    ]
    assert find(project, glob="*.rs") == ["Nothing found among the names."]


def test_glob_and_folder_narrow_a_search(project: Path) -> None:
    assert find(project, "import", glob="m*.py") == ["src/main.py:1: import sys"]
    assert find(project, "run", folder="src/deep", glob="*.md") == ["Nothing found in 0 files."]
    with pytest.raises(ToolError, match="does not exist"):
        find(project, "run", folder="none")


def test_a_match_never_joins_two_lines_and_a_line_is_told_once(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"one one\ntwo\n\none")
    assert find(tmp_path, r"one\s*two") == ["Nothing found in 1 files."]
    assert find(tmp_path, "[^x]+") == ["f:1: one one", "f:2: two", "f:4: one"]
    assert find(tmp_path, "^$") == ["f:3: "]
    assert find(tmp_path, "(?-m)^two") == ["Nothing found in 1 files."]


@pytest.mark.parametrize(
    ("regex", "word"),
    [("(", "missing"), (r"(a)\1", "escape"), ("(?=a)", "RE2"), ("a{2000}", "repetition"),
     (")|(", r"\)"), (r"(?i)(\pL|\pN){300}", "too large"), ("*", "repetition")],
)  # fmt: skip
def test_a_pattern_that_is_none_is_explained(tmp_path: Path, regex: str, word: str) -> None:
    with pytest.raises(ToolError, match=word):
        find(tmp_path, regex)


def test_nothing_to_look_for_is_said(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="regex, a glob"):
        find(tmp_path)
    with pytest.raises(ToolError, match=r"each \{"):
        find(tmp_path, glob="*.{py")


@pytest.mark.parametrize("regex", ["(a+)+$", "(a|a)*b", "(a|aa)+$", "([a-z]+)*!", "(.*)*x"])
def test_patterns_that_hang_other_engines_take_no_time(tmp_path: Path, regex: str) -> None:
    (tmp_path / "f").write_text("a" * 1_000_000 + "!\n")
    began = time.monotonic()
    find(tmp_path, regex)
    assert time.monotonic() - began < 5


def test_a_search_that_takes_too_long_stops_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "TIME_LIMIT_S", 0.2)
    (tmp_path / "f").write_text("".join(Random(1).choices("ab ", k=3_000_000)))
    began = time.monotonic()
    lines = find(tmp_path, "(a|b).{900}x")
    # One block is searched to its end, whatever the limit.
    assert time.monotonic() - began < 10
    assert "took too long" in lines[-1]


def test_the_answer_is_bounded_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "MAX_FOUND", 5)
    (tmp_path / "f").write_text("hit\n" * 100)
    lines = find(tmp_path, "hit")
    assert lines[:5] == [f"f:{n}: hit" for n in range(1, 6)]
    assert lines[5:] == ["[only the first 5 are shown: search for less]"]


def test_a_long_line_is_shown_around_its_match(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("x" * 200_000 + "needle" + "y" * 200_000 + "\nneedle\n")
    lines = find(tmp_path, "needle")
    assert len(lines) == 2
    assert "xneedley" in lines[0]
    assert len(lines[0]) < search.MAX_LINE_CHARS + 20


def test_files_that_are_no_text_or_too_long_are_named_as_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "MAX_FILE_BYTES", 100_000)
    (tmp_path / "picture").write_bytes(b"needle\0")
    (tmp_path / "long").write_text("needle\n" + "x\n" * 100_000 + "needle\n")
    assert find(tmp_path, "needle") == [
        "long:1: needle",
        "[a file was searched only up to 100,000 bytes (1)]",
        "[a file that is no text was passed over (1)]",
    ]


def test_a_sparse_giant_costs_no_more_than_its_limit(tmp_path: Path) -> None:
    with (tmp_path / "giant").open("wb") as file:
        file.truncate(1 << 40)
    assert (find(tmp_path, "x"))[1:] == ["[a file that is no text was passed over (1)]"]


def test_no_more_bytes_are_read_than_the_limit_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "MAX_TOTAL_BYTES", 150_000)
    for number in range(4):
        (tmp_path / f"{number}").write_text("x\n" * 50_000)
    lines = find(tmp_path, "never")
    assert lines == ["Nothing found in 2 files.", lines[1]]
    assert "took too long" in lines[1]


def test_links_and_shared_files_are_not_looked_into(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_text("needle")
    (tmp_path / "outside" / "shared").write_text("needle")
    folder = tmp_path / "ws"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path / "outside" / "secret")
    (folder / "door").symlink_to(tmp_path / "outside")
    (folder / "hard").hardlink_to(tmp_path / "outside" / "shared")
    assert find(folder, "needle") == ["Nothing found in 0 files."]
    with pytest.raises(ToolError):
        find(folder, "needle", folder="door")


@given(
    glob=st.lists(st.sampled_from(["a", "b", ".", "*", "?"]), min_size=1, max_size=6).map(
        lambda signs: re.sub(r"\*+", "*", "".join(signs))
    ),
    path=st.lists(st.text("ab.", min_size=1, max_size=3), min_size=1, max_size=3).map("/".join),
)
@settings(max_examples=100, deadline=None)
def test_a_plain_glob_fits_the_names_that_it_fits_in_python(glob: str, path: str) -> None:
    fits = compile_glob(glob).fullmatch(path.encode()) is not None
    wanted = "".join({"*": "[^/]*", "?": "[^/]"}.get(c, re.escape(c)) for c in glob)
    assert fits is bool(re.fullmatch(wanted, path.rpartition("/")[2]))


@pytest.mark.parametrize(
    ("glob", "fitting", "other"),
    [
        ("**/x.py", ["x.py", "a/x.py", "a/b/x.py"], ["ax.py", "a/x.pyc"]),
        ("a/**", ["a/b", "a/b/c"], ["b/a"]),
        ("a/**/c", ["a/c", "a/b/c", "a/b/b/c"], ["a/bc", "ac"]),
        ("[ab].txt", ["a.txt", "d/b.txt"], ["c.txt", "ab.txt"]),
        ("[!ab].txt", ["c.txt"], ["a.txt", "/.txt"]),
        ("[0-9]*", ["1", "d/2x"], ["x1"]),
        ("a.{js,ts*}", ["a.js", "a.tsx"], ["a.jsx", "a.", "a.j,ts"]),
        ("a+(b)|c$ d", ["a+(b)|c$ d"], ["aab", "c$ d"]),
        ("[", ["["], ["a"]),
        ("é,ü", ["é,ü"], ["é"]),
    ],
)
def test_globs_mean_what_they_mean_elsewhere(
    glob: str, fitting: list[str], other: list[str]
) -> None:
    pattern = compile_glob(glob)
    assert [path for path in fitting if not pattern.fullmatch(path.encode())] == []
    assert [path for path in other if pattern.fullmatch(path.encode())] == []


@given(glob=st.text(max_size=20), regex=st.text(max_size=20))
@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_glob_and_any_regex_gives_an_answer_or_words_to_act_on(
    tmp_path: Path, glob: str, regex: str
) -> None:
    (tmp_path / "f").write_text("some text\n")
    with contextlib.suppress(ToolError):
        assert find(tmp_path, regex, glob=glob)
