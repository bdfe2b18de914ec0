"""Reads an image's type and size from its first bytes, without an imaging library.

Independent of the product's decoder, so that an error there is not repeated here.
"""

import struct

MAX_JPEG_SEGMENTS = 2000


def content_type(content: bytes) -> str | None:
    """The type that the magic bytes name, of those that Shopify takes; else None."""
    if content.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if content[:6] in (b"GIF87a", b"GIF89a"):
        return "image/gif"
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "image/webp"
    if content[4:12] in (b"ftypheic", b"ftypheix", b"ftypmif1"):
        return "image/heic"
    return None


def size(content: bytes) -> tuple[int, int] | None:
    """Width and height in pixels, or None when the header does not hold together."""
    readers = {
        "image/jpeg": _jpeg,
        "image/png": _png,
        "image/gif": _gif,
        "image/webp": _webp,
        "image/heic": _heic,
    }
    try:
        found = readers[content_type(content) or ""](content)
    except (struct.error, IndexError, KeyError):
        return None
    return found if found is not None and min(found) > 0 else None


def _png(content: bytes) -> tuple[int, int] | None:
    if content[12:16] != b"IHDR":
        return None
    width, height = struct.unpack_from(">II", content, 16)
    return width, height


def _gif(content: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from("<HH", content, 6)
    return width, height


def _jpeg(content: bytes) -> tuple[int, int] | None:
    """Walk the segments to the frame header (ITU-T T.81 §B.2.2)."""
    at = 2
    for _ in range(MAX_JPEG_SEGMENTS):
        if content[at] != 0xFF:
            return None
        marker = content[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from(">HH", content, at + 5)
            return width, height
        elif marker in (0xD9, 0xDA):  # the picture begins or ends without a frame
            return None
        else:
            at += 2 + struct.unpack_from(">H", content, at + 2)[0]
    return None


def _webp(content: bytes) -> tuple[int, int] | None:
    """The first chunk says it (RFC 9649)."""
    match content[12:16]:
        case b"VP8X":
            width = int.from_bytes(content[24:27], "little") + 1
            height = int.from_bytes(content[27:30], "little") + 1
            return (width, height) if len(content) >= 30 else None
        case b"VP8 ":
            width, height = struct.unpack_from("<HH", content, 26)
            return width & 0x3FFF, height & 0x3FFF
        case b"VP8L":
            (bits,) = struct.unpack_from("<I", content, 21)
            return (bits & 0x3FFF) + 1, ((bits >> 14) & 0x3FFF) + 1
        case _:
            return None


def _heic(content: bytes) -> tuple[int, int] | None:
    """The first `ispe` box: the extent of the first item."""
    at = content.find(b"ispe")
    if at < 0:
        return None
    width, height = struct.unpack_from(">II", content, at + 8)
    return width, height
