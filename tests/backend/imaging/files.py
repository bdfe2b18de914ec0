"""Image files made by hand: hostile, odd and plain ones."""

import io
import struct
import zipfile
import zlib
from functools import cache

import numpy as np
import pyvips
from numpy.typing import NDArray


@cache
def photo(width: int = 800, height: int = 600) -> pyvips.Image:
    """A red disc left of the middle on light grey, so that a turn or a mirror shows."""
    y, x = np.mgrid[0:height, 0:width]
    disc = (x - width / 4) ** 2 + (y - height / 2) ** 2 < (height / 5) ** 2
    pixels = np.where(disc[..., None], [200, 30, 30], [236, 236, 234]).astype(np.uint8)
    return srgb(pixels)


def srgb(pixels: NDArray[np.uint8]) -> pyvips.Image:
    return pyvips.Image.new_from_array(pixels).copy(interpretation="srgb")


def grey(pixels: NDArray[np.uint8]) -> pyvips.Image:
    return pyvips.Image.new_from_array(np.ascontiguousarray(pixels))


def jpeg(image: pyvips.Image, quality: int = 92, **options: object) -> bytes:
    data: bytes = image.write_to_buffer(".jpg", Q=quality, **options)
    return data


def png(image: pyvips.Image) -> bytes:
    data: bytes = image.write_to_buffer(".png")
    return data


def located_jpeg() -> bytes:
    """Lying on its side (orientation 6), with a GPS position."""
    image = photo().copy()
    image.set_type(pyvips.GValue.gint_type, "orientation", 6)
    image.set_type(pyvips.GValue.gstr_type, "exif-ifd3-GPSLatitude", "47/1 22/1 0/1")
    image.set_type(pyvips.GValue.gstr_type, "exif-ifd0-Artist", "canary-artist")
    return jpeg(image)


def broken_jpeg() -> bytes:
    """The first part of a photo."""
    return jpeg(photo())[:9000]


def broken_png() -> bytes:
    """The first part of a photo."""
    return png(photo())[:1500]


def small_jpeg() -> bytes:
    """A photo that is one pixel too low for any job."""
    return jpeg(photo(900, 511))


@cache
def bomb_png(side: int = 30_000) -> bytes:
    """`side` × `side` black pixels of one bit: about 110 kB that unpack to 900 million pixels."""
    row = bytes(1 + (side + 7) // 8)
    packer = zlib.compressobj(9)
    packed = b"".join(packer.compress(row * 1000) for _ in range(side // 1000)) + packer.flush()
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", header)
        + _chunk(b"IDAT", packed)
        + _chunk(b"IEND", b"")
    )


def animated_png(frames: int = 2) -> bytes:
    """A still PNG whose first chunk after the header announces so many frames."""
    still = png(photo())
    control = _chunk(b"acTL", struct.pack(">II", frames, 0))
    after_header = 8 + 25
    return still[:after_header] + control + still[after_header:]


@cache
def animated_webp() -> bytes:
    frames = photo().join(photo().invert(), "vertical").copy()
    frames.set_type(pyvips.GValue.gint_type, "page-height", 600)
    data: bytes = frames.write_to_buffer(".webp")
    return data


def zip_tailed_png() -> bytes:
    """A PNG that is a ZIP archive too."""
    return png(photo()) + _archive()


def zip_tailed_jpeg() -> bytes:
    """A JPEG that is a ZIP archive too."""
    return jpeg(photo()) + _archive()


def _archive() -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as writer:
        writer.writestr("canary.html", "<script>alert(1)</script>")
    return archive.getvalue()


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
