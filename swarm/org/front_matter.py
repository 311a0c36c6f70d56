"""Read YAML front matter and remember the line of each value.

Values are composed, never constructed: no tag of YAML can make an object, and a number keeps the
digits it was written with.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import TypeAlias

import yaml
from yaml.composer import ComposerError
from yaml.error import MarkedYAMLError
from yaml.reader import ReaderError

from swarm.core.text import clean_text, shorten

FENCE = "---"
MAX_DEPTH = 16
"""Deepest nesting composed; the composer recurses, and front matter is flat."""

Value: TypeAlias = "str | Decimal | bool | list[Value] | dict[str, Value] | None"

_NO_START = (
    f"no front matter: start the file with a line `{FENCE}`, then `title: …` and the other "
    f"fields, then a line `{FENCE}`; the prompt comes below"
)
_NO_END = f"the front matter has no end: write a line `{FENCE}` below its fields"
_TAG = "tag:yaml.org,2002:"
_HINTS = (
    ("mapping values are not allowed", "put a value that holds `: ` in quotes"),
    (r"'\t'", "indent with spaces"),
    ("cannot start any token", "put the value in quotes"),
    ("could not find expected ':'", "write `field: value`"),
)


@dataclass(frozen=True, slots=True)
class Fault:
    """One mistake in a file: its line from 1 or None, the field's path or "", and what to do."""

    line: int | None
    field: str
    text: str


@dataclass(slots=True)
class FrontMatter:
    """What the front matter says, and the text below it.

    A value with a fault is left out of `values`; `keys` has its line all the same.
    """

    body: str
    body_line: int
    values: dict[str, Value] = field(default_factory=dict)
    keys: dict[str, int] = field(default_factory=dict)
    """The line, from 1, of each field that is there: `tools`."""
    items: dict[str, int] = field(default_factory=dict)
    """The line of each item of a list: `tools[2]`."""
    faults: list[Fault] = field(default_factory=list)

    def line(self, path: str) -> int:
        """Return the line of a value; of the list that should hold it, or of the start if none."""
        return self.items.get(path) or self.keys.get(path.partition("[")[0], 1)


def parse(text: str) -> FrontMatter | Fault:
    """Split a file at its fences and read the front matter.

    Args:
        text: The whole file with line feeds as line ends.

    Returns:
        A `Fault` where no value at all could be read: no fences, or YAML that does not parse.
    """
    lines = text.split("\n")
    if lines[0].rstrip() != FENCE:
        return Fault(1, "", _NO_START)
    end = next((i for i, line in enumerate(lines) if i and line.rstrip() == FENCE), None)
    if end is None:
        return Fault(1, "", _NO_END)
    front = FrontMatter(
        body="\n".join(lines[end + 1 :]).strip(), body_line=min(end + 2, len(lines))
    )
    # An empty line in place of the fence keeps line numbers those of the file.
    source = "\n".join(["", *lines[1:end]])
    root = _compose(source)
    if isinstance(root, Fault):
        return root
    if isinstance(root, yaml.MappingNode):
        _Reader(source, front).read(root)
    elif root is not None:
        return Fault(_line(source, root), "", "the front matter should be lines of `field: value`")
    return front


class _Composer(yaml.SafeLoader):
    """Compose plain trees: no aliases, which multiply, and no depth, which overflows the stack."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]  # a gap in the stubs
        if self.check_event(yaml.AliasEvent):
            raise ComposerError(problem="no aliases here: write the value out", problem_mark=mark)
        if self.depth >= MAX_DEPTH:
            raise ComposerError(problem="nested too deeply", problem_mark=mark)
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


def _compose(source: str) -> yaml.Node | Fault | None:
    composer: _Composer | None = None
    try:
        composer = _Composer(source)
        return composer.get_single_node()
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = f"{error.context or ''} {error.problem or ''}"
        return Fault(_line_at(source, mark.index if mark else 0), "", _advise(problem))
    except ReaderError as error:
        return Fault(_line_at(source, error.position), "", _advise(error.reason))
    except (ValueError, OverflowError):
        # The scanner hands the digits of an escape such as "\U00110000" to chr() unchecked.
        index = composer.index if composer else 0
        return Fault(_line_at(source, index), "", _advise("no such character"))
    finally:
        if composer:
            composer.dispose()


def _advise(problem: str) -> str:
    hint = next((hint for sign, hint in _HINTS if sign in problem), "")
    return f"bad YAML: {shorten(problem, 160)}" + (f"; {hint}" if hint else "")


def _line_at(source: str, index: int) -> int:
    """Count line feeds alone: YAML also ends lines at U+2028, an editor does not."""
    return source.count("\n", 0, index) + 1


def _line(source: str, node: yaml.Node) -> int:
    return _line_at(source, node.start_mark.index)


class _Reader:
    """Turn nodes into plain values, noting lines and faults in one `FrontMatter`."""

    def __init__(self, source: str, front: FrontMatter) -> None:
        self._source = source
        self._front = front

    def read(self, root: yaml.MappingNode) -> None:
        for key_node, node in root.value:
            line = _line(self._source, key_node)
            if not isinstance(key_node, yaml.ScalarNode):
                self._front.faults.append(Fault(line, "", "a field's name should be one word"))
                continue
            key = shorten(printable(key_node.value), 60)
            if key in self._front.keys:
                first = self._front.keys[key]
                text = f"is there twice, first at line {first}; remove one of them"
                self._front.faults.append(Fault(line, key, text))
                continue
            self._front.keys[key] = line
            value = self._value(node, key)
            # A field with nothing after the colon is a field left out.
            if value is not None and not self._is_faulty(key):
                self._front.values[key] = value

    def _is_faulty(self, path: str) -> bool:
        return any(f.field == path for f in self._front.faults)

    def _value(self, node: yaml.Node, path: str) -> Value:
        match node:
            case yaml.ScalarNode():
                return self._scalar(node, path)
            case yaml.SequenceNode(tag="tag:yaml.org,2002:seq"):
                return self._items(node.value, path)
            case yaml.MappingNode(tag="tag:yaml.org,2002:map"):
                return {}
            case _:
                self._fault(path, node, _no_tag(node))
                return None

    def _items(self, nodes: Sequence[yaml.Node], path: str) -> list[Value]:
        values: list[Value] = []
        for index, node in enumerate(nodes):
            item = f"{path}[{index}]"
            self._front.items[item] = _line(self._source, node)
            values.append(self._value(node, item))
        return values

    def _scalar(self, node: yaml.ScalarNode, path: str) -> Value:
        text = " ".join(clean_text(node.value).split())
        match node.tag.removeprefix(_TAG):
            case "null":
                return None
            case "int" | "float":
                parsed = number(text)
                return text if parsed is None else parsed
            case "bool":
                fault = f"{text!r} means true or false in YAML; put it in quotes if it is a text"
                self._fault(path, node, fault)
            case "str" | "timestamp" | "merge" | "value":
                return text
            case _:
                self._fault(path, node, _no_tag(node))
        return None

    def _fault(self, path: str, node: yaml.Node, text: str) -> None:
        self._front.faults.append(Fault(_line(self._source, node), path, text))


def _no_tag(node: yaml.Node) -> str:
    return f"remove the tag {shorten(printable(node.tag), 60)!r}: plain values only"


def number(text: str) -> Decimal | None:
    """Return the number a text is, with the digits it was written with, or None."""
    try:
        return Decimal(text)
    except InvalidOperation:
        return None


def printable(text: str) -> str:
    """Write signs that no terminal should be sent as escapes, lone surrogates among them."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
