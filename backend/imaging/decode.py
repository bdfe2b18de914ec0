"""Decodes untrusted images to sRGB pixels; refuses early, with messages for merchants.

The order matters: type by magic bytes, size in bytes, header, and only then pixels. libvips opens
lazily, so a 30,000 × 30,000 PNG of a few kilobytes is refused from its header and never unpacked.
"""

import hashlib
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import pyvips
from numpy.typing import NDArray

from backend.failures.images import (
    IMAGE_ANIMATED,
    IMAGE_CORRUPT,
    IMAGE_TOO_LARGE,
    IMAGE_TOO_SMALL,
    IMAGE_TYPE_UNSUPPORTED,
)
from backend.imaging.boxes import code_points_of, tiled_pixels_of
from backend.imaging.filters import Floats
from backend.imaging.formats import Format, ImageRefused, format_of
from backend.imaging.heic import decode_heic, read_header
from backend.imaging.png_chunks import chunks_before_pixels
from backend.imaging.png_colour import UnsupportedColours, profile_of_code_points, with_profile
from backend.imaging.source_type import DigitalSourceType, declared_generative
from backend.imaging.tiff import checked_tiff

# libvips' loaders: the class, and the function. HEIC has none here.
LOADERS: dict[Format, tuple[str, str]] = {
    "jpeg": ("Jpeg", "jpegload_buffer"),
    "png": ("Png", "pngload_buffer"),
    "webp": ("Webp", "webpload_buffer"),
    "gif": ("Nsgif", "gifload_buffer"),
    "tiff": ("Tiff", "tiffload_buffer"),
    "avif": ("Heif", "heifload_buffer"),
}
SHRUNK_ON_LOAD: frozenset[Format] = frozenset({"jpeg", "png", "webp"})
# Their decoder has turned them already, as the container says; EXIF says it again.
IN_HEIF_CONTAINER: frozenset[Format] = frozenset({"avif", "heic"})
MAX_BYTES = 25_000_000
MAX_PIXELS = 64_000_000
MAX_TILED_PIXELS = 2 * MAX_PIXELS  # tiles may reach beyond the picture's edge
MAX_SIDE = 12_000
MIN_SIDE = 512
# The master is 2048 px square: detail beyond that is paid for in memory and then thrown away.
WORK_SIDE = 2048


