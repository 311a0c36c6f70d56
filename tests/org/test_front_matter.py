"""Whatever stands in a role file, the loader answers with roles or with mistakes."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from swarm.core.role import Role
from swarm.org.front_matter import Fault, FrontMatter, parse
from swarm.org.loader import Org, RoleMistakes, load_org

HEAD = b"---\ntitle: Chief\n---\nYou lead.\n"

_YAML = st.text(alphabet=list("ab \n\t-:?[]{},&*!|>'\"%@`#\\xuU019.~<=\u2028\ufffe"), max_size=80)
_FIELDS = st.sampled_from(sorted(Role.model_fields))
_LINES = st.lists(st.builds("{}: {}".format, _FIELDS, _YAML | st.text(max_size=30)), max_size=6)
_FILES = st.one_of(
    st.binary(max_size=200),
    st.text(max_size=200).map(str.encode),
    st.builds("---\n{}\n---\n{}".format, _YAML | _LINES.map("\n".join), st.text(max_size=20)).map(
        str.encode
    ),
)


@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],  # the files are written anew
)
@given(content=_FILES)
def test_no_content_of_a_file_raises_anything_but_its_mistakes(
    tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "ceo.md").write_bytes(HEAD)
    (tmp_path / "x.md").write_bytes(content)

    outcome = _outcome(tmp_path)

    if isinstance(outcome, Org):
        assert outcome.role("x").prompt.encode()
    else:
        lines = content.count(b"\n") + content.count(b"\r") + 1
        assert all(1 <= (m.line or 1) <= lines for m in outcome.mistakes)
        assert all(str(m).encode() and "\n" not in str(m) for m in outcome.mistakes)


def _outcome(folder: Path) -> Org | RoleMistakes:
    try:
        return load_org(folder, known_tools=("read_file", "shell"))
    except RoleMistakes as error:
        return error


def test_values_keep_their_lines() -> None:
    front = parse("---\n\ntitle: a\ntools:\n- b\n-   c\n---\n\nbody\n")

    assert isinstance(front, FrontMatter)
    assert front.values == {"title": "a", "tools": ["b", "c"]}
    assert [front.line(path) for path in ("title", "tools", "tools[1]")] == [3, 4, 6]
    assert [front.line(path) for path in ("tools[9]", "absent")] == [4, 1]
    assert (front.body, front.body_line) == ("body", 8)


@pytest.mark.parametrize("sign", ["[", "{a: ", "- ", "? ", "!!seq ["])
def test_nesting_is_refused_before_it_fills_the_stack(sign: str) -> None:
    fault = parse(f"---\ntitle:\n {sign * 5_000}\n---\n")

    assert fault == Fault(3, "", "bad YAML: nested too deeply")


def test_an_alias_is_refused_before_it_multiplies() -> None:
    bomb = "\n".join(f"x{i}: &x{i} [{f'*x{i - 1}, ' * 9}]" for i in range(1, 30))

    assert isinstance(parse(f"---\nx0: &x0 [a]\n{bomb}\n---\n"), Fault)


def test_a_value_holds_nothing_that_cannot_be_stored_or_that_reorders_what_is_read() -> None:
    front = parse('---\ntitle: "a\\uD800\\u202E\\0b"\n---\n')

    assert isinstance(front, FrontMatter)
    assert front.values == {"title": "a\ufffdb"}


def test_a_fields_name_is_short_and_printable_whatever_it_was() -> None:
    front = parse(f'---\n"\\uD800{"x" * 200}": 1\n---\n')

    assert isinstance(front, FrontMatter)
    (name,) = front.keys
    assert name == "\\ud800" + "x" * 53 + "…"
