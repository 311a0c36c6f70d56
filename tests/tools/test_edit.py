"""What edit_file changes, and what it says where it changes nothing."""

import asyncio
import threading
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from swarm.core.errors import ToolError
from swarm.tools import workspace
from swarm.tools.base import ToolContext
from swarm.tools.edit import EditArguments, EditFile

PAGE = "def total(items):\n    result = 0\n    for item in items:\n        result += item\n"


def edit(folder: Path, old: str, new: str, *, path: str = "page", every: bool = False) -> str:
    args = EditArguments(path=path, old_text=old, new_text=new, replace_all=every)
    return asyncio.run(EditFile().run(args, ToolContext(folder, "cto", "t1"))).content


@pytest.fixture
def page(tmp_path: Path) -> Path:
    file = tmp_path / "page"
    file.write_text(PAGE)
    return file


def test_the_one_occurrence_is_replaced_and_its_line_named(page: Path) -> None:
    said = edit(page.parent, "        result += item\n", "        result += item.price\n")
    assert page.read_text() == PAGE.replace("+= item", "+= item.price")
    assert said == f"Changed line 4 of page ({len(PAGE) + 6} bytes)."
    assert list(page.parent.iterdir()) == [page]


def test_an_empty_new_text_removes_the_old_one(page: Path) -> None:
    edit(page.parent, "    result = 0\n", "")
    assert page.read_text() == PAGE.replace("    result = 0\n", "")


def test_what_occurs_twice_is_left_alone_and_the_lines_are_named(page: Path) -> None:
    with pytest.raises(ToolError, match=r"more than once \(from lines 2, 4\)"):
        edit(page.parent, "result ", "sum ")
    assert page.read_text() == PAGE


def test_overlapping_occurrences_are_ambiguous_too(page: Path) -> None:
    page.write_text("aaa\n")
    with pytest.raises(ToolError, match="more than once"):
        edit(page.parent, "aa", "b")


def test_all_are_replaced_where_that_is_asked_for(page: Path) -> None:
    said = edit(page.parent, "result", "sum", every=True)
    assert page.read_text() == PAGE.replace("result", "sum")
    assert said.startswith("Changed 2 places")


def test_wrong_indentation_is_answered_with_the_line_as_it_stands(page: Path) -> None:
    with pytest.raises(ToolError) as told:
        edit(page.parent, "\tfor item in items:", "\tfor item in sorted(items):")
    assert "\n3:     for item in items:" in str(told.value)


def test_a_misremembered_line_is_answered_with_the_nearest_ones(page: Path) -> None:
    with pytest.raises(ToolError) as told:
        edit(page.parent, "    for items in item:", "x")
    assert str(told.value).splitlines()[1:] == ["3:     for item in items:"]
    with pytest.raises(ToolError, match="nor any line like it"):
        edit(page.parent, "import tkinter", "x")
    assert page.read_text() == PAGE


def test_lines_of_another_system_are_named_as_the_reason(page: Path) -> None:
    page.write_bytes(b"one\r\ntwo\r\n")
    with pytest.raises(ToolError, match=r"end with \\r\\n"):
        edit(page.parent, "one\ntwo", "three")
    edit(page.parent, "one\r\ntwo", "three")
    assert page.read_bytes() == b"three\r\n"


@pytest.mark.parametrize("data", [b"\x89PNG\0", b"caf\xe9", b"\xff\xfe"])
def test_what_is_no_text_is_not_edited(page: Path, data: bytes) -> None:
    page.write_bytes(data)
    with pytest.raises(ToolError, match="not a"):
        edit(page.parent, "a", "b")
    assert page.read_bytes() == data


def test_an_edit_that_changes_nothing_is_refused(page: Path) -> None:
    with pytest.raises(ToolError, match="the same"):
        edit(page.parent, "item", "item")


def test_a_missing_file_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="list_files"):
        edit(tmp_path, "a", "b", path="none")
    assert list(tmp_path.iterdir()) == []


def test_a_replacement_that_multiplies_is_refused_before_it_is_made(page: Path) -> None:
    page.write_text("a" * 1_000_000)
    with pytest.raises(ToolError, match="would have 1,000,000,000,000 characters"):
        edit(page.parent, "a", "b" * 1_000_000, every=True)
    assert page.stat().st_size == 1_000_000


def test_a_file_over_the_write_limit_is_not_edited(page: Path) -> None:
    page.write_bytes(b"a" * (workspace.MAX_WRITE_BYTES + 1))
    with pytest.raises(ToolError, match="more than 10,485,760 bytes"):
        edit(page.parent, "a", "b", every=True)


def test_a_hint_in_a_huge_file_comes_in_bounded_time(page: Path) -> None:
    page.write_text("the nearest of all lines, a bit off\n" * 250_000)
    with pytest.raises(ToolError, match="the nearest"):
        edit(page.parent, "The nearest of all lines; a bit off", "x")


def test_a_script_stays_runnable(page: Path) -> None:
    page.chmod(0o755)
    edit(page.parent, "total", "amount")
    assert page.stat().st_mode & 0o7777 == 0o755
    page.chmod(0o4755)
    edit(page.parent, "amount", "total")
    assert page.stat().st_mode & 0o7777 == 0o755


def test_a_change_made_meanwhile_is_not_undone(page: Path) -> None:
    seen = workspace.read_whole(page.parent, "page")
    workspace.write_text(page.parent, "page", "a colleague's")
    with pytest.raises(ToolError, match="changed meanwhile"):
        workspace.write_text(page.parent, "page", "mine", seen=seen.stamp)
    assert page.read_text() == "a colleague's"
    assert list(page.parent.iterdir()) == [page]


def test_edits_that_race_are_all_made_or_refused(page: Path) -> None:
    page.write_text("".join(f"line {n}.\n" for n in range(40)))
    refused: list[int] = []

    def change(numbers: range) -> None:
        for number in numbers:
            try:
                edit(page.parent, f"line {number}.", f"done {number}.")
            except ToolError:
                refused.append(number)

    threads = [threading.Thread(target=change, args=(range(k, 40, 4),)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = page.read_text().splitlines()
    # Between the look and the replacing lies a moment, so that not each one is sure to be there.
    assert len(lines) == 40
    assert all(line in (f"line {n}.", f"done {n}.") for n, line in enumerate(lines))
    assert refused or lines == [f"done {n}." for n in range(40)]


@given(
    before=st.text("ab\n", max_size=20),
    old=st.text("abc\n", min_size=1, max_size=4),
    after=st.text("ab\n", max_size=20),
    new=st.text(max_size=5),
)
@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_an_edit_does_exactly_what_it_says_or_nothing(
    tmp_path: Path, before: str, old: str, after: str, new: str
) -> None:
    text = before + old + after
    (tmp_path / "page").write_bytes(text.encode())
    count = sum(text.startswith(old, place) for place in range(len(text)))
    try:
        edit(tmp_path, old, new)
    except ToolError:
        assert count > 1 or old == new
        assert (tmp_path / "page").read_bytes() == text.encode()
    else:
        assert count == 1
        assert (tmp_path / "page").read_bytes() == (before + new + after).encode()
