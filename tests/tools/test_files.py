"""What the file tools do, and that they never leave the workspace."""

import asyncio
import contextlib
import ctypes
import os
import re
import threading
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from swarm.core.errors import ToolError
from swarm.tools import files, workspace
from swarm.tools.base import Tool, ToolContext, ToolResult, check_arguments, spec
from swarm.tools.files import (
    ListArguments,
    ListFiles,
    ReadArguments,
    ReadFile,
    WriteArguments,
    WriteFile,
    facts,
    write_text,
)

SECRET = "the-secret-outside"


def context(folder: Path) -> ToolContext:
    return ToolContext(workspace=folder, role="cto", task_id="t1")


async def read(folder: Path, path: str, **lines: int) -> str:
    args = ReadArguments(path=path, **lines)
    return (await ReadFile().run(args, context(folder))).content


async def write(folder: Path, path: str, content: str) -> str:
    args = WriteArguments(path=path, content=content)
    return (await WriteFile().run(args, context(folder))).content


async def listed(folder: Path, below: str = "") -> list[str]:
    result = await ListFiles().run(ListArguments(folder=below), context(folder))
    return result.content.splitlines()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def snapshot(folder: Path) -> dict[str, Any]:
    """Return all that could change of a tree; its links are not followed."""
    found = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        data = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
        found[str(path)] = (status.st_mode, status.st_mtime_ns, status.st_nlink, data)
    return found


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    folder = tmp_path / "outside"
    (folder / "deep").mkdir(parents=True)
    (folder / "secret").write_text(SECRET)
    (folder / "deep" / "secret").write_text(SECRET)
    (folder / "shared").write_text(SECRET)
    return folder


@pytest.fixture
def trapped(tmp_path: Path, outside: Path) -> Iterator[Path]:
    """A workspace with every kind of way out that a command could have left in it."""
    folder = tmp_path / "workspace"
    (folder / "sub" / "deep").mkdir(parents=True)
    (folder / "plain").write_text("inside")
    (folder / "link").symlink_to(outside)
    (folder / "up").symlink_to("..")
    (folder / "filelink").symlink_to(outside / "secret")
    (folder / "newlink").symlink_to(outside / "made-by-link")
    (folder / "sub" / "link").symlink_to("../../outside/deep")
    (folder / "loop").symlink_to("loop")
    held = os.open(outside, os.O_RDONLY)
    (folder / "proc").symlink_to(f"/proc/self/fd/{held}")
    os.link(outside / "shared", folder / "hard")
    os.mkfifo(folder / "fifo")
    yield folder
    os.close(held)


@pytest.mark.parametrize(
    "path",
    ["link/secret", "up/outside/secret", "filelink", "sub/link/secret", "proc/secret", "loop", "hard",
     "fifo", "newlink", "link", "sub"],
)  # fmt: skip
async def test_links_shared_files_pipes_and_folders_are_refused(
    trapped: Path, outside: Path, path: str
) -> None:
    before = snapshot(outside)
    with pytest.raises(ToolError):
        await read(trapped, path)
    with pytest.raises(ToolError):
        await write(trapped, path, "taken")
    with pytest.raises(ToolError):
        facts(trapped, path)
    assert snapshot(outside) == before


async def test_a_workspace_that_is_itself_a_link_is_refused(tmp_path: Path, outside: Path) -> None:
    (tmp_path / "workspace").symlink_to(outside)
    with pytest.raises(ToolError):
        await read(tmp_path / "workspace", "secret")
    with pytest.raises(ToolError):
        await write(tmp_path / "workspace", "new", "taken")
    assert not (outside / "new").exists()


