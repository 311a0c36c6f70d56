"""How long a sound is, as its container says, without decoding any of it."""

import struct
from decimal import Decimal

_PAGE = b"OggS"
_OPUS, _VORBIS = b"OpusHead", b"\x01vorbis"
OPUS_RATE = 48_000
"""Samples in a second by which Opus counts, whatever was recorded (RFC 7845)."""
LEAST_BYTES_PER_S = 750
"""Of the leanest voice that phones record, 6 kbit/s: it bounds the length of what cannot be read."""


def seconds_of(content: bytes) -> Decimal | None:
    """Return the length of an Ogg with Opus or Vorbis; None for anything else.

    The number of samples stands in the last page. Nothing of it is believed further than for a
    price: what is longer than its bytes could hold is taken for no Ogg.
    """
    last = content.rfind(_PAGE)
    if not content.startswith(_PAGE) or len(content) < 64 or last + 14 > len(content):
        return None
    head = content[27 + content[26] : 27 + content[26] + 32]
    (samples,) = struct.unpack_from("<q", content, last + 6)
    if head.startswith(_OPUS) and len(head) >= 12:
        (skipped,) = struct.unpack_from("<H", head, 10)
        rate = OPUS_RATE
        samples -= skipped
    elif head.startswith(_VORBIS) and len(head) >= 16:
        (rate,) = struct.unpack_from("<I", head, 12)
    else:
        return None
    if rate <= 0 or samples < 0 or samples / rate > len(content):
        return None
    return Decimal(samples) / Decimal(rate)


def at_most_s(content: bytes) -> Decimal:
    """Return a bound of how many seconds a sound is billed as."""
    return seconds_of(content) or Decimal(len(content)) / LEAST_BYTES_PER_S
