"""COCOMO II.2000, post-architecture: person-months from size, and months from person-months.

Source of every number: Boehm et al., Software Cost Estimation with COCOMO II, Prentice Hall 2000
(the model's calibration on 161 projects), and the COCOMO II Model Definition Manual 2.1.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise

from swarm.core.errors import InvalidInput
from swarm.core.registry import nearest

HOURS_PER_MONTH = 152
"""Working hours of a person-month."""
SCHEDULE_FLOOR = 0.75
"""Nobody was seen to finish in less of the nominal time; SCED ends there."""
PROJECTS = 161
SOURCE = (
    "COCOMO II.2000, calibrated on 161 projects, 152 h a person-month: Boehm et al., Software Cost "
    "Estimation with COCOMO II, 2000."
)

_A, _B, _C, _D = 2.94, 0.91, 3.67, 0.28
LEVELS = ("very low", "low", "nominal", "high", "very high", "extra high")
_SHORT = {"vl": 0, "l": 1, "n": 2, "h": 3, "vh": 4, "xh": 5, "xl": 0}

SCALE: dict[str, tuple[float, ...]] = {
    "PREC": (6.20, 4.96, 3.72, 2.48, 1.24, 0.0),
    "FLEX": (5.07, 4.05, 3.04, 2.03, 1.01, 0.0),
    "RESL": (7.07, 5.65, 4.24, 2.83, 1.41, 0.0),
    "TEAM": (5.48, 4.38, 3.29, 2.19, 1.10, 0.0),
    "PMAT": (7.80, 6.24, 4.68, 3.12, 1.56, 0.0),
}
"""Scale factors: each adds a hundredth of itself to the exponent of size."""

EFFORT: dict[str, tuple[float | None, ...]] = {
    "RELY": (0.82, 0.92, 1.00, 1.10, 1.26, None),
    "DATA": (None, 0.90, 1.00, 1.14, 1.28, None),
    "CPLX": (0.73, 0.87, 1.00, 1.17, 1.34, 1.74),
    "RUSE": (None, 0.95, 1.00, 1.07, 1.15, 1.24),
    "DOCU": (0.81, 0.91, 1.00, 1.11, 1.23, None),
    "TIME": (None, None, 1.00, 1.11, 1.29, 1.63),
    "STOR": (None, None, 1.00, 1.05, 1.17, 1.46),
    "PVOL": (None, 0.87, 1.00, 1.15, 1.30, None),
    "ACAP": (1.42, 1.19, 1.00, 0.85, 0.71, None),
    "PCAP": (1.34, 1.15, 1.00, 0.88, 0.76, None),
    "PCON": (1.29, 1.12, 1.00, 0.90, 0.81, None),
    "APEX": (1.22, 1.10, 1.00, 0.88, 0.81, None),
    "PLEX": (1.19, 1.09, 1.00, 0.91, 0.85, None),
    "LTEX": (1.20, 1.09, 1.00, 0.91, 0.84, None),
    "TOOL": (1.17, 1.09, 1.00, 0.90, 0.78, None),
    "SITE": (1.22, 1.09, 1.00, 0.93, 0.86, 0.80),
    "SCED": (1.43, 1.14, 1.00, 1.00, 1.00, None),
}
"""Effort multipliers; None where the model has no such level."""

_SCHEDULE = (0.75, 0.85, 1.00, 1.30, 1.60)
"""What SCED's levels mean: share of the nominal time."""
_OLD_NAMES = {"AEXP": "APEX", "PEXP": "PLEX", "VEXP": "PLEX", "LEXP": "LTEX", "VIRT": "PVOL"}
"""Names of the model's earlier versions."""
_SANE = (0.2, 5.0)
"""A multiplier given as a number lies within."""


