"""Replaces the background of a product, which keeps its position in the photo.

Only the background changes: the picture keeps the photo's shape, and the product its place, size
and pixels. Its edge carries no colour of the old background, so none is seen before the new one.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.imaging import layers, scenery
from backend.imaging.decode import decode_covering
from backend.imaging.layers import Placed
from backend.imaging.scenery import Mood, SceneType
from backend.imaging.shadow import Cast, ShadowKind, cast_shadow, contact_shadow

# On a wall the product hangs: light from the upper left throws its shape on what is close behind.
ON_WALL = (
    Cast(right=0.004, down=0.006, blur=0.005, darkness=0.30),
    Cast(right=0.018, down=0.024, blur=0.022, darkness=0.28),
)


@dataclass(frozen=True)
class Swapped:
    """`rgb`: (height, width, 3) uint8 sRGB; `scale`: the product's enlargement of the photo."""

    rgb: NDArray[np.uint8]
    scale: float


def swap_with_picture(
    rgba: NDArray[np.uint8], background: bytes, *, size: int, shadow: ShadowKind
) -> Swapped:
    """Place the product before an untrusted image, cropped at its sides or at top and bottom.

    `rgba` is the cut-out, (height, width, 4), `size` the result's longer side. Raises
    `ImageRefused` if the background cannot be read.
    """
    placed = _in_place(rgba, size)
    ground = layers.image(decode_covering(background, width=placed.width, height=placed.height))
    if shadow == "contact":
        ground = layers.darkened(ground, contact_shadow(placed.small_alpha()))
    return _finished(placed, ground)


def swap_with_set(
    rgba: NDArray[np.uint8],
    scene_type: SceneType,
    mood: Mood,
    colours: tuple[str, ...],
    *,
    size: int,
    shadow: ShadowKind,
) -> Swapped:
    """Place the product before a drawn scene; see `scenery.draw_scene`."""
    placed = _in_place(rgba, size)
    drawn = scenery.draw_scene(
        scene_type, mood, colours, aspect=placed.width / placed.height, ground=_foot(rgba)
    )
    ground = scenery.scene_at_size(drawn, placed.width, placed.height)
    if shadow == "contact":
        alpha = placed.small_alpha()
        shade = cast_shadow(alpha, ON_WALL) if scene_type == "wall" else contact_shadow(alpha)
        ground = layers.darkened(ground, shade)
    return _finished(placed, ground)


def _in_place(rgba: NDArray[np.uint8], size: int) -> Placed:
    height, width = rgba.shape[:2]
    scale = size / max(height, width)
    return Placed(rgba, scale, 0, 0, round(width * scale), round(height * scale))


def _foot(rgba: NDArray[np.uint8]) -> float:
    """The product's lowest row as a share of the height."""
    rows = np.flatnonzero((rgba[..., 3] > 127).any(axis=1))
    return (int(rows[-1]) + 1) / int(rgba.shape[0])


def _finished(placed: Placed, ground: Any) -> Swapped:
    return Swapped(layers.pixels(layers.over(placed.layer(), ground)), round(placed.scale, 3))
