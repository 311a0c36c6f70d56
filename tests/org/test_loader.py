"""Role files become a company, or one list of all that has to be mended."""

import os
import shutil
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from textwrap import dedent

import pytest

from swarm.core.errors import ConfigError
from swarm.core.role import Role
from swarm.org.loader import MAX_FILE_BYTES, Org, RoleMistakes, builtin_roles, load_org
from swarm.tools.registry import TOOLS as REGISTRY

TOOLS = ("ask_founder", "read_file", "shell", "write_file")
HEAD = "---\ntitle: Chief\n---\nYou lead.\n"
CTO = "---\ntitle: Engineer\nreports_to: ceo\n---\nYou build.\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    roles = tmp_path / "roles"
    roles.mkdir()
    return roles


def put(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        (folder / f"{name}.md").write_text(dedent(text), encoding="utf-8", newline="")
    return folder


def load(*folders: Path) -> Org:
    return load_org(*folders, known_tools=TOOLS)


def mistakes(*folders: Path) -> list[str]:
    """Return the lines of the error, with file names alone for paths."""
    with pytest.raises(RoleMistakes) as caught:
        load(*folders)
    assert str(caught.value).split("\n") == [str(m) for m in caught.value.mistakes]
    prefix = f"{folders[0]}/"
    return [line.replace(prefix, "") for line in str(caught.value).split("\n")]


# What a company is


def test_files_become_roles_by_their_names(folder: Path) -> None:
    put(
        folder,
        ceo=HEAD,
        cto="""\
        ---
        title: Engineer
        reports_to: ceo
        summary: >
          Builds
          things.
        model: openai/gpt-5
        tools: [shell, read_file]
        approvals: ["sh*"]
        budget: 2.50
        temperature: 0.2
        ---

        You build.

        ---
        A rule inside the prompt ends nothing.
        """,
    )

    assert load(folder).role("cto") == Role(
        name="cto",
        title="Engineer",
        reports_to="ceo",
        summary="Builds things.",
        model="openai/gpt-5",
        tools=("shell", "read_file"),
        approvals=("sh*",),
        budget=Decimal("2.50"),
        temperature=0.2,
        prompt="You build.\n\n---\nA rule inside the prompt ends nothing.",
    )


def test_a_budget_keeps_the_digits_it_was_written_with(folder: Path) -> None:
    put(folder, ceo="---\ntitle: Chief\nbudget: 0.1000000000000000055\n---\nYou lead.")

    assert str(load(folder).role("ceo").budget) == "0.1000000000000000055"


def test_a_fifth_file_is_a_fifth_role(folder: Path) -> None:
    put(folder, legal="---\ntitle: Counsel\nreports_to: ceo\n---\nYou read the small print.")

    org = load_org(builtin_roles(), folder, known_tools=REGISTRY.names())

    assert tuple(org.roles) == ("ceo", "cto", "legal", "marketcom", "support")
    assert org.reviewer_of("legal") == "ceo"


def test_an_installed_package_brings_its_own_roles(tmp_path: Path) -> None:
    source = builtin_roles().parent
    for part in ("__init__.py", "core", "org"):
        _copy(source / "swarm" / part, tmp_path / "swarm" / part)
    shutil.copytree(source / "roles", tmp_path / "swarm" / "org" / "roles")
    # Beside an installed package, a folder of that name belongs to somebody else.
    (tmp_path / "roles").mkdir()

    code = "from swarm.org.loader import builtin_roles; print(builtin_roles())"
    shown = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )

    assert shown.stdout.strip() == str(tmp_path.resolve() / "swarm" / "org" / "roles")


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copy(source, target)


def test_a_later_folder_replaces_a_role_whole(folder: Path, tmp_path: Path) -> None:
    put(folder, ceo=HEAD, cto=CTO)
    own = tmp_path / "own"
    own.mkdir()
    put(own, cto="---\ntitle: Tinkerer\nreports_to: ceo\n---\nYou tinker.")

    org = load(folder, own)

    assert org.role("cto").title == "Tinkerer"
    assert org.role("cto").prompt == "You tinker."
    assert org.head == "ceo"


def test_a_replaced_file_is_not_read(folder: Path, tmp_path: Path) -> None:
    put(folder, ceo="broken")
    own = tmp_path / "own"
    own.mkdir()
    put(own, ceo=HEAD)

    assert load(folder, own).head == "ceo"


def test_a_folder_that_does_not_exist_holds_no_roles(folder: Path, tmp_path: Path) -> None:
    put(folder, ceo=HEAD)

    assert load(folder, tmp_path / "none").head == "ceo"


def test_hidden_files_and_other_files_are_left_alone(folder: Path) -> None:
    put(folder, ceo=HEAD)
    (folder / "._ceo.md").write_bytes(b"\x00\x05\x16\x07")
    (folder / "notes.txt").write_text("not a role")
    (folder / "cto.md~").write_text("an editor's copy")

    assert tuple(load(folder).roles) == ("ceo",)


