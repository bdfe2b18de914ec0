"""Product photos whose true alpha is known, since they are drawn here: what merchants really send.

Light is added up in linear light, so that a shadow leaves the same share of every colour, as it
does in a real photo. Shapes are signed distances in pixels on a 660 × 600 picture, negative inside.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backend.imaging import filters
from tests.backend.imaging import files

HEIGHT, WIDTH = 600, 660
Floats = NDArray[np.floating[Any]]
Colour = tuple[int, int, int]
Shape = Callable[[Floats, Floats], Floats]

PAPERS: dict[str, Colour] = {
    "white": (244, 244, 242),
    "grey": (190, 190, 188),
    "tan": (208, 172, 128),
    "purple": (104, 58, 140),
    "green": (70, 130, 90),
    "blue": (90, 130, 190),
    "pink": (235, 180, 190),
    "dark": (60, 60, 64),
}
RED, TEAL, NAVY, GOLD, SILVER, BLACK = (
    (190, 60, 45),
    (30, 90, 110),
    (28, 44, 82),
    (212, 170, 80),
    (200, 200, 205),
    (25, 25, 27),
)


@dataclass(frozen=True)
class Photo:
    """(height, width, 3) uint8 `rgb`, and the (height, width) `alpha` of its product in 0..1."""

    rgb: NDArray[np.uint8]
    alpha: Floats

    def jpeg(self, quality: int = 92) -> bytes:
        """With half the colours' resolution, as cameras and most editors save it."""
        return files.jpeg(files.srgb(self.rgb), quality=quality, subsample_mode="on")

    def png(self, alpha: Floats | int) -> bytes:
        """With an alpha channel of 0..255."""
        levels = np.broadcast_to(np.asarray(alpha, dtype=np.uint8), self.alpha.shape)
        return files.png(files.srgb(self.rgb).bandjoin(files.grey(levels)))


@dataclass(frozen=True)
class Extra:
    """Something else on the photo; `is_product` if it belongs to what is sold."""

    shape: Shape
    colour: Colour
    is_product: bool = False


@dataclass(frozen=True)
class Setting:
    """The paper and what happens on it.

    shadow, reflection: share of the light that is taken away, or mirrored by a glossy table.
    surface: the paper's share of light at each pixel. texture: how uneven the product is.
    """

    paper: Colour = PAPERS["white"]
    shadow: float = 0.0
    reflection: float = 0.0
    surface: Floats | float = 1.0
    texture: float = 0.12
    grain: float = 1.4
    extras: tuple[Extra, ...] = field(default=())


def photo(shape: Shape, colour: Colour, setting: Setting | None = None) -> Photo:
    """The product in its setting, lit from the upper left."""
    setting = setting or Setting()
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float64)
    alpha = _alpha(shape, x, y)
    uneven = 1 - 2 * setting.texture * np.abs(np.sin(x / 95)) + setting.texture * np.sin(y / 120)
    product = linear(colour) * uneven[..., None]
    light = _paper(setting, alpha, x, y)
    light = _mirrored(light, product, alpha, setting.reflection)
    light = _over(light, product, alpha)
    for extra in setting.extras:
        covered = _alpha(extra.shape, x, y)
        light = _over(light, linear(extra.colour), covered)
        alpha = np.maximum(alpha, covered) if extra.is_product else alpha * (1 - covered)
    grain = np.random.default_rng(7).normal(0, setting.grain, (HEIGHT, WIDTH, 1))
    rgb = np.clip(255 * encoded(np.clip(light, 0, 1)) + grain + 0.5, 0, 255)
    return Photo(rgb.astype(np.uint8), alpha)


def linear(colour: Colour | NDArray[np.uint8]) -> Floats:
    """sRGB in 0..255 to linear light in 0..1."""
    value = np.asarray(colour) / 255
    return np.asarray(np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4))


def encoded(light: Floats) -> Floats:
    """Linear light in 0..1 to sRGB in 0..1."""
    curve = 1.055 * np.maximum(light, 1e-9) ** (1 / 2.4) - 0.055
    return np.asarray(np.where(light <= 0.0031308, light * 12.92, curve))


def mug(x: Floats, y: Floats, size: float = 1.0, at: tuple[float, float] = (310, 300)) -> Floats:
    """With a handle that encloses backdrop."""
    x, y = (x - at[0]) / size, (y - at[1]) / size
    handle = np.maximum(_ellipse(x - 130, y, 75, 105), -_ellipse(x - 130, y, 43, 72))
    return np.asarray(size * np.minimum(box(x, y, 125, 155, 36), handle))


