"""Narrow a JSON schema until every document it allows is short.

A small model under a grammar writes for as long as the grammar lets it: a string without a
maximum never closes, a number never ends its digits. Each document of the narrowed schema is one
of the original, as far as the keywords kept here say it; `not`, `if` and `dependentRequired`
are left to the caller's own check.
"""

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from swarm.core.chat import JsonSchema

LONGEST_STRING = 200
"""Most signs of a string whose schema sets no maximum."""
MOST_CHOICES = 64
"""Most values a number may choose from."""

_RUNGS = (
    (LONGEST_STRING, 4),
    (LONGEST_STRING, 3),
    (120, 3),
    (120, 2),
    (80, 2),
    (60, 2),
    (40, 2),
    (40, 1),
    (20, 1),
    (8, 1),
)
"""Longest string and longest list, from generous to tight; the first that fits is taken."""

_DEPTH = 2
"""How often a definition may stand inside itself."""

# The engine's grammar knows no look-around and no back-references, and drops the whole grammar
# without a word where it meets one.
_TOO_CLEVER = re.compile(r"\(\?[=!<P(]|\\[1-9]|\\[bB]")
_METADATA = {"title", "description", "default", "examples", "deprecated", "$comment"}
_FORMATS = {"date-time": 40, "date": 10, "time": 30, "uuid": 36, "email": 60, "ipv4": 15}
"""Formats the engine can spell, and the most signs one takes."""


class Endless(Exception):
    """Say that a schema allows no short document: it must contain itself."""


@dataclass(frozen=True)
class _Limits:
    text: int
    items: int


def bounded(schema: JsonSchema, *, max_chars: int) -> JsonSchema:
    """Return a schema whose documents are documents of `schema`, and end.

    Args:
        schema: Any JSON schema; `$ref` may point inside the document only.
        max_chars: Wished length of the longest document, compact. Strings and lists are cut
            down to 8 signs and 1 item to reach it; what the schema itself demands stays.

    Returns:
        A schema without references, with bounds on every string, list and number.

    Raises:
        Endless: Every document of `schema` contains itself, so none is short.
    """
    narrowed: JsonSchema = {}
    for text, items in _RUNGS:
        narrowed = _Narrower(schema, _Limits(text, items)).narrow(schema, ())
        if _longest(narrowed) <= max_chars:
            break
    return narrowed