def test_a_file_as_windows_editors_write_it_is_read(folder: Path) -> None:
    (folder / "ceo.md").write_bytes(b"\xef\xbb\xbf" + HEAD.replace("\n", "\r\n").encode())

    assert load(folder).role("ceo").prompt == "You lead."


def test_a_field_with_nothing_after_its_colon_is_left_out(folder: Path) -> None:
    put(folder, ceo="---\ntitle: Chief\ntools:\nreports_to: null\n---\nYou lead.")

    assert load(folder).role("ceo").tools == ()


def test_the_roles_cannot_be_changed(folder: Path) -> None:
    org = load(put(folder, ceo=HEAD))

    with pytest.raises(TypeError):
        org.roles["cto"] = org.role("ceo")  # type: ignore[index]


def test_an_unknown_role_is_answered_with_the_nearest_one(folder: Path) -> None:
    org = load(put(folder, ceo=HEAD, cto=CTO))

    with pytest.raises(ConfigError, match="no role 'ct0'; did you mean 'cto'"):
        org.role("ct0")


# Who works with whom


def test_colleagues_are_all_the_others_in_order(folder: Path) -> None:
    org = load(put(folder, ceo=HEAD, ops=CTO, cto=CTO))

    assert org.colleagues("cto") == ("ceo", "ops")


def test_work_is_reviewed_by_the_role_its_author_reports_to(folder: Path) -> None:
    org = load(put(folder, ceo=HEAD, cto=CTO, dev=CTO.replace("ceo", "cto")))

    assert org.reviewer_of("dev") == "cto"
    assert org.reviewer_of("cto") == "ceo"


def test_the_heads_work_is_reviewed_by_the_first_that_reports_to_it(folder: Path) -> None:
    org = load(put(folder, ceo=HEAD, writer=CTO, cto=CTO, aide=CTO.replace("ceo", "writer")))

    assert org.reviewer_of("ceo") == "cto"


def test_nobody_reviews_the_work_of_a_head_that_is_alone(folder: Path) -> None:
    assert load(put(folder, ceo=HEAD)).reviewer_of("ceo") is None


def test_nobody_ever_reviews_their_own_work(folder: Path) -> None:
    org = load(put(folder, ceo=HEAD, cto=CTO, dev=CTO.replace("ceo", "cto")))

    assert all(org.reviewer_of(name) != name for name in org.roles)


# The digest


def test_the_digest_changes_with_a_prompt_and_with_a_name(folder: Path, tmp_path: Path) -> None:
    digests = {load(put(folder, ceo=HEAD)).digest}
    digests.add(load(put(folder, ceo=HEAD.replace("lead", "rule"))).digest)
    (folder / "ceo.md").rename(folder / "boss.md")
    digests.add(load(folder).digest)

    assert len(digests) == 3
    assert all(len(digest) == 64 for digest in digests)


def test_the_digest_does_not_change_with_line_ends_or_places(folder: Path, tmp_path: Path) -> None:
    before = load(put(folder, ceo=HEAD, cto=CTO)).digest
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    put(elsewhere, cto=CTO.replace("\n", "\r\n"), ceo=HEAD + "\n\n")

    assert load(elsewhere).digest == before
    assert load(folder, elsewhere).digest == before


# What has to be mended


def test_a_wrong_tool_is_named_with_its_file_line_and_place_and_the_nearest_one(
    folder: Path,
) -> None:
    put(
        folder,
        ceo=HEAD,
        cto="---\ntitle: E\nreports_to: ceo\ntools: [read_file, write_file, shel]\n---\nYou build.",
    )

    assert mistakes(folder) == ["cto.md:4: tools[2]: no tool 'shel'; did you mean 'shell'?"]


def test_each_item_of_a_list_has_its_own_line(folder: Path) -> None:
    put(folder, ceo="---\ntitle: C\ntools:\n  # a comment\n  - shell\n\n  - shel\n---\nYou lead.")

    assert mistakes(folder) == ["ceo.md:7: tools[1]: no tool 'shel'; did you mean 'shell'?"]


def test_lines_are_an_editors_lines_whatever_yaml_takes_for_a_line_end(folder: Path) -> None:
    put(folder, ceo='---\ntitle: "a\u2028b\u2028c"\ntools: [shel]\n---\nYou lead.')

    assert mistakes(folder)[0].startswith("ceo.md:3: tools[0]:")


