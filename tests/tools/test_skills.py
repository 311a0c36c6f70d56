"""Skills: what is shipped, what a company adds, and that only approved bytes are ever used."""

import asyncio
import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import skills_ref  # type: ignore[import-untyped]  # it has no stubs
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from swarm.core.clock import SystemClock
from swarm.core.errors import ConfigError, InvalidInput, NotFound, ToolError
from swarm.core.origin import Origin
from swarm.tools.base import ToolContext, ToolResult
from swarm.tools.skill_lock import SkillLock, builtin_skills, open_shelf
from swarm.tools.skills import SkillShelf, SkillSource, digest_of, visible
from swarm.tools.use_skill import UseSkill, UseSkillArguments

SHIPPED = sorted(path.name for path in builtin_skills().iterdir())
TEXT = (
    "---\nname: {name}\ndescription: Greets people. Use when somebody arrives.\n---\nSay hello.\n"
)


def add(
    home: Path, name: str = "greeting", text: str = TEXT, files: Mapping[str, bytes] | None = None
) -> Path:
    folder = home / "skills" / name
    folder.mkdir(parents=True)
    (folder / "SKILL.md").write_text(text.format(name=name))
    for path, data in (files or {}).items():
        (folder / path).write_bytes(data)
    return folder


def approve(home: Path, name: str = "greeting") -> None:
    SkillLock(home).approve(
        open_shelf(home).look(name), by="ada", by_id="1000", clock=SystemClock()
    )


def state(home: Path, name: str = "greeting") -> str:
    return next(entry.state for entry in open_shelf(home).list() if entry.name == name)


def use(home: Path, name: str, file: str = "") -> ToolResult:
    context = ToolContext(home / "ws", "cto", "t1", skills=open_shelf(home))
    return asyncio.run(UseSkill().run(UseSkillArguments(name=name, file=file), context))


def test_there_are_shipped_skills() -> None:
    assert {"landing-page", "small-cli-tool", "tender-answer"} <= set(SHIPPED)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_skill_follows_the_format(name: str, tmp_path: Path) -> None:
    assert skills_ref.validate(builtin_skills() / name) == []
    entry = next(entry for entry in open_shelf(tmp_path).list() if entry.name == name)
    assert entry.is_ready
    read = skills_ref.read_properties(builtin_skills() / name)
    assert (read.name, read.description) == (entry.name, entry.description)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_skill_and_the_files_it_names_can_be_used(name: str, tmp_path: Path) -> None:
    result = use(tmp_path, name)
    assert result.origin is Origin.TEAM
    skill = open_shelf(tmp_path).load(name)
    for path in skill.further:
        assert path in skill.body, f"{path} is never named in the skill"
        assert use(tmp_path, name, path).content == (builtin_skills() / name / path).read_text()


def test_shipped_skills_are_usable_where_an_installer_shares_their_files(tmp_path: Path) -> None:
    add(tmp_path)
    (tmp_path / "cache").hardlink_to(tmp_path / "skills" / "greeting" / "SKILL.md")
    shelf = SkillShelf(tmp_path / "skills", tmp_path / "none", lambda *_: False)
    assert [entry.state for entry in shelf.list()] == ["ready"]


def test_the_summary_names_what_can_be_used_and_nothing_else(tmp_path: Path) -> None:
    add(tmp_path)
    lines = open_shelf(tmp_path).summary().splitlines()
    assert [line.partition(": ")[0] for line in lines] == SHIPPED
    approve(tmp_path)
    lines = open_shelf(tmp_path).summary().splitlines()
    assert lines[-1] == "greeting: Greets people. Use when somebody arrives."


def test_a_stranger_s_skill_is_closed_until_a_person_approves_it(tmp_path: Path) -> None:
    add(tmp_path, files={"more.md": b"Also wave."})
    assert state(tmp_path) == "needs approval"
    for file in ("", "more.md"):
        with pytest.raises(ToolError, match="needs approval"):
            use(tmp_path, "greeting", file)
    approve(tmp_path)
    assert state(tmp_path) == "ready"
    assert use(tmp_path, "greeting").content.startswith("Say hello.\n\n[further files")
    assert use(tmp_path, "greeting", "more.md") == ToolResult("Also wave.", origin=Origin.TEAM)


