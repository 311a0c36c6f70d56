"""Import a library without what it would load along for uses that this program has none of."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from threading import get_ident
from typing import Any


@contextmanager
def importing_without(*names: str) -> Iterator[None]:
    """Make optional packages unfindable for what this thread imports until the block is left.

    Whatever other threads import meanwhile, and whoever imports the same packages later, finds them;
    so does this thread where one of them is loaded already.

    Args:
        names: Names of top-level packages that the imported library knows how to live without.
    """
    finder = _Missing(frozenset(names), get_ident())
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


class _Missing:
    """The finder of modules that says of some that they are not there."""

    def __init__(self, names: frozenset[str], thread: int) -> None:
        self._names = names
        self._thread = thread

    def find_spec(self, name: str, *_: Any) -> ModuleSpec | None:
        if name in self._names and get_ident() == self._thread:
            raise ModuleNotFoundError(f"{name} is left out on purpose", name=name)
        return None