def test_all_mistakes_of_all_files_are_reported_at_once_in_order(folder: Path) -> None:
    put(
        folder,
        ceo="""\
        ---
        title: 5
        budgt: 3
        budget: -1
        temperature: warm
        tools: shell
        ---
        """,
        cto="---\nreports_to: cfo\nmodel: [a]\n---\nYou build.",
    )

    assert mistakes(folder) == [
        "ceo.md:2: title: should be a text; put it in quotes",
        "ceo.md:3: budgt: no such field; did you mean 'budget'?",
        "ceo.md:4: budget: should be greater than 0, not -1",
        "ceo.md:5: temperature: should be a number, like 0.50",
        "ceo.md:6: tools: should be a list, like `[first, second]`",
        "ceo.md:8: prompt: is empty: write below the front matter who the role is and how it works",
        "cto.md:1: title: is missing: add a line `title: …` to the front matter",
        "cto.md:2: reports_to: no role 'cfo'; did you mean 'ceo'?",
        "cto.md:3: model: should be a text; put it in quotes",
    ]


def test_a_mistake_can_be_read_part_by_part(folder: Path) -> None:
    put(folder, ceo="---\ntitle: C\ntools: [shel]\n---\nYou lead.")

    with pytest.raises(RoleMistakes) as caught:
        load(folder)

    (mistake,) = caught.value.mistakes
    assert (mistake.file, mistake.line, mistake.field) == (folder / "ceo.md", 3, "tools[0]")
    assert mistake.text == "no tool 'shel'; did you mean 'shell'?"


@pytest.mark.parametrize(
    ("front", "mistake"),
    [
        ("title: C\ntitle: D", "3: title: is there twice, first at line 2; remove one of them"),
        ("title: C\ntools: [shell, shell]", "3: tools[1]: 'shell' is there twice; remove one"),
        ("title: C\napprovals: [shel]", "3: approvals[0]: no tool matches 'shel'; did you mean"),
        ("title: C\napprovals: ['foo_*']", "3: approvals[0]: no tool matches 'foo_*'; known:"),
        ("title: no", "2: title: 'no' means true or false in YAML; put it in quotes"),
        ("title: C\ntools: [shell, 7]", "3: tools[1]: should be a text; put it in quotes"),
        ("title: C\ntools: {shell: yes}", "3: tools: should be a list, like"),
        ("title:", "2: title: is missing: add a line `title: …`"),
        ("title: '  '", "2: title: is missing: add a line `title: …`"),
        ("title: C\nname: boss", "3: name: the file's name is the role's name, 'ceo'; remove"),
        ("title: C\nprompt: x", "3: prompt: the prompt is the text below the front matter;"),
        ("title: C\n? [a]\n: b", "3: a field's name should be one word"),
        ("title: C\nbudget: 1e999999", "3: budget: is no sum of money; write it like 2.50"),
        ("title: C\nbudget: .inf", "3: budget: should be a number, like 0.50"),
        ("title: C\nbudget: 2,50", "3: budget: should be a number, like 0.50"),
        ("title: C\ntemperature: yes", "3: temperature: 'yes' means true or false in YAML"),
        ("title: C\ntemperature: 2.5", "3: temperature: should be less than or equal to 2, not"),
        ("title: C: D", "2: bad YAML: mapping values are not allowed here; put a value that"),
        ("title: C\n\tx: 1", "3: bad YAML: "),
        ("title: C\nsummary: @x", "3: bad YAML: "),
        ('title: "\\U00110000"', "2: bad YAML: no such character"),
        ("title: &a C\nsummary: *a", "3: bad YAML: no aliases here: write the value out"),
        ("title: C\nmodel: !!python/name:os.system x", "3: model: remove the tag"),
        ("title: C\ntools: !!python/tuple [shell]", "3: tools: remove the tag"),
        ("- title", "2: the front matter should be lines of `field: value`"),
    ],
)
def test_a_bad_field_is_reported_once_with_its_line_and_remedy(
    folder: Path, front: str, mistake: str
) -> None:
    put(folder, ceo=f"---\n{front}\n---\nYou lead.")

    (line,) = mistakes(folder)
    assert line.startswith(f"ceo.md:{mistake}")


def test_a_file_without_front_matter_is_told_how_to_start(folder: Path) -> None:
    put(folder, ceo=HEAD, cto="You build.")

    (line,) = mistakes(folder)
    assert line.startswith("cto.md:1: no front matter: start the file with a line `---`, then")


def test_front_matter_without_an_end_is_told_how_to_end(folder: Path) -> None:
    put(folder, ceo="---\ntitle: Chief\n\nYou lead.")

    assert mistakes(folder) == [
        "ceo.md:1: the front matter has no end: write a line `---` below its fields"
    ]


def test_an_empty_prompt_is_a_mistake_in_a_line_the_file_has(folder: Path) -> None:
    put(folder, ceo="---\ntitle: Chief\n---")

    (line,) = mistakes(folder)
    assert line.startswith("ceo.md:3: prompt: is empty")


