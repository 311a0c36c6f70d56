"""Vectors as blobs, and how near two of them are."""

import math
import struct
from collections.abc import Sequence
from operator import mul


def pack(vector: Sequence[float]) -> bytes:
    """Scale a vector to length 1 and write it as little-endian 32-bit floats."""
    length = math.sqrt(sum(map(mul, vector, vector)))
    scale = 1 / length if length and math.isfinite(length) else 0.0
    return struct.pack(f"<{len(vector)}f", *(value * scale for value in vector))


def cosine(one: bytes, other: bytes) -> float | None:
    """Return the cosine of two packed vectors, or None where their lengths differ."""
    if len(one) != len(other):
        return None
    count = len(one) // 4
    return math.fsum(map(mul, struct.unpack(f"<{count}f", one), struct.unpack(f"<{count}f", other)))
