"""TIFF: photos of 8 and 16 bits, as cameras and Photoshop write them.

TIFF can hold almost anything. What libvips would show in wrong colours is refused.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyvips

from backend.failures.images import IMAGE_ANIMATED
from backend.imaging.formats import ImageRefused, unsupported

Tags = dict[int, int]

SUBFILE_TYPE, COMPRESSION, PHOTOMETRIC, EXTRA_SAMPLES, DNG_VERSION = 254, 259, 262, 338, 50706
REDUCED = 1  # of the subfile type: a smaller version of another page
JPEG, YCBCR, CFA, LINEAR_RAW = 7, 6, 32803, 34892
ALPHAS = (1, 2)  # of the extra samples: premultiplied or not; 0 may mean anything
SIZES = {1: "B", 3: "H", 4: "I"}  # BYTE, SHORT, LONG
MAX_PAGES = 100
MAX_TAGS = 1000  # of a page
COLOUR_BANDS = {"b-w": 1, "grey16": 1, "srgb": 3, "rgb16": 3, "lab": 3, "labs": 3, "cmyk": 4}
INSTEAD = "Export the photo as TIFF with 8 or 16 bits in RGB, or as JPEG, and try again."


@dataclass(frozen=True)
class Layout:
    """How numbers are written: classic TIFF or BigTIFF, in one of two byte orders."""

    order: str
    count: str
    entry: str
    offset: str


def checked_tiff(data: bytes, image: Any) -> pyvips.Image:
    """The lazily opened first page, less what is neither colour nor transparency.

    Raises `ImageRefused` for several pages, for a camera's raw data and for other colours.
    """
    pages = list(_pages(data))
    if sum(not tags.get(SUBFILE_TYPE, 0) & REDUCED for tags in pages) > 1:
        message = "This TIFF has several pages. Export the product's photo alone and try again."
        raise ImageRefused(IMAGE_ANIMATED.with_message(message))
    tags = pages[0] if pages else {}
    photometric = tags.get(PHOTOMETRIC)
    if DNG_VERSION in tags or photometric in (CFA, LINEAR_RAW):
        raise unsupported("a camera's raw file", "Export the photo as JPEG and try again.")
    if photometric == YCBCR and tags.get(COMPRESSION) != JPEG:
        raise unsupported("a TIFF in YCbCr without JPEG compression", INSTEAD)
    is_photo = image.format in ("uchar", "ushort") or image.interpretation in ("lab", "labs")
    colours = COLOUR_BANDS.get(image.interpretation)
    if not is_photo or colours is None or image.bands < colours:
        raise unsupported("a TIFF with other data than a photo's", INSTEAD)
    has_alpha = image.bands > colours and tags.get(EXTRA_SAMPLES) in ALPHAS
    return image[: colours + has_alpha]


def _pages(data: bytes) -> Iterator[Tags]:
    """The numbers in each page's directory, as far as they hold together."""
    order = "<" if data[:2] == b"II" else ">"
    is_big = 43 in data[2:4]
    layout = Layout(order, *(("Q", "HHQ8s", "Q") if is_big else ("H", "HHI4s", "I")))
    try:
        (at,) = struct.unpack_from(order + layout.offset, data, 8 if is_big else 4)
        for _ in range(MAX_PAGES):
            if not at:
                return
            tags, at = _directory(data, at, layout)
            yield tags
    except (struct.error, OverflowError):
        return


def _directory(data: bytes, at: int, layout: Layout) -> tuple[Tags, int]:
    """The first number of each tag that has it in place, and where the next directory is."""
    (count,) = struct.unpack_from(layout.order + layout.count, data, at)
    at += struct.calcsize(layout.order + layout.count)
    entry = layout.order + layout.entry
    size, tags = struct.calcsize(entry), {}
    for index in range(min(count, MAX_TAGS)):
        tag, kind, length, value = struct.unpack_from(entry, data, at + index * size)
        if kind in SIZES and length * struct.calcsize(SIZES[kind]) <= len(value):
            (tags[tag],) = struct.unpack_from(layout.order + SIZES[kind], value)
    (following,) = struct.unpack_from(layout.order + layout.offset, data, at + count * size)
    return tags, following
