"""Pictures that go to a hosted provider and come from one: painted anew both ways.

What goes out has nothing of the merchant's file but its pixels: no position, camera or author. What
comes in is untrusted, as an upload is, although we paid for it.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyvips
from numpy.typing import NDArray

from backend.failures.codes import PROVIDER_OUTPUT_INVALID
from backend.failures.images import (
    IMAGE_ANIMATED,
    IMAGE_CORRUPT,
    IMAGE_TOO_LARGE,
    IMAGE_TOO_SMALL,
    IMAGE_TYPE_UNSUPPORTED,
)
from backend.imaging.decode import WORK_SIDE, Probe, probe, unreadable, upright
from backend.imaging.encode import saved
from backend.imaging.formats import Format, ImageRefused
from backend.imaging.normalise import STORED_SIDE, small_jpeg, upright_within
from backend.imaging.source_type import DigitalSourceType

# What the providers say they write. Each further decoder is one more to attack.
OUTPUT_FORMATS: frozenset[Format] = frozenset({"jpeg", "png", "webp"})
# The second only for pictures that are all grain.
OUTPUT_QUALITIES = (95, 80)
# A picture is blank if all but this share of its pixels are within so many levels of each other:
# safety filters deliver a black one. A studio backdrop has a fall-off of light, of 10 and more.
STRAY, BLANK_LEVELS = 0.002, 3
BLANK_SIDE = 256
FAULTS = {
    IMAGE_ANIMATED.code: "it is animated",
    IMAGE_CORRUPT.code: "it is damaged or incomplete",
    IMAGE_TOO_LARGE.code: "it has too many bytes or pixels",
    IMAGE_TOO_SMALL.code: "its shorter side has fewer than 512 pixels",
    IMAGE_TYPE_UNSUPPORTED.code: "it is not a JPEG, PNG or WebP that we can read",
}


@dataclass(frozen=True)
class PaintedJpeg:
    """A new JPEG of `width` × `height` pixels, and what the header of the `source` said."""

    data: bytes
    width: int
    height: int
    source: Probe


def prepared_jpeg(data: bytes) -> PaintedJpeg:
    """An untrusted photo for a provider: at most 2048 px a side, on white, without any metadata.

    Raises `ImageRefused`.
    """
    source = probe(data)
    try:
        pixels = upright(data, source.format, WORK_SIDE, height=WORK_SIDE, size="down")
        pixels = on_white(pixels).copy_memory()
    except pyvips.Error as error:
        raise unreadable(error) from error
    encoded = saved(pixels, ".jpg", Q=92, subsample_mode="off", optimize_coding=True)
    return PaintedJpeg(encoded, pixels.width, pixels.height, source)


def received_jpeg(data: bytes) -> PaintedJpeg:
    """A provider's picture, painted anew, at most 4096 px a side and on white.

    The file says that a model made it. Raises `ImageRefused` with `PROVIDER_OUTPUT_INVALID`.
    """
    try:
        source = probe(data)
        if source.format not in OUTPUT_FORMATS:
            raise ImageRefused(IMAGE_TYPE_UNSUPPORTED)
        pixels = on_white(upright_within(STORED_SIDE, data, source))
    except ImageRefused as refused:
        raise invalid_output(FAULTS[refused.code]) from refused
    if is_blank(_small(pixels)):
        raise invalid_output("it shows nothing")
    label = DigitalSourceType.TRAINED_ALGORITHMIC_MEDIA
    encoded = small_jpeg(pixels, source.digital_source_type or label, OUTPUT_QUALITIES)
    return PaintedJpeg(encoded, pixels.width, pixels.height, source)


def invalid_output(why: str) -> ImageRefused:
    """The refusal of what a provider delivered."""
    message = f"The provider delivered no usable picture: {why}."
    return ImageRefused(PROVIDER_OUTPUT_INVALID.with_message(message))


def is_blank(rgb: NDArray[np.uint8]) -> bool:
    """Whether a (height, width, 3) picture is one colour throughout."""
    levels = rgb.reshape(-1, 3)
    low, high = np.quantile(levels, (STRAY, 1 - STRAY), axis=0)
    return bool((high - low).max() <= BLANK_LEVELS)


def on_white(image: Any) -> Any:
    """The picture, with white wherever it is transparent."""
    return image.flatten(background=255).cast("uchar") if image.hasalpha() else image


def _small(image: pyvips.Image) -> NDArray[np.uint8]:
    small: NDArray[np.uint8] = image.thumbnail_image(BLANK_SIDE, height=BLANK_SIDE).numpy()
    return small