@pytest.mark.parametrize(
    ("shown", "trap", "path"),
    [
        ("door", "link", "door/secret"),
        ("plain", "filelink", "plain"),
        ("plain", "hard", "plain"),
        ("sub", "fifo", "sub"),
        ("plain", "fifo", "plain"),
    ],
)
def test_a_name_that_turns_into_a_trap_while_it_is_used_leads_nowhere(
    trapped: Path, outside: Path, shown: str, trap: str, path: str
) -> None:
    (trapped / "door").mkdir()
    (trapped / "door" / "secret").write_text("inside")
    before = snapshot(outside)
    is_over = threading.Event()

    def swap() -> None:
        while not is_over.is_set():
            exchange(trapped / shown, trapped / trap)

    swapping = threading.Thread(target=swap)
    swapping.start()
    try:
        outcomes = {_attempt(trapped, path) for _ in range(2_000)}
    finally:
        is_over.set()
        swapping.join()
    assert outcomes <= {"inside", "refused"}
    after = snapshot(outside)
    # To give a file another name is no change of it; what it is and holds must stay.
    assert {path: facts[3] for path, facts in after.items()} == {
        path: facts[3] for path, facts in before.items()
    }


def _attempt(folder: Path, path: str) -> str:
    try:
        found = facts(folder, path)
    except ToolError:
        return "refused"
    return "escaped" if found.sha256 == sha256(SECRET.encode()).hexdigest() else "inside"


def test_writing_through_a_folder_that_turns_into_a_link_stays_inside(
    trapped: Path, outside: Path
) -> None:
    (trapped / "door").mkdir()
    before = snapshot(outside)
    is_over = threading.Event()

    def swap() -> None:
        while not is_over.is_set():
            exchange(trapped / "door", trapped / "link")

    swapping = threading.Thread(target=swap)
    swapping.start()
    try:
        for number in range(150):
            with contextlib.suppress(ToolError):
                write_text(trapped, f"door/{number}", "taken")
    finally:
        is_over.set()
        swapping.join()
    assert snapshot(outside) == before


def exchange(one: Path, other: Path) -> None:
    """Let two names change places in one step, so that neither is ever missing."""
    at_here, swapped = -100, 2
    names = os.fsencode(one), os.fsencode(other)
    assert ctypes.CDLL(None).renameat2(at_here, names[0], at_here, names[1], swapped) == 0


def test_simultaneous_writers_of_one_file_leave_one_whole_version(tmp_path: Path) -> None:
    versions = [str(number) * 300_000 for number in range(6)]
    write_text(tmp_path, "page", versions[0])
    is_over = threading.Event()
    seen: set[str] = set()

    def look() -> None:
        while not is_over.is_set():
            seen.add((tmp_path / "page").read_text())

    looking = threading.Thread(target=look)
    looking.start()
    writers = [
        threading.Thread(target=write_text, args=(tmp_path, "page", text)) for text in 3 * versions
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    is_over.set()
    looking.join()
    assert seen <= set(versions)
    assert (tmp_path / "page").read_text() in versions
    assert names(tmp_path) == ["page"]


def test_a_write_that_the_disk_refuses_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_text(tmp_path, "page", "old")

    def refuse(_: int) -> None:
        raise OSError(5, "I/O error")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError, match="I/O"):
        write_text(tmp_path, "page", "new")
    assert (tmp_path / "page").read_text() == "old"
    assert names(tmp_path) == ["page"]


def test_a_written_text_and_its_folder_are_on_disk_before_the_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[bool] = []
    real = os.fsync

    def sync(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").is_dir())
        real(descriptor)

    monkeypatch.setattr(os, "fsync", sync)
    write_text(tmp_path / "ws", "a/page", "text")
    # The folder of the new folder, the file, the folder of the file.
    assert synced == [True, False, True]


async def test_a_written_file_is_read_back_and_listed(tmp_path: Path) -> None:
    folder = tmp_path / "home" / "workspace"
    assert await listed(folder) == ["There are no files yet."]
    assert await write(folder, "site/index.html", "<h1>Grüße</h1>\n") == (
        "Wrote site/index.html (17 bytes)."
    )
    assert await read(folder, "site/index.html") == "<h1>Grüße</h1>\n"
    await write(folder, "b.md", "")
    assert await listed(folder) == ["b.md (0 bytes)", "site/index.html (17 bytes)"]
    assert await listed(folder, "site") == ["site/index.html (17 bytes)"]
    assert await read(folder, "b.md") == "[the file is empty]"


def test_the_workspace_is_open_to_its_owner_alone(tmp_path: Path) -> None:
    write_text(tmp_path / "home" / "ws", "a/b", "x")
    for path in ("home", "home/ws", "home/ws/a"):
        assert (tmp_path / path).stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "home/ws/a/b").stat().st_mode & 0o777 == 0o600