def test_a_file_that_is_not_utf_8_is_named_with_the_line_of_its_first_bad_byte(
    folder: Path,
) -> None:
    (folder / "ceo.md").write_bytes("---\ntitle: Chef\nsummary: für\n---\n".encode("latin-1"))

    assert mistakes(folder) == [
        "ceo.md:3: not UTF-8 text: save the file in the encoding UTF-8",
    ]


def test_a_huge_file_is_refused(folder: Path) -> None:
    put(folder, ceo=HEAD + "x" * MAX_FILE_BYTES)

    assert mistakes(folder) == ["ceo.md: longer than 65,536 bytes: shorten the prompt"]


@pytest.mark.parametrize(
    "name",
    ["README.md", "ceo.MD", "1st.md", "-x.md", "chief officer.md", "größe.md", "a.b.md", "x\n.md"],
)
def test_a_file_name_that_is_no_role_name_is_refused(folder: Path, name: str) -> None:
    put(folder, boss=HEAD)
    (folder / name).write_text(HEAD)

    (line,) = mistakes(folder)
    assert ": no name for a role: use lower-case letters, digits and dashes" in line


def test_a_file_name_of_stray_bytes_is_refused_in_printable_signs(folder: Path) -> None:
    put(folder, ceo=HEAD)
    Path(os.fsdecode(os.fsencode(folder) + b"/\xff\x1b.md")).write_text(HEAD)

    (line,) = mistakes(folder)
    assert line.startswith("\\udcff\\x1b.md: no name for a role")
    line.encode()


def test_what_is_no_file_is_refused_and_never_waited_for(folder: Path) -> None:
    put(folder, ceo=HEAD)
    (folder / "cto.md").mkdir()
    os.mkfifo(folder / "dev.md")
    (folder / "ops.md").symlink_to("nowhere")

    assert mistakes(folder) == [
        "cto.md: is no file; role files are plain text",
        "dev.md: is no file; role files are plain text",
        "ops.md: cannot be read: No such file or directory",
    ]


def test_a_file_in_place_of_the_folder_is_reported(tmp_path: Path) -> None:
    file = tmp_path / "roles"
    file.write_text("")

    assert f"{file}: cannot be read: Not a directory" in mistakes(file)


def test_a_model_that_cannot_be_used_is_reported_with_its_reason(folder: Path) -> None:
    put(folder, ceo="---\ntitle: C\nmodel: openai/gtp-5\n---\nYou lead.")

    with pytest.raises(RoleMistakes, match=r"ceo\.md:3: model: no price for openai/gtp-5$"):
        load_org(folder, known_tools=TOOLS, known_model=lambda name: f"no price for {name}")

    assert load_org(folder, known_tools=TOOLS, known_model=lambda _: None).head == "ceo"


# Lines of report


def test_a_company_without_a_head_is_told_how_to_get_one(folder: Path) -> None:
    put(folder, ceo=CTO.replace("ceo", "cto"), cto=CTO)

    assert mistakes(folder) == [
        f"{folder}: no role leads the company: remove `reports_to` from the one that should",
        "ceo.md:3: reports_to: a cycle: ceo → cto → ceo; one of them must report elsewhere",
    ]


def test_a_company_without_roles_is_told_how_to_get_one(folder: Path) -> None:
    (line,) = mistakes(folder)

    assert line.startswith(f"{folder}: no role files here: add one, `<name>.md`, without")


def test_a_second_head_is_told_to_report_to_the_first(folder: Path) -> None:
    put(folder, boss=HEAD, ceo=HEAD, cto=CTO)

    assert mistakes(folder) == [
        "boss.md:1: reports_to: 'boss' and 'ceo' both report to nobody, one role alone may; "
        "add `reports_to: ceo` here"
    ]


def test_a_cycle_below_the_head_is_reported_once_with_all_its_names(folder: Path) -> None:
    put(folder, ceo=HEAD, **dict(zip("abcd", map(_reporting_to, "bcab"), strict=True)))

    assert mistakes(folder) == [
        "a.md:3: reports_to: a cycle: a → b → c → a; one of them must report elsewhere"
    ]


def _reporting_to(name: str) -> str:
    return CTO.replace("ceo", name)


def test_a_role_that_reports_to_itself_is_a_cycle(folder: Path) -> None:
    put(folder, ceo=HEAD, cto=CTO.replace("ceo", "cto"))

    assert mistakes(folder) == [
        "cto.md:3: reports_to: a cycle: cto → cto; one of them must report elsewhere"
    ]


def test_no_head_is_missed_where_its_file_cannot_be_read(folder: Path) -> None:
    put(folder, ceo="---\ntitle: C: D\n---\nYou lead.", cto=CTO)

    (line,) = mistakes(folder)
    assert line.startswith("ceo.md:2: bad YAML")
