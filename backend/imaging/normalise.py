"""Re-encodes an untrusted upload: upright sRGB pixels in a new file, without its metadata.

Whatever else the merchant's file carried (position, camera, thumbnails, a colour profile, an
archive behind the last pixel) stays behind, since only pixels are written, and that a generative
model had a part in them if the file says so. No net is asked: this is
what happens to a file before anybody knows what it shows.
"""

from dataclasses import dataclass
from typing import Any

import pyvips

from backend.imaging.decode import (
    MAX_BYTES,
    MIN_SIDE,
    WORK_SIDE,
    Probe,
    probe,
    unreadable,
    upright,
)
from backend.imaging.encode import saved, saved_png
from backend.imaging.source_type import DigitalSourceType

# The largest picture we deliver; a background behind it can use as many pixels and no more.
STORED_SIDE = 4096
# The second only for pictures that are all grain, which the first would blow up beyond `MAX_BYTES`.
JPEG_QUALITIES = (92, 75)


@dataclass(frozen=True)
class Normalised:
    """A new file of `width` × `height` pixels, and what the header of the `source` said."""

    data: bytes
    content_type: str
    width: int
    height: int
    source: Probe


def normalise(data: bytes) -> Normalised:
    """Re-encode an untrusted image of any format that we read; else raise `ImageRefused`.

    The longer side is at most `STORED_SIDE`. JPEG q92 at 4:4:4 without transparency. With it, PNG
    of at most `WORK_SIDE`: a transparent picture is a product, which no later stage looks at any
    larger, and at that size even noise stays below `MAX_BYTES`. Lossless WebP came out a third
    smaller and took three times as long, for a file that is kept only until the job is done.
    """
    source = probe(data)
    pixels = upright_within(STORED_SIDE, data, source)
    if pixels.hasalpha() and pixels[3].min() == 255:
        pixels = pixels[:3]  # a fully opaque channel says nothing
    if pixels.hasalpha():
        pixels = _shrunk(pixels)
        content_type, encoded = "image/png", _png(pixels, source)
    else:
        encoded = small_jpeg(pixels, source.digital_source_type, JPEG_QUALITIES)
        content_type = "image/jpeg"
    return Normalised(encoded, content_type, pixels.width, pixels.height, source)


def upright_within(side: int, data: bytes, source: Probe) -> Any:
    """The probed picture, upright, in 8-bit sRGB or sRGBA, its longer side at most `side`.

    It is in memory, since it is read twice: for its alpha and for good. A banner stops at a shorter
    side of `MIN_SIDE`. Raises `ImageRefused`.
    """
    width, height = _within(side, source.width, source.height)
    try:
        # `force`, to the pixel: `down` would round the shorter side under `MIN_SIDE`.
        return upright(data, source.format, width, height=height, size="force").copy_memory()
    except pyvips.Error as error:
        raise unreadable(error) from error


def _within(side: int, width: int, height: int) -> tuple[int, int]:
    """Width and height shrunk to a longer side of `side`.

    A banner stops at a shorter side of `MIN_SIDE`, or the next stage would refuse what this one
    made; it has few pixels anyhow.
    """
    scale = min(1.0, max(side / max(width, height), MIN_SIDE / min(width, height)))
    return round(width * scale), round(height * scale)


def _shrunk(pixels: Any) -> Any:
    width, height = _within(WORK_SIDE, pixels.width, pixels.height)
    if width == pixels.width:
        return pixels
    return pixels.thumbnail_image(width, height=height, size="force").copy_memory()


def _png(pixels: Any, source: Probe) -> bytes:
    return saved_png(pixels, source.digital_source_type, compression=6, filter="all")


def small_jpeg(
    pixels: Any, source_type: DigitalSourceType | None, qualities: tuple[int, ...]
) -> bytes:
    """4:4:4 at the first of the `qualities` with which it has at most `MAX_BYTES`, or the last."""
    for quality in qualities:
        data = saved(pixels, ".jpg", source_type, Q=quality, subsample_mode="off")
        if len(data) <= MAX_BYTES:
            break
    return data
