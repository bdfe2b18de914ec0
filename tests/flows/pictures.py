"""Pictures that no photographer sends, made here byte by byte or block by block."""

import struct
import zlib
from functools import cache

import numpy as np
import pyvips

from tests.backend.imaging.files import png, srgb

SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="900" height="900"><script/></svg>'


@cache
def png_bomb(side: int = 30_000) -> bytes:
    """A small file that claims side × side pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + checksum

    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    rows = zlib.compress(b"\0" * (side // 8 + 1) * side, 9)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def tiny_jpeg(side: int = 40) -> bytes:
    """A picture too small to sell anything."""
    return bytes(pyvips.Image.black(side, side, bands=3).write_to_buffer(".jpg"))


def cut_out_shirt() -> bytes:
    """A red block on nothing, 600 × 800, standing left of the middle."""
    pixels = np.zeros((800, 600, 4), np.uint8)
    pixels[200:700, 100:400] = (190, 20, 30, 255)
    return png(srgb(pixels))
