"""From arrays to files. No metadata survives: whatever a photo carried, GPS included, ends here.

Intermediates are lossless PNG at the fastest setting, since they are read back once or twice.
Finals are JPEG (for Shopify, which re-encodes for each browser) and WebP (for downloads).
"""

import base64
from typing import Any, Literal

import numpy as np
import pyvips
from numpy.typing import NDArray

FinalFormat = Literal["jpeg", "webp"]

# 4:4:4, because halved chroma frays a red sleeve against white.
FINAL_OPTIONS: dict[FinalFormat, dict[str, Any]] = {
    "jpeg": {"Q": 88, "subsample_mode": "off", "optimize_coding": True},
    "webp": {"Q": 82, "smart_subsample": True, "effort": 4},
}
SUFFIXES: dict[FinalFormat, str] = {"jpeg": ".jpg", "webp": ".webp"}


def encode_png(pixels: NDArray[np.uint8]) -> bytes:
    """Lossless PNG of (height, width[, 3 or 4]) sRGB or grey."""
    grey = pixels.ndim == 2
    image = pyvips.Image.new_from_array(pixels).copy(interpretation="b-w" if grey else "srgb")
    return _saved(image, ".png", compression=1, filter="up")


def decode_own(data: bytes) -> NDArray[np.uint8]:
    """Read back a file that this module wrote; a damaged one raises `pyvips.Error`."""
    pixels: NDArray[np.uint8] = pyvips.Image.new_from_buffer(data, "", fail_on="error").numpy()
    return pixels


def encode_final(master: NDArray[np.uint8], *, size: int, format_: FinalFormat) -> bytes:
    """The master at `size` pixels a side, as JPEG q88 or WebP q82."""
    image = pyvips.Image.new_from_array(master).copy(interpretation="srgb")
    if size != image.width:
        image = image.thumbnail_image(size)
    return _saved(image, SUFFIXES[format_], **FINAL_OPTIONS[format_])


def placeholder(master: NDArray[np.uint8]) -> str:
    """A 32 px WebP as a data URI, about 300 characters, to show while the image loads."""
    image = pyvips.Image.new_from_array(master).copy(interpretation="srgb").thumbnail_image(32)
    return "data:image/webp;base64," + base64.b64encode(_saved(image, ".webp", Q=50)).decode()


def _saved(image: pyvips.Image, suffix: str, **options: Any) -> bytes:
    data: bytes = image.write_to_buffer(suffix, keep="none", **options)
    return data
