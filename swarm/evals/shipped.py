"""Where the scenario packs lie that came with the package."""

from pathlib import Path

import swarm
from swarm.core.errors import InvalidInput


def packs() -> Path:
    """Return the folder of the packs: in the package, or in the checkout beside it.

    Raises:
        InvalidInput: They are not there.
    """
    inside = Path(swarm.__file__).parent / "evals" / "scenarios"
    beside = Path(swarm.__file__).parents[1] / "tests" / "scenarios"
    for place in (inside, beside):
        if place.is_dir():
            return place
    raise InvalidInput("The packs are not installed: name a folder of scenarios instead.")