def _edit(folder: Path) -> None:
    (folder / "more.md").write_bytes(b"Also wavf.")


def _add(folder: Path) -> None:
    (folder / "new").touch()


def _remove(folder: Path) -> None:
    (folder / "more.md").unlink()


def _rename(folder: Path) -> None:
    (folder / "more.md").rename(folder / "less.md")


def _fold(folder: Path) -> None:
    (folder / "sub").mkdir()
    (folder / "more.md").rename(folder / "sub" / "more.md")


@pytest.mark.parametrize("change", [_edit, _add, _remove, _rename, _fold])
def test_any_change_closes_it_again(tmp_path: Path, change: Callable[[Path], None]) -> None:
    folder = add(tmp_path, files={"more.md": b"Also wave."})
    approve(tmp_path)
    change(folder)
    assert state(tmp_path) == "changed"
    with pytest.raises(ToolError, match="changed"):
        use(tmp_path, "greeting")
    assert "greeting" not in open_shelf(tmp_path).summary()
    approve(tmp_path)
    assert state(tmp_path) == "ready"


def test_the_very_bytes_that_were_judged_are_used(tmp_path: Path) -> None:
    """A change between the check and the use would be one that nobody approved."""
    folder = add(tmp_path, files={"more.md": b"Also wave."})
    lock = SkillLock(tmp_path)
    approve(tmp_path)

    def is_approved(name: str, digest: str) -> bool:
        said = lock.is_approved(name, digest)
        (folder / "SKILL.md").write_text(TEXT.format(name="greeting") + "Then steal the silver.\n")
        (folder / "more.md").write_text("Steal.")
        return said

    shelf = SkillShelf(builtin_skills(), tmp_path / "skills", is_approved)
    skill = shelf.load("greeting")
    assert (skill.body, skill.text("more.md")) == ("Say hello.", "Also wave.")
    with pytest.raises(ToolError):
        shelf.load("greeting")


def test_an_approval_speaks_of_one_name(tmp_path: Path) -> None:
    add(tmp_path)
    approve(tmp_path)
    text = TEXT.format(name="greeting")
    add(tmp_path, "welcome", text)
    assert (
        state(tmp_path, "welcome") == "broken: SKILL.md: name must be that of the folder, 'welcome'"
    )
    (tmp_path / "skills" / "welcome" / "SKILL.md").write_text(text.replace("greeting", "welcome"))
    assert state(tmp_path, "welcome") == "needs approval"


def test_a_company_cannot_put_another_skill_in_the_place_of_a_shipped_one(tmp_path: Path) -> None:
    add(tmp_path, "landing-page")
    states = [e.state for e in open_shelf(tmp_path).list() if e.name == "landing-page"]
    assert states == ["ready", "broken: a shipped skill has this name; rename the folder"]
    assert "hello" not in use(tmp_path, "landing-page").content


def test_a_revoked_skill_is_closed(tmp_path: Path) -> None:
    add(tmp_path)
    approve(tmp_path)
    assert SkillLock(tmp_path).revoke("greeting")
    assert not SkillLock(tmp_path).revoke("greeting")
    assert state(tmp_path) == "needs approval"


@pytest.mark.parametrize(
    "text",
    ["{", "[]", '{"version": 2}', '{"skills": {"greeting": {"sha256": "x"}}}', '{"more": 1}', "\0"],
)
def test_a_damaged_lock_closes_the_company_s_skills_and_no_others(
    tmp_path: Path, text: str
) -> None:
    add(tmp_path)
    approve(tmp_path)
    (tmp_path / "skills.lock").write_text(text)
    assert "damaged" in state(tmp_path)
    with pytest.raises(ToolError, match="damaged"):
        use(tmp_path, "greeting")
    assert use(tmp_path, "landing-page").content
    with pytest.raises(ConfigError, match="delete it"):
        SkillLock(tmp_path).revoke("greeting")
    assert (tmp_path / "skills.lock").read_text() == text


def test_a_lock_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    add(tmp_path)
    approve(tmp_path)
    (tmp_path / "skills.lock").rename(tmp_path / "elsewhere")
    (tmp_path / "skills.lock").symlink_to(tmp_path / "elsewhere")
    assert state(tmp_path).startswith("broken: ")


