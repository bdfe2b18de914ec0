"""Small copies of pictures, for lists that show many of them at once.

They are made for every job, so they are made for little: shrinking by whole pixels first (`gap`)
and WebP at effort 1 take half the time of libvips' defaults, for a tenth more bytes.
"""

from typing import Any

import numpy as np
import pyvips
from numpy.typing import NDArray

from backend.imaging.encode import saved

THUMBNAIL_SIDE = 512  # pixels, of the longer side: a card on a display of twice the density


def thumbnail(pixels: NDArray[np.uint8]) -> tuple[bytes, tuple[int, int]]:
    """WebP of (height, width, 3 or 4) sRGB, never enlarged; and its width and height."""
    image = pyvips.Image.new_from_array(pixels).copy(interpretation="srgb")
    scale = min(1.0, THUMBNAIL_SIDE / max(image.width, image.height))
    small = _resized(image, scale)
    return saved(small, ".webp", Q=80, effort=1), (small.width, small.height)


def _resized(image: Any, scale: float) -> Any:
    """Shrunk; what is transparent does not bleed its colour into what is not."""
    if not image.hasalpha():
        return image.resize(scale, gap=1.0)
    return image.premultiply().resize(scale, gap=1.0).unpremultiply().cast("uchar")