def test_reading_and_refused_writes_do_not_make_the_workspace(tmp_path: Path) -> None:
    with pytest.raises(ToolError):
        facts(tmp_path / "ws", "page")
    with pytest.raises(ToolError):
        write_text(tmp_path / "ws", "../page", "x")
    assert not (tmp_path / "ws").exists()


def test_facts_tell_path_digest_and_size(tmp_path: Path) -> None:
    written = write_text(tmp_path, "caf\u0065\u0301.md", "é")
    assert written == facts(tmp_path, "café.md")
    assert (written.path, written.bytes) == ("café.md", 2)
    assert written.sha256 == sha256("é".encode()).hexdigest()


def test_names_are_stored_composed_however_they_are_written(tmp_path: Path) -> None:
    write_text(tmp_path, "cafe\u0301", "x")
    assert names(tmp_path) == ["caf\u00e9"]
    assert facts(tmp_path, "cafe\u0301") == facts(tmp_path, "café")


@pytest.mark.parametrize(
    ("path", "word"),
    [
        ("", "empty"),
        ("/etc/passwd", "absolute"),
        ("a/../b", r"'\.\.'"),
        ("./a", r"'\.'"),
        ("a//b", "''"),
        ("a/", "''"),
        ("a\\b", "backslash"),
        ("a\0b", "control"),
        ("a\nb", "control"),
        ("gpj\u202e.exe", "invisible"),
        ("a\u200bb", "invisible"),
        ("\ud800", "control"),
        ("a ", "space"),
        (".swarm", "reserved"),
        ("x/.SWARM-db", "reserved"),
        ("x" * 201, "200"),
        ("/".join("x" * 9), "at most 8"),
        ("é" * 128, "255 bytes"),
    ],
)
async def test_a_refused_path_says_what_to_mend(tmp_path: Path, path: str, word: str) -> None:
    for attempt in (write(tmp_path, path, "x"), read(tmp_path, path)):
        with pytest.raises(ToolError, match=word):
            await attempt
    assert names(tmp_path) == []


async def test_the_longest_and_deepest_path_works(tmp_path: Path) -> None:
    for path in ("x" * 200, "/".join("abcdefgh")):
        await write(tmp_path, path, "text")
        assert await read(tmp_path, path) == "text"


async def test_lone_surrogates_are_written_as_replacement_signs(tmp_path: Path) -> None:
    await write(tmp_path, "page", "a\ud800b")
    assert await read(tmp_path, "page") == "a\ufffdb"


async def test_a_long_file_is_cut_and_can_be_read_on(tmp_path: Path) -> None:
    lines = [f"{number} {'x' * (number % 300)}\n" for number in range(16_000)]
    await write(tmp_path, "long", "".join(lines))
    assert (tmp_path / "long").stat().st_size > 2 * files.MAX_READ_BYTES
    shown, first, text = "", 1, ""
    for _ in range(10):
        text = await read(tmp_path, "long", first_line=first)
        assert len(text.encode()) < files.MAX_READ_BYTES + 200
        note = re.search(r"\n\[.*first_line=(\d+)\]$", text)
        if note is None:
            break
        shown += text[: note.start()] + "\n"
        first = int(note[1])
    assert shown + text == "".join(lines)


async def test_one_endless_line_is_cut_and_the_next_one_can_be_read(tmp_path: Path) -> None:
    await write(tmp_path, "long", "x" * (files.MAX_READ_BYTES + 5) + "\nnext\n")
    text = await read(tmp_path, "long")
    assert text.endswith("first_line=2]")
    assert "line 1 is cut" in text
    assert await read(tmp_path, "long", first_line=2) == "next\n"