def ring(x: Floats, y: Floats) -> Floats:
    """As thick as a signet ring, with a stone."""
    hoop = np.abs(np.hypot(x - 330, y - 330) - 150) - 17
    return np.asarray(np.minimum(hoop, box(x - 330, y - 165, 36, 30, 12)))


def watch(x: Floats, y: Floats) -> Floats:
    """The strap, closed to a loop, and its face."""
    strap = np.maximum(_ellipse(x - 330, y - 300, 110, 250), -_ellipse(x - 330, y - 300, 82, 218))
    return np.asarray(np.minimum(strap, np.hypot(x - 330, y - 150) - 88))


def bag(x: Floats, y: Floats) -> Floats:
    """A handbag with one high handle."""
    handle = np.maximum(_ellipse(x - 330, y - 230, 105, 160), -_ellipse(x - 330, y - 230, 84, 137))
    return np.asarray(np.minimum(handle, box(x - 330, y - 400, 165, 130, 30)))


def bottle(x: Floats, y: Floats) -> Floats:
    """Upright, and high enough on the picture for a reflection below it."""
    body, neck = box(x - 330, y - 280, 72, 130, 26), box(x - 330, y - 120, 26, 60, 4)
    return np.asarray(np.minimum(body, neck))


def necklace(x: Floats, y: Floats) -> Floats:
    """A chain of 3 px whose ends leave upwards, and a small pendant."""
    chain = np.abs(_ellipse(x - 330, y - 90, 190, 400)) - 1.5
    chain = np.maximum(chain, 70 - y)
    return np.asarray(np.minimum(chain, np.hypot(x - 330, y - 498) - 12))


def box(x: Floats, y: Floats, half_width: float, half_height: float, corner: float = 0) -> Floats:
    """A rectangle around the origin with rounded corners."""
    across, down = np.abs(x) - half_width + corner, np.abs(y) - half_height + corner
    outside = np.hypot(np.maximum(across, 0), np.maximum(down, 0))
    return np.asarray(outside + np.minimum(np.maximum(across, down), 0) - corner)


def disc(x0: float, y0: float, radius: float) -> Shape:
    return lambda x, y: np.asarray(np.hypot(x - x0, y - y0) - radius)


def slab(x0: float, y0: float, half_width: float, half_height: float) -> Shape:
    return lambda x, y: box(x - x0, y - y0, half_width, half_height, 3)


def planks() -> Floats:
    """Wooden boards 150 px wide with dark joints, as shares of light."""
    x = np.mgrid[0:HEIGHT, 0:WIDTH][1]
    joint = np.exp(-((((x + 40) % 150) - 75) ** 2) / 4)
    return np.asarray((1 - 0.7 * joint) * (1 + 0.03 * np.sin(x / 3)))[..., None]


def table_edge() -> Floats:
    """A table before a wall that is a fifth darker."""
    y = np.mgrid[0:HEIGHT, 0:WIDTH][0]
    return np.where(y < 230, 0.8, 1.0)[..., None]


def _paper(setting: Setting, alpha: Floats, x: Floats, y: Floats) -> Floats:
    fall_off = 1 - 0.12 * ((x / WIDTH - 0.45) ** 2 + (y / HEIGHT - 0.4) ** 2)
    thrown = filters.blur(np.roll(alpha, (13, 11), axis=(0, 1)).astype(np.float32), 8)
    lit = fall_off * (1 - setting.shadow * thrown)
    return np.asarray(linear(setting.paper) * lit[..., None] * setting.surface)


def _mirrored(light: Floats, product: Floats, alpha: Floats, share: float) -> Floats:
    """The product upside down below its lowest row, fading out."""
    if not share:
        return light
    foot = int(np.flatnonzero(alpha.max(axis=1) > 0.5)[-1]) + 1
    depth = min(HEIGHT - foot, foot)
    fading = share * (1 - np.arange(depth) / (0.9 * depth)).clip(0)
    image = alpha[foot - depth : foot][::-1] * fading[:, None]
    light = light.copy()
    light[foot : foot + depth] = _over(
        light[foot : foot + depth], product[foot - depth : foot][::-1], image
    )
    return light


def _over(below: Floats, above: Floats, alpha: Floats) -> Floats:
    return np.asarray(below + (above - below) * alpha[..., None])


def _alpha(shape: Shape, x: Floats, y: Floats) -> Floats:
    return np.asarray(np.clip(0.5 - shape(x, y), 0, 1))


def _ellipse(x: Floats, y: Floats, across: float, down: float) -> Floats:
    return np.asarray((np.hypot(x / across, y / down) - 1) * min(across, down))
