"""Places a cut-out on a plain background, as for a shop catalogue.

The product is centred and fills the paper less a margin. On a side where the photo cut the product
off there is no margin: a cut edge floating in white would look like a mistake.
"""

from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from backend.imaging import filters, layers
from backend.imaging.layers import Placed
from backend.imaging.quality import Side, touched_sides
from backend.imaging.shadow import ShadowKind, contact_shadow


class Framing(msgspec.Struct, frozen=True, kw_only=True):
    """The product's position on the background; `scale` is its enlargement, 1.0 for the photo's.

    `size` is the paper's longer side in pixels, `margin` a share of each side's own length.
    """

    size: int
    margin: float
    background: str
    scale: float
    upscaled: bool
    touches_edge: list[Side]


@dataclass(frozen=True)
class Master:
    """`rgb`: (height, width, 3) uint8 sRGB."""

    rgb: NDArray[np.uint8]
    framing: Framing


def compose(
    rgba: NDArray[np.uint8],
    *,
    size: int,
    margin: float,
    background: str,
    shadow: ShadowKind = "none",
    aspect: float = 1.0,
) -> Master:
    """Centre a (height, width, 4) cut-out on paper of `background` (#rrggbb).

    The paper is `size` pixels high and `aspect` times that wide, `aspect` being at most 1; `margin`
    is the free share on each side, 0..0.4. A shadow never reaches the paper's edge.
    """
    sides = touched_sides(rgba[..., 3])
    product = rgba[filters.bounds(rgba[..., 3] > 4)]
    paper = (round(size * aspect), size)
    free = [round(length * margin) for length in paper]
    before = [0 if side in sides else free[axis] for axis, side in enumerate(("left", "top"))]
    after = [0 if side in sides else free[axis] for axis, side in enumerate(("right", "bottom"))]
    room = [length - sum(ends) for length, *ends in zip(paper, before, after, strict=True)]
    height, width = product.shape[:2]
    scale = min(room[0] / width, room[1] / height)
    left, top = (
        _offset(start, end, length - round(used * scale))
        for start, end, length, used in zip(before, after, paper, (width, height), strict=True)
    )
    framing = Framing(
        size=size,
        margin=margin,
        background=background,
        scale=round(scale, 3),
        upscaled=scale > 1,
        touches_edge=sides,
    )
    placed = Placed(product, scale, left, top, *paper)
    if shadow == "none":
        return Master(layers.pixels(placed.on_paper(background)), framing)
    ground = layers.darkened(layers.paper(*paper, background), contact_shadow(placed.small_alpha()))
    return Master(layers.pixels(layers.over(placed.layer(), ground)), framing)


def _offset(before: int, after: int, spare: int) -> int:
    """The offset: flush with a side without margin if the other side has one, else centred."""
    if before == 0 < after:
        return 0
    if after == 0 < before:
        return spare
    return spare // 2
