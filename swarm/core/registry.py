"""Find an implementation by name, and import its module only then."""

from collections.abc import Mapping
from difflib import get_close_matches
from importlib import import_module
from typing import Any

from swarm.core.errors import ConfigError


class Registry:
    """Names of one room's implementations, each as `module:Class`; adding one is adding a line."""

    def __init__(self, kind: str, entries: Mapping[str, str]) -> None:
        self.kind = kind
        self._entries = dict(entries)

    def names(self) -> list[str]:
        """Return the known names, sorted."""
        return sorted(self._entries)

    def load(self, name: str) -> Any:
        """Import and return what `name` stands for.

        Raises:
            ConfigError: Unknown name (the nearest known one is named), or its extra is missing.
        """
        if name not in self._entries:
            raise ConfigError(f"no {self.kind} {name!r}{nearest(name, self._entries)}")
        module, _, attribute = self._entries[name].partition(":")
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