class _Narrower:
    """Walk one schema with one set of limits; `path` lists the references walked through."""

    def __init__(self, root: JsonSchema, limits: _Limits) -> None:
        self._root = root
        self._limits = limits

    def narrow(self, schema: Any, path: tuple[str, ...]) -> JsonSchema:
        """Narrow one part of the schema."""
        if schema is False:
            raise Endless
        node = schema if isinstance(schema, Mapping) else {}
        node = {key: value for key, value in node.items() if key not in _METADATA}
        if "$ref" in node:
            return self._reference(node, path)
        if "const" in node:
            return {"const": node["const"]}
        if "enum" in node:
            return {"enum": _of_type(node["enum"], node.get("type"))}
        if "allOf" in node:
            return self._all_of(node, path)
        for word in ("anyOf", "oneOf"):
            if word in node:
                rest = {key: value for key, value in node.items() if key != word}
                return self._either([_merge(rest, b) for b in node[word]], path)
        kind = node.get("type") or _guess(node)
        if isinstance(kind, list):
            return self._either([{**node, "type": one} for one in kind], path)
        return self._kinds(kind)(node, path)

    def _kinds(self, kind: str) -> Callable[[JsonSchema, tuple[str, ...]], JsonSchema]:
        return {
            "object": self._object,
            "array": self._array,
            "integer": lambda node, _: _integer(node),
            "number": lambda node, _: _number(node),
            "boolean": lambda _, __: {"type": "boolean"},
            "null": lambda _, __: {"type": "null"},
        }.get(kind, lambda node, _: self._string(node))

    def _reference(self, node: JsonSchema, path: tuple[str, ...]) -> JsonSchema:
        name = str(node["$ref"])
        if path.count(name) >= _DEPTH:
            raise Endless
        rest = {key: value for key, value in node.items() if key != "$ref"}
        return self.narrow(_merge(rest, _resolve(self._root, name)), (*path, name))

    def _all_of(self, node: JsonSchema, path: tuple[str, ...]) -> JsonSchema:
        merged = {key: value for key, value in node.items() if key != "allOf"}
        for part in node["allOf"]:
            name = part.get("$ref") if isinstance(part, Mapping) else None
            if name is None:
                merged = _merge(merged, part)
                continue
            if path.count(str(name)) >= _DEPTH:
                raise Endless
            path = (*path, str(name))
            merged = _merge(merged, _resolve(self._root, str(name)))
        return self.narrow(merged, path)

    def _either(self, branches: list[Any], path: tuple[str, ...]) -> JsonSchema:
        plain = [b for b in branches if not _is_too_clever(b)] or branches
        # "A number or a text" is how decimals are declared; a free text would seldom be one.
        if any(_kind(b) in ("number", "integer") for b in plain):
            plain = [b for b in plain if _kind(b) != "string"]
        options: list[JsonSchema] = []
        for branch in plain:
            try:
                options.append(self.narrow(branch, path))
            except Endless:
                continue
        if not options:
            raise Endless
        return options[0] if len(options) == 1 else {"anyOf": options}

    def _object(self, node: JsonSchema, path: tuple[str, ...]) -> JsonSchema:
        given = node.get("properties") or {}
        other = node.get("additionalProperties", True)
        required = list(node.get("required") or ())
        wanted = {**given, **{key: other for key in required if key not in given}}
        missing = int(node.get("minProperties") or 0) - len(wanted)
        extra = {f"item_{index + 1}": other for index in range(max(missing, 0))}
        if int(node.get("minProperties") or 0):
            required = [*required, *(key for key in [*wanted, *extra] if key not in required)]
        properties: dict[str, JsonSchema] = {}
        for key, value in {**wanted, **extra}.items():
            try:
                properties[key] = self.narrow(value, path)
            except Endless:
                if key in required:
                    raise
        return {
            "type": "object",
            "properties": properties,
            "required": [key for key in properties if key in required],
            "additionalProperties": False,
        }

    def _array(self, node: JsonSchema, path: tuple[str, ...]) -> JsonSchema:
        least = int(node.get("minItems") or 0)
        first = [self.narrow(part, path) for part in node.get("prefixItems") or ()]
        if first and least <= len(first):
            return _fixed(first)
        # Equal items would break `uniqueItems`, which the grammar cannot see.
        limit = 1 if node.get("uniqueItems") else self._limits.items
        most = max(least, min(int(node.get("maxItems", limit)), limit))
        try:
            items = self.narrow(node.get("items", True), path)
        except Endless:
            if least:
                raise
            return _fixed([])
        array = {"type": "array", "items": items, "minItems": least, "maxItems": most}
        return {**array, "prefixItems": first} if first else array

    def _string(self, node: JsonSchema) -> JsonSchema:
        # An empty text is what a small model likes best, and what helps nobody.
        least = max(int(node.get("minLength") or 0), 1)
        form = node.get("format")
        if form in _FORMATS:
            return {"type": "string", "format": form, "maxLength": _FORMATS[form]}
        limit = min(int(node.get("maxLength", self._limits.text)), self._limits.text)
        pattern = node.get("pattern")
        if isinstance(pattern, str) and not _TOO_CLEVER.search(pattern):
            # A pattern may need more signs than the tightest rung leaves.
            limit = int(node.get("maxLength", LONGEST_STRING))
            return {"type": "string", "pattern": pattern, "maxLength": max(least, limit)}
        least = least if node.get("maxLength") != 0 else 0
        return {"type": "string", "minLength": least, "maxLength": max(least, limit)}


def _fixed(parts: list[JsonSchema]) -> JsonSchema:
    size = len(parts)
    array: JsonSchema = {"type": "array", "items": {"type": "null"}, "maxItems": size}
    return {**array, "prefixItems": parts, "minItems": size} if parts else array