@given(
    text=st.text(st.sampled_from("ab\n\r"), max_size=60),
    first=st.integers(1, 9),
    more=st.integers(0, 9),
)
@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_the_lines_asked_for_are_shown(tmp_path: Path, text: str, first: int, more: int) -> None:
    (tmp_path / "page").write_bytes(text.encode())
    lines = text.split("\n")
    lines = [line + "\n" for line in lines[:-1]] + ([lines[-1]] if lines[-1] else [])
    asked = read(tmp_path, "page", first_line=first, last_line=first + more)
    if not lines:
        assert asyncio.run(asked) == "[the file is empty]"
    elif first > len(lines):
        with pytest.raises(ToolError, match=f"has {len(lines)} lines"):
            asyncio.run(asked)
    else:
        assert asyncio.run(asked) == "".join(lines[first - 1 : first + more])


async def test_a_reversed_range_a_picture_and_a_missing_file_are_explained(tmp_path: Path) -> None:
    (tmp_path / "picture").write_bytes(b"\x89PNG\0\0")
    with pytest.raises(ToolError, match="not a text file"):
        await read(tmp_path, "picture")
    with pytest.raises(ToolError, match="before first_line"):
        await read(tmp_path, "picture", first_line=3, last_line=2)
    with pytest.raises(ToolError, match="list_files"):
        await read(tmp_path, "missing")
    with pytest.raises(ToolError, match="not a folder"):
        await read(tmp_path, "picture/inside")


async def test_a_file_of_any_length_is_read_in_bounded_time(tmp_path: Path) -> None:
    with (tmp_path / "huge").open("wb") as file:
        file.write(b"first\n")
        file.truncate(1 << 32)
    assert await read(tmp_path, "huge", last_line=1) == "first\n"
    with pytest.raises(ToolError, match=r"not a text file|beyond"):
        await read(tmp_path, "huge", first_line=2)
    with pytest.raises(ToolError, match="beyond"):
        await read(tmp_path, "huge", first_line=3)


async def test_a_text_over_the_limit_is_refused_and_one_at_it_is_written(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="10,485,760"):
        await write(tmp_path, "page", "é" * (workspace.MAX_WRITE_BYTES // 2) + "x")
    assert names(tmp_path) == []
    await write(tmp_path, "page", "é" * (workspace.MAX_WRITE_BYTES // 2))


async def test_a_full_workspace_takes_no_new_file_but_changes_old_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert workspace.MAX_FILES == 10_000
    monkeypatch.setattr(workspace, "MAX_FILES", 60)
    monkeypatch.setattr(files, "MAX_LISTED", 50)
    for number in range(workspace.MAX_FILES - 1):
        (tmp_path / f"{number}").touch()
    await write(tmp_path, "last", "x")
    with pytest.raises(ToolError, match="60 files"):
        await write(tmp_path, "sub/one-more", "x")
    assert not (tmp_path / "sub").exists()
    await write(tmp_path, "last", "changed")
    lines = await listed(tmp_path)
    assert len(lines) == files.MAX_LISTED + 1
    assert "10 more" in lines[-1]


async def test_a_listing_leaves_out_what_no_tool_can_use_and_says_so(
    trapped: Path, tmp_path: Path
) -> None:
    (trapped / "two\nlines").touch()
    (trapped / "cafe\u0301").touch()
    (trapped / ".swarm-draft").touch()
    lines = await listed(trapped)
    assert lines[0] == "plain (6 bytes)"
    # Seven links, a hard link, a pipe, and two names.
    assert lines[1:] == ["[11 entries left out: links, devices or unusable names]"]
    with pytest.raises(ToolError):
        await listed(trapped, "link")
    with pytest.raises(ToolError):
        await listed(trapped, "missing")


def test_the_tools_are_shown_to_a_model_with_flat_schemas() -> None:
    tools: list[Tool] = [ListFiles(), ReadFile(), WriteFile()]
    for tool in tools:
        parameters = spec(tool).parameters
        assert parameters["additionalProperties"] is False
        assert "$defs" not in parameters


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(ToolError, match="first_line"):
        check_arguments(ReadFile(), '{"path": "x", "first_line": 0}')


async def test_the_result_is_marked_as_a_tool_s_words(tmp_path: Path) -> None:
    write_text(tmp_path, "x", "text")
    result = await ReadFile().run(ReadArguments(path="x"), context(tmp_path))
    assert result == ToolResult("text")
