"""Import what a command needs only when it runs."""

import gc
from importlib import import_module
from typing import Any


def load(target: str) -> Any:
    """Return what `module:name` stands for."""
    module, _, name = target.partition(":")
    return getattr(import_module(module), name)


def load_last(target: str) -> Any:
    """Load the part that works, after which no more is imported in bulk.

    Where `main` switched the collector of cycles off, it is switched on again here, with all that
    was imported put out of its sight: modules live as long as the process does.
    """
    found = load(target)
    if not gc.isenabled():
        gc.freeze()
        gc.enable()
    return found
