"""What a file is, by its own first bytes, and what of it is not taken. Nothing of it is decoded."""

import struct
from dataclasses import dataclass

from swarm.core.errors import InvalidInput

MAX_PIXELS = 50_000_000
"""Most pixels of a picture: unpacked, each takes four bytes of whoever opens it."""
_MAGIC: tuple[tuple[bytes, int, str, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", 0, "image/png", "png"),
    (b"\xff\xd8\xff", 0, "image/jpeg", "jpg"),
    (b"GIF87a", 0, "image/gif", "gif"),
    (b"GIF89a", 0, "image/gif", "gif"),
    (b"WEBP", 8, "image/webp", "webp"),
    (b"WAVE", 8, "audio/wav", "wav"),
    (b"%PDF-", 0, "application/pdf", "pdf"),
    (b"OggS", 0, "audio/ogg", "ogg"),
    (b"ID3", 0, "audio/mpeg", "mp3"),
    (b"ftyp", 4, "video/mp4", "mp4"),
    (b"\x1aE\xdf\xa3", 0, "video/webm", "webm"),
    (b"\x1f\x8b", 0, "application/gzip", "gz"),
    (b"7z\xbc\xaf\x27\x1c", 0, "application/x-7z-compressed", "7z"),
    (b"PK\x03\x04", 0, "application/zip", "zip"),
)
_ALSO = {
    "jpg": {"jpeg", "jpe"}, "mp4": {"m4a", "m4v", "mov", "heic", "heif", "avif", "3gp"},
    "ogg": {"oga", "opus", "ogv"}, "webm": {"mkv", "weba"}, "gz": {"tgz"},
    "zip": {"docx", "xlsx", "pptx", "odt", "ods", "odp", "epub", "jar", "apk", "whl", "vsdx", "kmz"},
}  # fmt: skip
"""Other endings that a kind of bytes may have."""
_PROGRAMS = (b"\x7fELF", b"MZ", b"\xcf\xfa\xed\xfe", b"\xce\xfa\xed\xfe", b"\xca\xfe\xba\xbe")
_RUN = frozenset(
    {"exe", "msi", "bat", "cmd", "com", "scr", "dll", "apk", "jar", "dmg", "app", "lnk"}
)


@dataclass(frozen=True, slots=True)
class Kind:
    """What a file is."""

    mime: str
    ending: str
    """Without the dot; empty where the bytes say nothing of it."""


def sniff(content: bytes) -> Kind:
    """Return what a file is; text where it reads as such."""
    for magic, at, mime, ending in _MAGIC:
        if content[at : at + len(magic)] == magic:
            return Kind(mime, ending)
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return Kind("application/octet-stream", "")
    is_text = b"\0" not in content
    return Kind("text/plain", "") if is_text else Kind("application/octet-stream", "")


def checked(name: str, content: bytes) -> tuple[str, str]:
    """Return the name and the kind under which a file is kept: its ending is what its bytes are.

    Raises:
        InvalidInput: It is empty, a program, or a picture that is too large to be opened.
    """
    if not content:
        raise InvalidInput(f"{name} is empty.")
    kind = sniff(content)
    stem, dot, ending = name.rpartition(".")
    ending = ending.lower() if dot else ""
    is_script = ending in _RUN
    if is_script or content.startswith(_PROGRAMS):
        raise InvalidInput(f"{name} is a program, and I take none: send what it works on.")
    size = _size(content, kind.ending)
    if size is not None and size[0] * size[1] > MAX_PIXELS:
        raise InvalidInput(
            f"{name} has {size[0]:,} x {size[1]:,} pixels, more than {MAX_PIXELS // 10**6} million: "
            "send a smaller picture."
        )
    if kind.ending and ending != kind.ending and ending not in _ALSO.get(kind.ending, ()):
        # What opens it goes by its name; the name says what it is.
        return f"{stem if dot else name}.{kind.ending}", kind.mime
    return name, kind.mime


def _size(content: bytes, ending: str) -> tuple[int, int] | None:
    """Return width and height as the head of a picture states them; None where it does not."""
    try:
        if ending == "png":
            return struct.unpack_from(">II", content, 16)
        if ending == "gif":
            return struct.unpack_from("<HH", content, 6)
        if ending == "webp":
            return _webp(content)
        return _jpeg(content) if ending == "jpg" else None
    except struct.error:
        return None


def _webp(content: bytes) -> tuple[int, int] | None:
    if content[12:16] == b"VP8X":
        wide, high = content[24:27], content[27:30]
        return int.from_bytes(wide, "little") + 1, int.from_bytes(high, "little") + 1
    if content[12:16] == b"VP8L":
        (bits,) = struct.unpack_from("<I", content, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if content[12:16] == b"VP8 ":
        wide, high = struct.unpack_from("<HH", content, 26)
        return wide & 0x3FFF, high & 0x3FFF
    return None


def _jpeg(content: bytes) -> tuple[int, int] | None:
    """Walk from mark to mark to the one that begins the picture."""
    at = 2
    for _ in range(1_000):
        mark, length = struct.unpack_from(">HH", content, at)
        if mark >> 8 != 0xFF:
            return None
        if 0xFFC0 <= mark <= 0xFFCF and mark not in (0xFFC4, 0xFFC8, 0xFFCC):
            high, wide = struct.unpack_from(">HH", content, at + 5)
            return wide, high
        at += 2 + length
    return None