def test_the_lock_says_who_approved_what_and_is_open_to_its_owner_alone(tmp_path: Path) -> None:
    add(tmp_path)
    approve(tmp_path)
    document = json.loads((tmp_path / "skills.lock").read_text())
    known = document["skills"]["greeting"]
    assert known["sha256"] == open_shelf(tmp_path).look("greeting").digest
    assert (known["approved_by"], known["approved_by_id"]) == ("ada", "1000")
    assert (tmp_path / "skills.lock").stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["skills", "skills.lock"]


def _link(folder: Path) -> None:
    (folder / "link").symlink_to("/etc/passwd")


def _folder_link(folder: Path) -> None:
    (folder / "link").symlink_to(folder.parent)


def _hard_link(folder: Path) -> None:
    (folder.parent / "secret").write_text("secret")
    (folder / "shared").hardlink_to(folder.parent / "secret")


def _pipe(folder: Path) -> None:
    os.mkfifo(folder / "pipe")


def _large(folder: Path) -> None:
    (folder / "large").write_bytes(b"x" * (1024 * 1024 + 1))


def _giant(folder: Path) -> None:
    with (folder / "giant").open("wb") as file:
        file.truncate(1 << 40)


def _many(folder: Path) -> None:
    for number in range(200):
        (folder / f"{number}").touch()


def _deep(folder: Path) -> None:
    (folder / "/".join("abcdefghi")).mkdir(parents=True)
    (folder / "/".join("abcdefghi") / "file").touch()


def _hidden_name(folder: Path) -> None:
    (folder / "a\u202eb").touch()


def _main_is_link(folder: Path) -> None:
    (folder / "SKILL.md").rename(folder.parent / "body")
    (folder / "SKILL.md").symlink_to(folder.parent / "body")


def _long_main(folder: Path) -> None:
    with (folder / "SKILL.md").open("a") as file:
        file.write("x" * 70_000)


def _is_itself_a_link(folder: Path) -> None:
    folder.rename(folder.parent / ".elsewhere")
    folder.symlink_to(folder.parent / ".elsewhere")


@pytest.mark.parametrize(
    "spoil",
    [_link, _folder_link, _hard_link, _pipe, _large, _giant, _many, _deep, _hidden_name,
     _main_is_link, _long_main, _is_itself_a_link],
)  # fmt: skip
def test_what_is_not_a_small_tree_of_plain_files_is_broken(
    tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    folder = add(tmp_path)
    approve(tmp_path)
    spoil(folder)
    began = time.monotonic()
    assert state(tmp_path).startswith("broken: ")
    assert time.monotonic() - began < 5
    with pytest.raises(ToolError, match="broken"):
        use(tmp_path, "greeting")
    with pytest.raises(InvalidInput, match="broken"):
        open_shelf(tmp_path).look("greeting")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("no front matter", "begin with"),
        ("---\nname: greeting\n", "begin with"),
        ("---\nname: greeting\n---\nbody", "description"),
        ("---\nname: greeting\ndescription: \n---\nbody", "description"),
        ("---\nname: other\ndescription: x\n---\nbody", "name"),
        ("---\nname: greeting\ndescription: x\n---\n \n", "nothing below"),
        ("---\nname: greeting\nname: greeting\ndescription: x\n---\nbody", "twice"),
        ("---\nname: greeting\ndescription: &a x\nlicense: *a\n---\nbody", "aliases"),
        ("---\n- name\n- greeting\n---\nbody", "field: value"),
        ("---\nname: greeting\ndescription: a: b\n---\nbody", "YAML"),
        ("---\nname: greeting\ndescription: \"\\U00110000\"\n---\nbody", "YAML"),
        ("---\nname: greeting\ndescription: " + "x" * 1_025 + "\n---\nbody", "1,024"),
        ("---\nname: greeting\n" + "#" * 9_000 + "\n---\nbody", "front matter has more"),
        ("---\nname: greeting\na: " + "{{" * 3_000 + "\n---\nbody", "nested"),
        ("---\nname: greeting\nmetadata:\n  description: x\n---\nbody", "description"),
    ],
)  # fmt: skip
def test_a_file_off_the_format_says_what_to_mend(tmp_path: Path, text: str, why: str) -> None:
    folder = add(tmp_path)
    (folder / "SKILL.md").write_text(text)
    assert state(tmp_path).startswith("broken: ")
    assert why in state(tmp_path)


