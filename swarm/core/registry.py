"""Find an implementation by name, and import its module only then."""

from collections.abc import Mapping
from difflib import get_close_matches
from functools import cached_property
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from swarm.core.errors import ConfigError


class Registry:
    """Names of one room's implementations, each as `module:Class`; adding one is adding a line."""

    def __init__(self, kind: str, entries: Mapping[str, str], *, group: str | None = None) -> None:
        """Take our own implementations, and where other packages announce theirs.

        Args:
            kind: What is registered, for messages.
            entries: Ours, by name.
            group: Name of the entry points with which an installed package adds more; they never
                take the place of ours.
        """
        self.kind = kind
        self._own = dict(entries)
        self._group = group

    @cached_property
    def _entries(self) -> dict[str, str]:
        if self._group is None:
            return self._own
        added = {point.name: point.value for point in entry_points(group=self._group)}
        return added | self._own

    def names(self) -> list[str]:
        """Return the known names, sorted."""
        return sorted(self._entries)

    def load(self, name: str) -> Any:
        """Import and return what `name` stands for.

        Raises:
            ConfigError: Unknown name (the nearest known one is named), or its extra is missing.
        """
        target = self._own.get(name) or self._entries.get(name)
        if target is None:
            raise ConfigError(f"no {self.kind} {name!r}{nearest(name, self._entries)}")
        module, _, attribute = target.partition(":")
        try:
            return getattr(import_module(module), attribute)
        except ModuleNotFoundError as error:
            raise ConfigError(
                f"{self.kind} {name!r} needs the package {error.name!r}: pip install 'swarm[{name}]'"
            ) from error


def nearest(word: str, known: Any) -> str:
    """Return `; did you mean 'x'?`, or the list of what is known, for the end of a sentence."""
    options = sorted(str(k) for k in known)
    close = get_close_matches(word, options, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(options) or 'none'}"
