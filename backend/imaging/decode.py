"""Decodes untrusted images to sRGB pixels; refuses early, with messages for merchants.

The order matters: type by magic bytes, size in bytes, header, and only then pixels. libvips opens
lazily, so a 30,000 × 30,000 PNG of a few kilobytes is refused from its header and never unpacked.
"""

import hashlib
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
import numpy as np
import pyvips
from numpy.typing import NDArray

from backend.failures.codes import (
    IMAGE_ANIMATED,
    IMAGE_CORRUPT,
    IMAGE_TOO_LARGE,
    IMAGE_TOO_SMALL,
    IMAGE_TYPE_UNSUPPORTED,
)
from backend.failures.registry import Failed
from backend.imaging.filters import Floats
from backend.imaging.png_chunks import chunks_before_pixels
from backend.imaging.png_colour import UnsupportedColours, with_profile
from backend.imaging.source_type import DigitalSourceType, declared_generative

Format = Literal["jpeg", "png", "webp"]

LOADERS = {"jpeg": "Jpeg", "png": "Png", "webp": "Webp"}
MAX_BYTES = 25_000_000
MAX_PIXELS = 64_000_000
MAX_SIDE = 12_000
MIN_SIDE = 512
# The master is 2048 px square: detail beyond that is paid for in memory and then thrown away.
WORK_SIDE = 2048


class ImageRefused(Failed):
    """The image cannot be used; the failure's message says what to do about it."""