def _guess(node: JsonSchema) -> str:
    if node.keys() & {"properties", "required", "additionalProperties", "minProperties"}:
        return "object"
    if node.keys() & {"items", "prefixItems", "minItems", "maxItems"}:
        return "array"
    if node.keys() & {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"}:
        return "number"
    return "string"


def _merge(left: JsonSchema, right: Any) -> JsonSchema:
    """Join two schemas that both hold; the right one wins where a keyword cannot be joined."""
    if not isinstance(right, Mapping):
        return left
    merged = {**left, **right}
    for word in ("properties", "$defs"):
        if word in left and word in right:
            merged[word] = {**left[word], **right[word]}
    if "required" in left and "required" in right:
        merged["required"] = [*left["required"], *right["required"]]
    return merged


def _resolve(root: JsonSchema, reference: str) -> Any:
    node: Any = root
    for part in reference.removeprefix("#").strip("/").split("/") if reference != "#" else ():
        name = part.replace("~1", "/").replace("~0", "~")
        if not isinstance(node, Mapping) or name not in node:
            return {}
        node = node[name]
    return node


def _kind(schema: Any) -> object:
    return schema.get("type") if isinstance(schema, Mapping) and "enum" not in schema else None


def _is_too_clever(schema: Any) -> bool:
    pattern = schema.get("pattern") if isinstance(schema, Mapping) else None
    return isinstance(pattern, str) and bool(_TOO_CLEVER.search(pattern))


def _of_type(values: list[Any], kind: object) -> list[Any]:
    if not isinstance(kind, str):
        return values
    return [value for value in values if _is_of(value, kind)] or values


def _is_of(value: object, kind: str) -> bool:
    if isinstance(value, bool) or kind == "boolean":
        return isinstance(value, bool) and kind == "boolean"
    types: dict[str, tuple[type, ...]] = {
        "string": (str,),
        "integer": (int,),
        "number": (int, float),
        "null": (type(None),),
    }
    return isinstance(value, types.get(kind, (object,)))


@dataclass(frozen=True)
class _Range:
    """What a schema says of a number; None where it says nothing."""

    least: float | None
    most: float | None
    above: float | None
    below: float | None
    step: float | None

    @classmethod
    def of(cls, node: JsonSchema) -> "_Range":
        words = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
        given = (node.get(word) for word in words)
        return cls(*(v if isinstance(v, int | float) and v is not True else None for v in given))

    @property
    def low(self) -> float | None:
        return max((v for v in (self.least, self.above) if v is not None), default=None)

    @property
    def high(self) -> float | None:
        return min((v for v in (self.most, self.below) if v is not None), default=None)

    def __contains__(self, value: float) -> bool:
        return (
            (self.least is None or value >= self.least)
            and (self.most is None or value <= self.most)
            and (self.above is None or value > self.above)
            and (self.below is None or value < self.below)
        )


def _integer(node: JsonSchema) -> JsonSchema:
    span = _Range.of(node)
    if span.step is not None and span.step > 1:
        return _choices(span, span.step)
    low, high = span.low, span.high
    if low is None:
        low = 0 if high is None or high >= 0 else high - 9999
    start = math.ceil(low)
    end = math.floor(high) if high is not None else max(start, 0) + 9999
    start += start not in span
    end -= end not in span
    if start > end:
        raise Endless
    return {"type": "integer", "minimum": start, "maximum": end}


def _number(node: JsonSchema) -> JsonSchema:
    """Offer at most `MOST_CHOICES` round values: digits after the point have no natural end."""
    span = _Range.of(node)
    if span.step is not None and span.step > 0:
        return _choices(span, span.step)
    room = 16.0 if span.low is None or span.high is None else span.high - span.low
    steps = [step for step in (0.01, 0.05, 0.25, 1.0) if room / step <= MOST_CHOICES]
    return _choices(span, steps[0] if steps else room / (MOST_CHOICES - 1))


def _choices(span: _Range, step: float) -> JsonSchema:
    low, high = span.low, span.high
    if low is None:
        low = 0.0 if high is None or high >= 0 else high - step * (MOST_CHOICES - 1)
    first = math.ceil(low / step)
    grid = (round((first + index) * step, 6) for index in range(MOST_CHOICES))
    values = [value for value in grid if value in span]
    if not values and high is not None and span.step is None:
        values = [value for value in ((low + high) / 2, low, high) if value in span][:1]
    if not values:
        raise Endless
    return {"enum": [int(value) if value == int(value) else value for value in values]}


def _longest(schema: JsonSchema) -> int:
    """Count the signs of the longest compact document of a narrowed schema."""
    if "anyOf" in schema:
        return max(_longest(branch) for branch in schema["anyOf"])
    if "const" in schema or "enum" in schema:
        values = schema.get("enum", [schema.get("const")])
        return max((len(json.dumps(value)) for value in values), default=0)
    kind = schema["type"]
    if kind == "object":
        return 2 + sum(len(k) + 4 + _longest(v) for k, v in schema["properties"].items())
    if kind == "array":
        first = schema.get("prefixItems", [])
        more = max(schema["maxItems"] - len(first), 0)
        rest = more * (1 + _longest(schema["items"])) if more else 0
        return 2 + sum(1 + _longest(part) for part in first) + rest
    if kind == "integer":
        return max(len(str(schema["minimum"])), len(str(schema["maximum"])))
    return int(schema["maxLength"]) + 2 if kind == "string" else 5
