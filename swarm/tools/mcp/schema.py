"""Read the JSON schema a server gives for its arguments, flatten it, and hold arguments to it.

A schema is a stranger's text: it is bounded before anything looks into it, it may refer to nothing
outside itself, and no pattern in it is ever run by an engine that can be made to hang.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from swarm.core.text import shorten

MAX_SCHEMA_BYTES = 32 * 1024
MAX_DEPTH = 32
MAX_NODES = 5_000
"""Of the flattened schema: nested references could otherwise grow without bound."""
MAX_FAULTS = 5

# Keywords by what stands below them. All others hold data and are copied as they are.
_ONE = frozenset(
    [
        "items",
        "additionalItems",
        "additionalProperties",
        "not",
        "if",
        "then",
        "else",
        "contains",
        "propertyNames",
        "unevaluatedItems",
        "unevaluatedProperties",
        "contentSchema",
    ]
)
_LIST = frozenset(["allOf", "anyOf", "oneOf", "prefixItems", "items"])
_MAP = frozenset(["properties", "patternProperties", "dependentSchemas"])
_LEFT_OUT = frozenset(
    ["$defs", "definitions", "$id", "id", "$schema", "$anchor", "$comment", "$vocabulary", "title"]
)
_REFUSED = ("$dynamicRef", "$recursiveRef", "$dynamicAnchor", "$recursiveAnchor")
_NOTES = frozenset(["description", "default", "examples", "deprecated", "readOnly", "writeOnly"])
_ADDING = frozenset(["allOf", "anyOf", "oneOf", "if", "dependentSchemas", "patternProperties"])
_NAME_SIGNS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")


class SchemaRefusedError(Exception):
    """Say why a schema is not used, in words for the operator."""


def check_size(schema: Any) -> None:
    """Refuse what is too large or too deep to be looked into.

    Raises:
        SchemaRefusedError: It is.
    """
    nodes, level = 0, [schema]
    for _ in range(MAX_DEPTH):
        nodes += len(level)
        if nodes > MAX_NODES:
            raise SchemaRefusedError(f"the schema has more than {MAX_NODES:,} parts")
        level = [child for node in level for child in _children(node)]
        if not level:
            break
    else:
        raise SchemaRefusedError(f"the schema is nested deeper than {MAX_DEPTH} levels")
    size = len(json.dumps(schema, ensure_ascii=False).encode("utf-8", "surrogatepass"))
    if size > MAX_SCHEMA_BYTES:
        raise SchemaRefusedError(
            f"the schema has {size:,} bytes, the limit is {MAX_SCHEMA_BYTES:,}"
        )


def _children(node: Any) -> list[Any]:
    if isinstance(node, dict):
        return list(node.values())
    return node if isinstance(node, list) else []


def texts(node: Any) -> Iterator[str]:
    """Yield every text of a JSON value, the names of its fields too."""
    if isinstance(node, str):
        yield node
    elif isinstance(node, dict):
        yield from node
    for child in _children(node):
        yield from texts(child)


def flatten(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema without references and identifiers, and closed.

    Where a schema contains itself, the inner part allows anything: the server checks that. An
    argument without a name in the schema would reach the server past everybody who approved it,
    so where the schema says nothing of such arguments, there are none.

    Raises:
        SchemaRefusedError: Not a schema of an object, or one that cannot be flattened.
    """
    check_size(schema)
    _check_against_its_dialect(schema)
    flat = _Flattener(schema).walk(schema, ("#",))
    if not isinstance(flat, dict) or flat.get("type") != "object":
        raise SchemaRefusedError("the arguments must be an object (`type: object`)")
    flat.setdefault("properties", {})
    if "unevaluatedProperties" not in flat and not _ADDING & flat.keys():
        flat.setdefault("additionalProperties", False)
    check_size(flat)
    _check_names(flat)
    return flat


def _check_against_its_dialect(schema: dict[str, Any]) -> None:
    from jsonschema.exceptions import SchemaError

    if not isinstance(schema, dict):
        raise SchemaRefusedError("the schema is no object")
    try:
        _dialect(schema).check_schema(schema)
    except SchemaError as error:
        raise SchemaRefusedError(
            f"not a valid JSON schema: {shorten(error.message, 200)}"
        ) from error


def _dialect(schema: Mapping[str, Any]) -> Any:
    from jsonschema import Draft202012Validator
    from jsonschema.validators import validator_for

    named = schema.get("$schema")
    return validator_for(
        {"$schema": named} if isinstance(named, str) else {}, default=Draft202012Validator
    )