class Probe(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The image header; `width` and `height` are pixels after EXIF orientation.

    `digital_source_type` is set if the photo declares that a generative model had a part in it.
    """

    format: Format
    width: int
    height: int
    bytes: int
    sha256: str
    digital_source_type: DigitalSourceType | None = None


@dataclass(frozen=True)
class DecodedImage:
    """Upright sRGB pixels of at most `WORK_SIDE` a side; `alpha` only if the source had one."""

    rgb: NDArray[np.uint8]
    alpha: Floats | None


def harden_libvips(*, threads: int = 1) -> None:
    """Allow three loaders and nothing else, keep no cache; once per process, before any image.

    `block_untrusted_set` alone still lets GIF and TIFF through, hence the allow-list.
    """
    pyvips.cache_set_max(0)
    pyvips.concurrency_set(threads)
    pyvips.operation_block_set("VipsForeignLoad", True)
    for loader in LOADERS.values():
        pyvips.operation_block_set(f"VipsForeignLoad{loader}", False)


def probe(data: bytes) -> Probe:
    """Read the header only. Raises `ImageRefused` for an image that we do not accept."""
    format_ = _sniff(data)
    _check_bytes(data)
    header = open_header(data, format_)
    _check_still(data, format_, header)
    _check_pixels(header.width, header.height)
    turned = header.get_typeof("orientation") != 0 and header.get("orientation") >= 5
    width, height = (header.height, header.width) if turned else (header.width, header.height)
    return Probe(
        format=format_,
        width=width,
        height=height,
        bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        digital_source_type=_declared_type(header),
    )


def decode(data: bytes) -> DecodedImage:
    """Probe, then read every pixel: upright, sRGB, 8 bits, shrunk to `WORK_SIDE` if larger."""
    format_ = probe(data).format
    data = with_declared_colours(data, format_)
    header = open_header(data, format_)
    try:
        image = pyvips.Image.thumbnail_buffer(
            data,
            WORK_SIDE,
            height=WORK_SIDE,
            size="down",
            # Without it a truncated JPEG decodes to grey rows. The `fail_on` of thumbnail_buffer
            # itself does not reach the loader (libvips 8.18).
            option_string="fail_on=error",
            **colour_management(header),
        )
        pixels = image.colourspace("srgb").cast("uchar").numpy()
    except pyvips.Error as error:
        raise unreadable(error) from error
    return _picture(pixels)


def decode_covering(data: bytes, *, width: int, height: int) -> NDArray[np.uint8]:
    """Probe, then read every pixel of the middle: (height, width, 3), nothing left uncovered."""
    format_ = probe(data).format
    data = with_declared_colours(data, format_)
    header = open_header(data, format_)
    try:
        image = pyvips.Image.thumbnail_buffer(
            data,
            width,
            height=height,
            crop="centre",
            option_string="fail_on=error",
            **colour_management(header),
        ).colourspace("srgb")
        if image.hasalpha():
            image = image.flatten(background=255)
        pixels: NDArray[np.uint8] = image.cast("uchar").numpy()
    except pyvips.Error as error:
        raise unreadable(error) from error
    return pixels


def _sniff(data: bytes) -> Format:
    if data.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    raise ImageRefused(IMAGE_TYPE_UNSUPPORTED)


def _check_bytes(data: bytes) -> None:
    if len(data) > MAX_BYTES:
        message = (
            f"The file has {len(data) / 1e6:.1f} MB; the limit is {MAX_BYTES / 1e6:.0f} MB. "
            "Save it with stronger compression and try again."
        )
        raise ImageRefused(IMAGE_TOO_LARGE.with_message(message))


def open_header(data: bytes, format_: Format) -> Any:
    load = getattr(pyvips.Image, f"{format_}load_buffer")
    try:
        return load(data, fail_on="error")
    except pyvips.Error as error:
        raise unreadable(error) from error


def _check_still(data: bytes, format_: Format, header: Any) -> None:
    pages = header.get("n-pages") if header.get_typeof("n-pages") else 1
    if pages > 1 or (format_ == "png" and _is_animated_png(data)):
        raise ImageRefused(IMAGE_ANIMATED)


def _is_animated_png(data: bytes) -> bool:
    """libvips shows only an animated PNG's first frame and says nothing; one frame is a still."""
    return any(
        name == b"acTL" and int.from_bytes(content[:4]) > 1
        for name, content in chunks_before_pixels(data)
    )


def _declared_type(header: Any) -> DigitalSourceType | None:
    return declared_generative(header.get("xmp-data")) if header.get_typeof("xmp-data") else None


def with_declared_colours(data: bytes, format_: Format) -> bytes:
    """The file, with a profile wherever its colours are not sRGB. Raises `ImageRefused`."""
    if format_ != "png":
        return data
    try:
        return with_profile(data)
    except UnsupportedColours as error:
        message = (
            "This PNG uses HDR or video colours. Export it as sRGB or Display P3 and try again."
        )
        raise ImageRefused(IMAGE_TYPE_UNSUPPORTED.with_message(message)) from error


def _check_pixels(width: int, height: int) -> None:
    size = f"{width:,} × {height:,} pixels"
    if width > MAX_SIDE or height > MAX_SIDE or width * height > MAX_PIXELS:
        message = (
            f"The image has {size}; the limit is {MAX_SIDE:,} a side and "
            f"{MAX_PIXELS // 1_000_000} megapixels. Make it smaller and try again."
        )
        raise ImageRefused(IMAGE_TOO_LARGE.with_message(message))
    if min(width, height) < MIN_SIDE:
        message = (
            f"The image has {size}; its shorter side needs at least {MIN_SIDE}. "
            "Upload a larger photo."
        )
        raise ImageRefused(IMAGE_TOO_SMALL.with_message(message))


def colour_management(header: Any) -> dict[str, str]:
    """Convert only images that are not sRGB: lcms takes ten times as long as decoding."""
    foreign = header.get_typeof("icc-profile-data") != 0 or header.interpretation == "cmyk"
    return {"output_profile": "srgb"} if foreign else {}


def _picture(pixels: NDArray[np.uint8]) -> DecodedImage:
    """Split off the alpha channel; a fully opaque one is dropped."""
    if pixels.shape[2] == 3:
        return DecodedImage(rgb=pixels, alpha=None)
    alpha = pixels[..., 3]
    rgb = np.ascontiguousarray(pixels[..., :3])
    if alpha.min() == 255:
        return DecodedImage(rgb=rgb, alpha=None)
    return DecodedImage(rgb=rgb, alpha=alpha.astype(np.float32) / 255)


def unreadable(error: pyvips.Error) -> Exception:
    """The error for a `pyvips.Error`, which means a bad file or that memory ran out."""
    if "out of memory" in str(error):
        return MemoryError(str(error))
    return ImageRefused(IMAGE_CORRUPT)
