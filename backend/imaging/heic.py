"""iPhone photos (HEIC), decoded by libheif and libde265 where the extra `heic` is installed.

Only in a child process: a crafted file has crashed this decoder before.
"""

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import pyvips

from backend.failures.images import IMAGE_CORRUPT, IMAGE_TOO_LARGE
from backend.imaging.formats import ImageRefused, unsupported

MODES = {"L": 1, "LA": 2, "La": 2, "RGB": 3, "RGBA": 4, "RGBa": 4}  # bands; `a`: premultiplied


@dataclass(frozen=True)
class HeicHeader:
    """Pixels as they are shown, and the XMP; `image` has not been decoded yet."""

    width: int
    height: int
    xmp: bytes | None
    image: Any


def read_header(data: bytes) -> HeicHeader:
    """The primary picture's header. Raises `ImageRefused`, also if there is no decoder."""
    if find_spec("pi_heif") is None:
        raise unsupported(
            "an iPhone photo (HEIC), which this server does not read",
            "Export it as JPEG and try again. To take JPEG photos from now on, choose Settings › "
            "Camera › Formats › Most Compatible on the iPhone.",
        )
    import pi_heif  # noqa: PLC0415 - native code that only these files need

    pi_heif.options.DECODE_THREADS = 1
    pi_heif.options.THUMBNAILS = pi_heif.options.DEPTH_IMAGES = pi_heif.options.AUX_IMAGES = False
    try:
        file = pi_heif.open_heif(data)
        image = file[file.primary_index]
    except Exception as error:
        raise _unreadable(error) from error
    width, height = image.size
    return HeicHeader(width=width, height=height, xmp=image.info.get("xmp"), image=image)


def decode_heic(header: HeicHeader) -> pyvips.Image:
    """Every pixel, in 8 or 16 bits, with its ICC profile.

    libheif applies the container's turn and mirror. An orientation in EXIF repeats them, and is
    therefore ignored, as the standard demands.
    """
    source = header.image
    try:
        data = bytes(source.data)  # a copy: this memory ends with its object, libvips reads later
    except Exception as error:
        raise _unreadable(error) from error
    mode, _, bits = source.mode.partition(";")
    if source.size != (header.width, header.height) or mode not in MODES or not data:
        raise ImageRefused(IMAGE_CORRUPT)
    kind = "ushort" if bits else "uchar"
    image = pyvips.Image.new_from_memory(data, *source.size, MODES[mode], kind)
    image = image.copy(interpretation=_interpretation(MODES[mode], is_deep=bool(bits)))
    if mode.endswith("a"):
        image = image.unpremultiply().cast(kind)
    if profile := source.info.get("icc_profile"):
        image.set_type(pyvips.GValue.blob_type, "icc-profile-data", profile)
    return image


def _interpretation(bands: int, *, is_deep: bool) -> str:
    if bands < 3:
        return "grey16" if is_deep else "b-w"
    return "rgb16" if is_deep else "srgb"


def _unreadable(error: Exception) -> Exception:
    """pi-heif raises several types, and says in words what libheif did not like."""
    if "security limit" in str(error).lower():
        return ImageRefused(IMAGE_TOO_LARGE)
    if isinstance(error, MemoryError) or "memory" in str(error).lower():
        return MemoryError(str(error))
    return ImageRefused(IMAGE_CORRUPT)