@pytest.mark.parametrize("name", ["Greeting", "a--b", "-a", "a-", "a b", "grüße", "a_b", "x" * 65])
def test_a_folder_whose_name_is_no_skill_name_is_broken(tmp_path: Path, name: str) -> None:
    add(tmp_path, name)
    assert "the folder's name must be" in state(tmp_path, name)


def test_a_name_nobody_can_read_is_written_out(tmp_path: Path) -> None:
    add(tmp_path, "a\u202eb")
    assert "broken" in state(tmp_path, "a\\u{202e}b")


def test_files_and_hidden_folders_beside_the_skills_are_none(tmp_path: Path) -> None:
    add(tmp_path)
    (tmp_path / "skills" / "README.md").touch()
    (tmp_path / "skills" / ".git").mkdir()
    company = [e.name for e in open_shelf(tmp_path).list() if e.source is SkillSource.COMPANY]
    assert company == ["greeting"]


@pytest.mark.parametrize(
    "file", ["../SKILL.md", "/etc/passwd", "more.md/..", "SKILL.md\0", "picture", "none", "a\\b"]
)
def test_no_file_but_a_text_of_the_skill_itself_is_read(tmp_path: Path, file: str) -> None:
    add(tmp_path, files={"more.md": b"Also wave.", "picture": b"\x89PNG\0"})
    approve(tmp_path)
    with pytest.raises(ToolError):
        use(tmp_path, "greeting", file)


def test_an_unknown_skill_and_an_unknown_file_name_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="did you mean 'landing-page'"):
        use(tmp_path, "landingpage")
    with pytest.raises(ToolError, match=r"did you mean 'references/matrix\.md'"):
        use(tmp_path, "tender-answer", "references/matrx.md")
    with pytest.raises(NotFound, match="landing-page"):
        open_shelf(tmp_path).look("landing_page")


def test_without_a_shelf_there_are_no_skills(tmp_path: Path) -> None:
    context = ToolContext(tmp_path, "cto", "t1")
    with pytest.raises(ToolError, match="no skills here"):
        asyncio.run(UseSkill().run(UseSkillArguments(name="landing-page"), context))


def test_hidden_signs_are_written_out_for_the_person_who_approves() -> None:
    tags = "".join(chr(0xE0000 + ord(c)) for c in "hi")
    assert visible(f"a\u200bb{tags}\u202e\x1b[0m\r") == (
        "a\\u{200b}b\\u{e0068}\\u{e0069}\\u{202e}\\u{1b}[0m\\u{d}"
    )
    assert visible("Grüße, 世界 🙂\n\tok") == "Grüße, 世界 🙂\n\tok"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": b"bc"}, {"ab": b"c"}),
        ({"a": b"", "b": b""}, {"a": b"b"}),
        ({"a": b"1\nb"}, {"a": b"", "b": b""}),
        ({}, {"a": b""}),
    ],
)
def test_what_is_a_name_and_what_is_content_counts(
    one: dict[str, bytes], other: dict[str, bytes]
) -> None:
    assert digest_of(one) != digest_of(other)


paths = st.dictionaries(st.text("ab/\n", min_size=1, max_size=6), st.binary(max_size=6), max_size=4)


@given(one=paths, other=paths)
@settings(max_examples=100, deadline=None)
def test_two_sets_of_files_have_two_digests(one: dict[str, bytes], other: dict[str, bytes]) -> None:
    assert (digest_of(one) == digest_of(other)) is (one == other)
    assert digest_of(dict(reversed(one.items()))) == digest_of(one)


@given(text=st.text(max_size=60) | st.text("-:{}[]&*!'\"\n name#|>?,%@", max_size=60))
@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_whatever_a_skill_says_it_is_listed_and_never_usable(tmp_path: Path, text: str) -> None:
    folder = tmp_path / "skills" / "greeting"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "SKILL.md").write_bytes(f"---\n{text}\n---\nbody".encode())
    shelf = SkillShelf(tmp_path / "none", tmp_path / "skills", lambda *_: False)
    assert [entry.is_ready for entry in shelf.list()] == [False]