@dataclass(frozen=True, slots=True)
class Drivers:
    """What the drivers of a product come to."""

    exponent: float = _B + 0.01 * sum(levels[2] for levels in SCALE.values())
    multiplier: float = 1.0
    """Product of all effort multipliers but SCED's."""
    pressure: float = 1.0
    """SCED's multiplier."""
    time_share: float = 1.0
    """The schedule as a share of the nominal one."""
    named: int = 0
    """How many effort multipliers were given."""

    def months_of_work(self, ksloc: float) -> float:
        """Return person-months for thousands of source lines."""
        return self.pressure * self.months_of_calm_work(ksloc)

    def months_of_calm_work(self, ksloc: float) -> float:
        """Return person-months without any pressure of time."""
        return float(_A * ksloc**self.exponent * self.multiplier)

    def change(self, ksloc: float) -> float:
        """Return the factor by which the drivers change a nominal product of that size."""
        return self.months_of_work(ksloc) / Drivers().months_of_work(ksloc)

    @property
    def time_exponent(self) -> float:
        """Return the power of person-months with which time grows."""
        return _D + 0.2 * (self.exponent - _B)

    def nominal_months(self, months_of_work: float) -> float:
        """Return calendar months of a schedule without pressure."""
        return float(_C * months_of_work**self.time_exponent)

    @property
    def time_factor(self) -> float:
        """Return calendar months of one person-month of work, at this schedule."""
        return _C * self.time_share


def read_drivers(given: Mapping[str, object]) -> Drivers:
    """Return what drivers come to: each a level (`high`, `H`), or its factor as a number.

    Raises:
        InvalidInput: An unknown driver or level; the nearest one is named.
    """
    scale = {name: levels[2] for name, levels in SCALE.items()}
    effort: dict[str, float] = {}
    time_share = 1.0
    for written, value in given.items():
        name = _OLD_NAMES.get(str(written).strip().upper(), str(written).strip().upper())
        if name in effort or (name in SCALE and scale[name] != SCALE[name][2]):
            raise InvalidInput(f"drivers: {name} is given twice; keep one.")
        if name in SCALE:
            scale[name] = _factor(name, value, SCALE[name], least=0.0, most=10.0)
        elif name in EFFORT:
            effort[name] = _factor(name, value, EFFORT[name], least=_SANE[0], most=_SANE[1])
            if name == "SCED":
                time_share = _time_share(value, effort[name])
        else:
            raise InvalidInput(
                f"drivers: COCOMO II has no driver {name[:40]!r}{nearest(name, [*SCALE, *EFFORT])}"
            )
    pressure = effort.pop("SCED", 1.0)
    return Drivers(
        exponent=_B + 0.01 * sum(scale.values()),
        multiplier=math.prod(effort.values()),
        pressure=pressure,
        time_share=time_share,
        named=len(effort),
    )


def _factor(
    name: str, value: object, levels: tuple[float | None, ...], *, least: float, most: float
) -> float:
    if isinstance(value, str):
        found = levels[_level(name, value, levels)]
        assert found is not None
        return found
    is_number = isinstance(value, int | float | Decimal) and not isinstance(value, bool)
    if not is_number or not least <= float(str(value)) <= most:
        raise InvalidInput(
            f'drivers: {name} takes a level such as "high" or a number from {least:g} to {most:g}.'
        )
    return float(str(value))


def _level(name: str, written: str, levels: tuple[float | None, ...]) -> int:
    known = {word: index for index, word in enumerate(LEVELS) if levels[index] is not None}
    word = " ".join(written.casefold().replace("_", " ").replace("-", " ").split())
    index = known.get(word, _SHORT.get(word, -1))
    if index < 0 or levels[index] is None:
        raise InvalidInput(f"drivers: {name} has no level {written[:40]!r}{nearest(word, known)}")
    return index


def _time_share(value: object, multiplier: float) -> float:
    if isinstance(value, str):
        return _SCHEDULE[_level("SCED", value, EFFORT["SCED"])]
    # A multiplier above 1 is bought with time; the steps in between are taken as straight.
    steps = ((1.0, 1.0), (1.14, 0.85), (1.43, SCHEDULE_FLOOR))
    for (low, wide), (high, tight) in pairwise(steps):
        if low <= multiplier <= high:
            return wide + (tight - wide) * (multiplier - low) / (high - low)
    return 1.0 if multiplier < 1 else SCHEDULE_FLOOR
