"""Composites images in libvips, which streams them in strips.

As numpy arrays of floats a 4096 px square would take 900 MB; in libvips it takes a few rows.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyvips
from numpy.typing import NDArray

from backend.imaging.enlarge import enlarge
from backend.imaging.filters import Floats

# Shadows have no detail: they are computed on a quarter of the picture's side.
SHADE_SHRINK = 4


@dataclass(frozen=True)
class Placed:
    """A cut-out's place in a picture: (height, width, 4) uint8, scaled, then moved.

    `left` and `top` may be negative and the cut-out may leave the picture, which is `width` by
    `height` pixels.
    """

    rgba: NDArray[np.uint8]
    scale: float
    left: int
    top: int
    width: int
    height: int

    def layer(self) -> Any:
        """The whole picture as premultiplied float RGBA in 0..255, transparent around the cut-out.

        Premultiplied, or the black of transparent pixels would bleed into the edge when scaled.
        """
        image = pyvips.Image.new_from_array(self.rgba).copy(interpretation="srgb")
        drawn = image.premultiply().resize(self.scale, kernel="lanczos3")
        return drawn.embed(self.left, self.top, self.width, self.height)

    def on_paper(self, colour: str) -> Any:
        """The whole picture on paper of one colour (#rrggbb), in 8 bits.

        Before paper that is the same everywhere, to mix and then scale gives what scaling and then
        mixing would, for half the work and a fraction of the memory.
        """
        paper = list(rgb_of(colour))
        image = pyvips.Image.new_from_array(self.rgba).copy(interpretation="srgb")
        drawn = _scaled(image.flatten(background=paper), self.scale)
        return drawn.embed(
            self.left, self.top, self.width, self.height, extend="background", background=paper
        )

    def small_alpha(self) -> Floats:
        """(height / 4, width / 4) alpha in 0..1, rounded up: enough to make a shadow of."""
        alpha = pyvips.Image.new_from_array(np.ascontiguousarray(self.rgba[..., 3]))
        small = alpha.resize(self.scale / SHADE_SHRINK, kernel="linear").embed(
            round(self.left / SHADE_SHRINK),
            round(self.top / SHADE_SHRINK),
            -(-self.width // SHADE_SHRINK),
            -(-self.height // SHADE_SHRINK),
        )
        return np.asarray(small.numpy(), dtype=np.float32) / 255


def _scaled(image: Any, scale: float) -> Any:
    """In 8 bits. Only for shrinking libvips has fast code."""
    if scale > 1:
        return pyvips.Image.new_from_array(enlarge(image.numpy(), scale))
    return image.resize(scale, kernel="lanczos3")


def paper(width: int, height: int, colour: str) -> Any:
    """An image of one colour (#rrggbb)."""
    return pyvips.Image.black(width, height, bands=3) + list(rgb_of(colour))


def image(rgb: NDArray[np.uint8]) -> Any:
    """A (height, width, 3) array."""
    return pyvips.Image.new_from_array(rgb)


def rgb_of(colour: str) -> bytes:
    """Red, green and blue of #rrggbb."""
    return bytes.fromhex(colour.removeprefix("#"))


def over(layer: Any, ground: Any) -> Any:
    """P + (1 − α)·ground, in sRGB; both of the same size, `layer` premultiplied."""
    uncovered = 1 - layer[3] / 255
    return layer[0:3] + uncovered.bandjoin([uncovered, uncovered]) * ground


def darkened(ground: Any, shade: Floats) -> Any:
    """Take light from the ground: `shade` is the share taken, 0..1, at any smaller resolution."""
    small = pyvips.Image.new_from_array(np.ascontiguousarray(shade, dtype=np.float32))
    full = small.resize(
        ground.width / small.width, vscale=ground.height / small.height, kernel="linear"
    )
    return ground * (1 - full)


def pixels(image: Any) -> NDArray[np.uint8]:
    """Compute a picture: (height, width, 3) uint8."""
    rounded = image if image.format == "uchar" else image.rint().cast("uchar")
    return np.asarray(rounded.numpy())