class Probe(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The image header; `width` and `height` are pixels as they are shown.

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
    """Upright sRGB pixels; `alpha` only if the source had one."""

    rgb: NDArray[np.uint8]
    alpha: Floats | None


def harden_libvips(*, threads: int = 1) -> None:
    """Allow the loaders above and nothing else, keep no cache; once per process, before any image.

    `block_untrusted_set` alone would block SVG only, hence the allow-list.
    """
    pyvips.cache_set_max(0)
    pyvips.concurrency_set(threads)
    pyvips.operation_block_set("VipsForeignLoad", True)
    for loader, _ in LOADERS.values():
        pyvips.operation_block_set(f"VipsForeignLoad{loader}", False)


def probe(data: bytes) -> Probe:
    """Read the header only. Raises `ImageRefused` for an image that we do not accept."""
    format_ = format_of(data)
    _check_bytes(data)
    _check_tiles(data, format_)
    width, height, xmp = _heic_facts(data) if format_ == "heic" else _facts(data, format_)
    return Probe(
        format=format_,
        width=width,
        height=height,
        bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        digital_source_type=declared_generative(xmp) if xmp else None,
    )


def decode(data: bytes, side: int = WORK_SIDE) -> DecodedImage:
    """Probe, then read every pixel: upright, sRGB, 8 bits, shrunk to `side` pixels if larger."""
    format_ = probe(data).format
    try:
        image = upright(data, format_, side, height=side, size="down")
        pixels = image.numpy()
    except pyvips.Error as error:
        raise unreadable(error) from error
    return _picture(pixels)


def decode_covering(data: bytes, *, width: int, height: int) -> NDArray[np.uint8]:
    """Probe, then read every pixel of the middle: (height, width, 3), nothing left uncovered."""
    format_ = probe(data).format
    try:
        image = upright(data, format_, width, height=height, crop="centre")
        if image.hasalpha():
            image = image.flatten(background=255).cast("uchar")
        pixels: NDArray[np.uint8] = image.numpy()
    except pyvips.Error as error:
        raise unreadable(error) from error
    return pixels


def upright(data: bytes, format_: Format, width: int, **options: Any) -> pyvips.Image:
    """The probed image, upright, in sRGB or sRGBA of 8 bits; `options` are of libvips' thumbnail.

    Pixels are read later: a damaged file raises `pyvips.Error` then, or `ImageRefused` now.
    """
    if format_ in SHRUNK_ON_LOAD:
        data = _with_declared_colours(data, format_)
        image = pyvips.Image.thumbnail_buffer(
            data,
            width,
            # Without it a truncated JPEG decodes to grey rows. The `fail_on` of thumbnail_buffer
            # itself does not reach the loader (libvips 8.18).
            option_string="fail_on=error",
            **_colour_management(_open(data, format_)),
            **options,
        )
    else:
        image = decode_heic(read_header(data)) if format_ == "heic" else _open(data, format_)
        is_heif = format_ in IN_HEIF_CONTAINER
        image = _with_code_points(image, data) if is_heif else image
        colours = _colour_management(image)
        image = image.thumbnail_image(width, no_rotate=is_heif, **colours, **options)
    return image.colourspace("srgb").cast("uchar")


def _heic_facts(data: bytes) -> tuple[int, int, bytes | None]:
    header = read_header(data)
    _check_pixels(header.width, header.height)
    return header.width, header.height, header.xmp


def _facts(data: bytes, format_: Format) -> tuple[int, int, bytes | None]:
    """Width and height as they are shown, and the XMP."""
    header = _open(data, format_)
    _check_still(data, format_, header)
    _check_pixels(header.width, header.height)
    xmp = header.get("xmp-data") if header.get_typeof("xmp-data") else None
    has_turn = header.get_typeof("orientation") != 0 and format_ not in IN_HEIF_CONTAINER
    if has_turn and header.get("orientation") >= 5:
        return header.height, header.width, xmp
    return header.width, header.height, xmp


def _check_bytes(data: bytes) -> None:
    if len(data) > MAX_BYTES:
        message = (
            f"The file has {len(data) / 1e6:.1f} MB; the limit is {MAX_BYTES / 1e6:.0f} MB. "
            "Save it with stronger compression and try again."
        )
        raise ImageRefused(IMAGE_TOO_LARGE.with_message(message))


def _check_tiles(data: bytes, format_: Format) -> None:
    """A small picture may be a grid that shows a huge one hundreds of times."""
    if format_ in IN_HEIF_CONTAINER and tiled_pixels_of(data, MAX_TILED_PIXELS) > MAX_TILED_PIXELS:
        raise ImageRefused(IMAGE_TOO_LARGE)


def _open(data: bytes, format_: Format) -> pyvips.Image:
    """Lazily, with libvips. Raises `ImageRefused`."""
    load = getattr(pyvips.Image, LOADERS[format_][1])
    try:
        # In order: otherwise libvips unpacks a large picture into a file, which no child may write.
        image = load(data, fail_on="error", access="sequential")
    except pyvips.Error as error:
        raise unreadable(error) from error
    return checked_tiff(data, image) if format_ == "tiff" else image


def _check_still(data: bytes, format_: Format, header: Any) -> None:
    """A TIFF's pages have been looked at; of an AVIF's pictures the primary one is taken."""
    if format_ in ("tiff", "avif"):
        return
    pages = header.get("n-pages") if header.get_typeof("n-pages") else 1
    if pages > 1 or (format_ == "png" and _is_animated_png(data)):
        raise ImageRefused(IMAGE_ANIMATED)


def _is_animated_png(data: bytes) -> bool:
    """libvips shows only an animated PNG's first frame and says nothing; one frame is a still."""
    return any(
        name == b"acTL" and int.from_bytes(content[:4]) > 1
        for name, content in chunks_before_pixels(data)
    )


def _with_declared_colours(data: bytes, format_: Format) -> bytes:
    """The file, with a profile wherever its colours are not sRGB. Raises `ImageRefused`."""
    if format_ != "png":
        return data
    try:
        return with_profile(data)
    except UnsupportedColours as error:
        raise _video_colours() from error


def _with_code_points(image: pyvips.Image, data: bytes) -> pyvips.Image:
    """The image with a profile for its container's code points, unless it has a profile."""
    code_points = code_points_of(data)
    if code_points is None or image.get_typeof("icc-profile-data") != 0 or image.bands < 3:
        return image
    try:
        profile = profile_of_code_points(*code_points)
    except UnsupportedColours as error:
        raise _video_colours() from error
    if profile is not None:
        image = image.copy()
        image.set_type(pyvips.GValue.blob_type, "icc-profile-data", profile)
    return image


def _video_colours() -> ImageRefused:
    message = "This image uses HDR or video colours. Export it as sRGB or Display P3 and try again."
    return ImageRefused(IMAGE_TYPE_UNSUPPORTED.with_message(message))


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


def _colour_management(header: Any) -> dict[str, str]:
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