class _Flattener:
    """Put in the place of each reference what it names."""

    def __init__(self, root: dict[str, Any]) -> None:
        self._root = root
        self._nodes = 0

    def walk(self, node: Any, within: tuple[str, ...]) -> Any:
        """Flatten one schema; `within` are the references being followed."""
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise SchemaRefusedError(f"the schema has more than {MAX_NODES:,} parts when flattened")
        if not isinstance(node, dict):
            return node
        for keyword in _REFUSED:
            if keyword in node:
                raise SchemaRefusedError(f"the schema uses {keyword}, which cannot be flattened")
        own = {
            key: self._below(key, value, within)
            for key, value in node.items()
            if key not in _LEFT_OUT and key != "$ref"
        }
        if "$ref" not in node:
            return own
        return _joined(self._named(node["$ref"], within), own)

    def _below(self, key: str, value: Any, within: tuple[str, ...]) -> Any:
        if key in _MAP and isinstance(value, dict):
            return {name: self.walk(part, within) for name, part in value.items()}
        if key in _LIST and isinstance(value, list):
            return [self.walk(part, within) for part in value]
        return self.walk(value, within) if key in _ONE else value

    def _named(self, reference: Any, within: tuple[str, ...]) -> Any:
        if reference in within:
            return {}
        if not isinstance(reference, str) or not (reference == "#" or reference.startswith("#/")):
            raise SchemaRefusedError(
                f"the schema refers outside itself: {shorten(str(reference), 80)!r}"
            )
        if len(within) >= MAX_DEPTH:
            raise SchemaRefusedError(f"references are nested deeper than {MAX_DEPTH} levels")
        node: Any = self._root
        for step in reference.split("/")[1:]:
            step = step.replace("~1", "/").replace("~0", "~")
            if isinstance(node, list) and step.isdecimal() and int(step) < len(node):
                node = node[int(step)]
            elif isinstance(node, dict) and step in node:
                node = node[step]
            else:
                raise SchemaRefusedError(
                    f"the schema refers to what is not there: {shorten(reference, 80)!r}"
                )
        if not isinstance(node, dict | bool):
            raise SchemaRefusedError(f"{shorten(reference, 80)!r} is no schema")
        return self.walk(node, (*within, reference))


def _joined(named: Any, own: dict[str, Any]) -> Any:
    """Return what holds where a reference has neighbours: both do."""
    if not own:
        return named
    if isinstance(named, dict) and own.keys() <= _NOTES:
        return {**named, **own}
    return {"allOf": [named, own]}


def _check_names(node: Any) -> None:
    """Refuse fields that model providers would refuse, and references that hide in data."""
    if isinstance(node, dict):
        if "$ref" in node:
            raise SchemaRefusedError("the schema has a $ref where no schema stands")
        properties = node.get("properties")
        for name in properties if isinstance(properties, dict) else ():
            if not (0 < len(name) <= 64 and _NAME_SIGNS.issuperset(name)):
                raise SchemaRefusedError(
                    f"an argument is called {shorten(name, 80)!r}; names have at most 64 signs of "
                    "a-z, A-Z, 0-9, '_', '.', '-'"
                )
    for child in _children(node):
        _check_names(child)


class Shape:
    """A flattened schema, ready to hold arguments to it."""

    def __init__(self, raw: dict[str, Any]) -> None:
        """Take the schema as the server gave it.

        Raises:
            SchemaRefusedError: It is not used; the text says why.
        """
        self.schema = flatten(raw)
        checked = _checkable(self.schema)
        # Old dialects read `items` as a list, new ones `prefixItems`; the server says which.
        self._checker = _without_hanging(_dialect(raw))(checked)

    def faults(self, arguments: dict[str, Any]) -> list[str]:
        """Return what is wrong with the arguments, at most `MAX_FAULTS` sentences."""
        found: list[str] = []
        for error in self._checker.iter_errors(arguments):
            place = ".".join(str(part) for part in error.absolute_path)
            found.append(f"{place or 'arguments'}: {shorten(error.message, 200)}")
            if len(found) == MAX_FAULTS:
                break
        return found


def _checkable(node: Any) -> Any:
    """Return the schema without what costs more than it finds; the server checks that itself.

    `uniqueItems` compares each item with each. The names of `patternProperties` are matched by an
    engine that backtracks, and what is additional depends on them.
    """
    if isinstance(node, list):
        return [_checkable(item) for item in node]
    if not isinstance(node, dict):
        return node
    dropped = {"uniqueItems", "unevaluatedProperties"}
    if isinstance(node.get("patternProperties"), dict):
        dropped |= {"patternProperties", "additionalProperties"}
    return {
        key: {name: _checkable(part) for name, part in value.items()}
        if key in _MAP and isinstance(value, dict)
        else _checkable(value)
        if key in _ONE | _LIST
        else value
        for key, value in node.items()
        if key not in dropped
    }


def _without_hanging(dialect: Any) -> Any:
    """Return the dialect with patterns run by RE2, whose time is linear."""
    from jsonschema.validators import extend

    return extend(dialect, {"pattern": _pattern})  # type: ignore[no-untyped-call]  # untyped there


def _pattern(_: Any, pattern: str, instance: Any, __: Any) -> Iterator[Any]:
    import re2  # type: ignore[import-untyped]  # has no types
    from jsonschema.exceptions import ValidationError

    if not isinstance(instance, str):
        return
    options = re2.Options()
    options.log_errors = False
    try:
        compiled = re2.compile(pattern, options)
    except re2.error:
        # Look-ahead and the like: the server's engine knows it, and checks it.
        return
    if not compiled.search(instance):
        yield ValidationError(f"{instance!r} does not match {pattern!r}")
