"""A PNG's chunks: those before the pixels, and one more right after the header."""

import struct
import zlib
from collections.abc import Iterator

SIGNATURE = 8  # bytes
END_OF_HEADER = 33  # bytes: the signature and the chunk IHDR


def chunks_before_pixels(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Name and content of each chunk up to IDAT, as far as they are whole."""
    at = SIGNATURE
    while at + 8 <= len(data) and (name := data[at + 4 : at + 8]) != b"IDAT":
        length = int.from_bytes(data[at : at + 4])
        yield name, data[at + 8 : at + 8 + length]
        at += 12 + length


def with_chunk(data: bytes, name: bytes, content: bytes) -> bytes:
    """The PNG with this chunk as its second."""
    checked = name + content
    chunk = struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))
    return data[:END_OF_HEADER] + chunk + data[END_OF_HEADER:]
