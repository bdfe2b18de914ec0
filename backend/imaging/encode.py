"""Encodes arrays to image files. Of metadata they have our own XMP at most, never a photo's GPS.

Intermediates are lossless PNG at a fast setting, since they are read back once or twice.
Finals are JPEG (for Shopify, which re-encodes for each browser), WebP and AVIF (for downloads).
"""

import base64
from typing import Any, Literal

import numpy as np
import pyvips
from numpy.typing import NDArray

from backend.imaging import filters
from backend.imaging.png_chunks import with_chunk
from backend.imaging.source_type import DigitalSourceType, xmp_packet

FinalFormat = Literal["jpeg", "webp", "avif"]

FINAL_OPTIONS: dict[FinalFormat, dict[str, Any]] = {
    # 4:4:4, because halved chroma frays a red sleeve against white. Optimised coding takes four
    # times as long for the same pixels in a fifth fewer bytes.
    "jpeg": {"Q": 88, "subsample_mode": "off"},
    # Effort 4 takes twice as long; at effort 2 a level of quality more has the same error.
    "webp": {"Q": 83, "effort": 2},
    # The default effort of 4 takes six times as long for a quarter less.
    "avif": {"Q": 70, "compression": "av1", "effort": 2, "subsample_mode": "off"},
}
# Stronger compression drops the grain that hides the steps of a long gradient, and bands appear.
SMOOTH_QUALITY: dict[FinalFormat, int] = {"jpeg": 88, "webp": 92, "avif": 80}
# WebP always halves the chroma. Smart subsampling makes up for it where vivid colours meet, and
# takes four times as long as the rest of the encoder: so only where this share of the blocks of
# 2 × 2 pixels spans so many levels of a colour difference. On a print with small flowers it is six
# times that share, and along the outline of a navy tee on white a sixth.
VIVID_LEVELS, VIVID_SHARE = 64, 1e-3
# Of an iTXt chunk: not compressed, without a language.
XMP_KEYWORD = b"XML:com.adobe.xmp" + bytes(5)
SUFFIXES: dict[FinalFormat, str] = {"jpeg": ".jpg", "webp": ".webp", "avif": ".avif"}


def encode_png(pixels: NDArray[np.uint8], source_type: DigitalSourceType | None = None) -> bytes:
    """Lossless PNG of (height, width[, 3 or 4]) sRGB or grey."""
    grey = pixels.ndim == 2
    image = pyvips.Image.new_from_array(pixels).copy(interpretation="b-w" if grey else "srgb")
    # Level 1 writes half as many bytes again, and takes as long when they are read back. A mask has
    # few levels: without a filter it is smaller, and takes half as long.
    return saved_png(image, source_type, compression=2, filter="none" if grey else "up")


def decode_own(data: bytes) -> NDArray[np.uint8]:
    """Decode a file that this module wrote; a damaged one raises `pyvips.Error`."""
    # In order: otherwise libvips decodes into memory of its own and copies all of it once more.
    image = pyvips.Image.new_from_buffer(data, "", fail_on="error", access="sequential")
    pixels: NDArray[np.uint8] = image.numpy()
    return pixels


def encode_final(
    master: NDArray[np.uint8],
    *,
    size: int,
    format_: FinalFormat,
    source_type: DigitalSourceType | None = None,
    smooth: bool = False,
) -> bytes:
    """The master with a longer side of `size` pixels, as JPEG q88, WebP q83 or AVIF q70.

    `smooth` is for pictures with long soft gradients, which need more.
    """
    image = pyvips.Image.new_from_array(master).copy(interpretation="srgb")
    if size != max(image.width, image.height):
        image = image.thumbnail_image(size, height=size)
    options = FINAL_OPTIONS[format_] | ({"Q": SMOOTH_QUALITY[format_]} if smooth else {})
    if format_ == "webp":
        image = image.copy_memory()  # it is read twice
        options |= {"smart_subsample": has_vivid_edges(image.numpy())}
    return saved(image, SUFFIXES[format_], source_type, **options)


def has_vivid_edges(rgb: NDArray[np.uint8]) -> bool:
    """Whether halved chroma would be seen in a (height, width, 3) picture."""
    height, width = (length // 2 * 2 for length in rgb.shape[:2])
    red, green, blue = np.moveaxis(rgb[:height, :width], -1, 0).astype(np.int16)
    vivid = np.zeros((height // 2, width // 2), dtype=bool)
    for colour in (red - green, blue - green):
        upper, lower = np.maximum(colour[::2], colour[1::2]), np.minimum(colour[::2], colour[1::2])
        span = np.maximum(upper[:, ::2], upper[:, 1::2]) - np.minimum(lower[:, ::2], lower[:, 1::2])
        vivid |= span > VIVID_LEVELS
    return filters.share(vivid) > VIVID_SHARE


def placeholder(picture: NDArray[np.uint8]) -> str:
    """A 32 px WebP as a data URI, about 300 characters, to show while the image loads."""
    image = pyvips.Image.new_from_array(picture).copy(interpretation="srgb")
    small = image.resize(32 / max(image.width, image.height), gap=1.0)
    return "data:image/webp;base64," + base64.b64encode(saved(small, ".webp", Q=50)).decode()


def saved_png(
    image: pyvips.Image, source_type: DigitalSourceType | None = None, **options: Any
) -> bytes:
    """Like `saved`. libvips would compress the XMP in a zTXt, where few programs look for it."""
    data = saved(image, ".png", **options)
    if source_type is None:
        return data
    return with_chunk(data, b"iTXt", XMP_KEYWORD + xmp_packet(source_type))


def saved(
    image: pyvips.Image,
    suffix: str,
    source_type: DigitalSourceType | None = None,
    **options: Any,
) -> bytes:
    """Encode with no metadata but the source type; `options` are of libvips' saver."""
    keep = "none"
    if source_type is not None:
        image, keep = image.copy(), "xmp"
        image.set_type(pyvips.GValue.blob_type, "xmp-data", xmp_packet(source_type))
    data: bytes = image.write_to_buffer(suffix, keep=keep, **options)
    return data
