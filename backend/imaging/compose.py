"""Place a cut-out on a square of one colour, as shop catalogues want it.

The product is centred and fills the square less a margin. On a side where the photo cut the product
off there is no margin: a cut edge floating in white would look like a mistake.
"""

from dataclasses import dataclass

import msgspec
import numpy as np
import pyvips
from numpy.typing import NDArray

from backend.imaging import filters
from backend.imaging.quality import Side, touched_sides


class Framing(msgspec.Struct, frozen=True, kw_only=True):
    """How the product sits in the square: `scale` is its enlargement, 1.0 being the photo's own."""

    size: int
    margin: float
    background: str
    scale: float
    upscaled: bool
    touches_edge: list[Side]


@dataclass(frozen=True)
class Master:
    """`rgb`: (size, size, 3) uint8 sRGB."""

    rgb: NDArray[np.uint8]
    framing: Framing


def compose(rgba: NDArray[np.uint8], *, size: int, margin: float, background: str) -> Master:
    """Centre a (height, width, 4) cut-out on `size` × `size` pixels of `background` (#rrggbb).

    `margin` is the free share of the square on each side, 0..0.4.
    """
    sides = touched_sides(rgba[..., 3])
    product = rgba[filters.bounds(rgba[..., 3] > 4)]
    free = round(size * margin)
    before = [0 if side in sides else free for side in ("left", "top")]
    after = [0 if side in sides else free for side in ("right", "bottom")]
    room = [size - start - end for start, end in zip(before, after, strict=True)]
    height, width = product.shape[:2]
    scale = min(room[0] / width, room[1] / height)
    scaled = _scaled(product, scale)
    left, top = (
        _offset(start, end, size - length)
        for start, end, length in zip(before, after, (scaled.width, scaled.height), strict=True)
    )
    framing = Framing(
        size=size,
        margin=margin,
        background=background,
        scale=round(scale, 3),
        upscaled=scale > 1,
        touches_edge=sides,
    )
    return Master(_flattened(scaled, left, top, size, background), framing)


def _scaled(product: NDArray[np.uint8], scale: float) -> pyvips.Image:
    """Premultiplied float RGBA: otherwise the black of transparent pixels would bleed in."""
    image = pyvips.Image.new_from_array(product).copy(interpretation="srgb")
    return image.premultiply().resize(scale, kernel="lanczos3")


def _offset(before: int, after: int, spare: int) -> int:
    """Flush with a side that has no margin while the other has one, else centred."""
    if before == 0 < after:
        return 0
    if after == 0 < before:
        return spare
    return spare // 2


def _flattened(
    product: pyvips.Image, left: int, top: int, size: int, background: str
) -> NDArray[np.uint8]:
    """Lay premultiplied pixels over the background: P + (1 − α)·background, in sRGB.

    In libvips, which streams it in strips: as numpy arrays a 4096 px square would take 900 MB.
    """
    paper = list(bytes.fromhex(background.removeprefix("#")))
    placed = product.embed(left, top, size, size)
    uncovered = 1 - placed[3] / 255
    mixed = placed[0:3] + uncovered.bandjoin([uncovered, uncovered]) * paper
    return np.asarray(mixed.rint().cast("uchar").numpy())
