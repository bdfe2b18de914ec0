"""Photos whose true alpha is known, since they are painted here: a tee on paper, lit and grainy."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tests.backend.imaging import files

HEIGHT, WIDTH = 1000, 900
NAVY, WHITE, CREAM = (28, 44, 82), (252, 252, 252), (228, 196, 150)


class Scene(NamedTuple):
    """`jpeg` of the photo, its true `alpha` (height, width) in 0..1 and the product's `colours`."""

    jpeg: bytes
    alpha: NDArray[np.float64]
    colours: NDArray[np.float64]


def tee(*colours: tuple[int, int, int], shadow: float = 0.0, stripe: int = 60) -> Scene:
    """A tee in horizontal stripes of the colours, with a soft shadow below if asked."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float64)
    alpha = np.clip(0.5 - tee_distance(x, y), 0, 1)
    painted = np.array(colours, dtype=np.float64)[(y // stripe).astype(int) % len(colours)]
    painted = painted * (0.94 + 0.06 * np.sin(x / 37))[..., None]
    fall_off = 1 - 0.05 * ((x / WIDTH - 0.4) ** 2 + (y / HEIGHT - 0.3) ** 2)
    shade = 1 - shadow * np.clip(1 - tee_distance(x - 6, y - 14) / 30, 0, 1)
    paper = np.array([238, 236, 233]) * (fall_off * shade)[..., None]
    photo = alpha[..., None] * painted + (1 - alpha[..., None]) * paper
    grain = np.random.default_rng(7).normal(0, 1.2, (HEIGHT, WIDTH, 1))
    pixels = np.clip(photo + grain + 0.5, 0, 255).astype(np.uint8)
    return Scene(files.jpeg(files.srgb(pixels)), alpha, painted)


def tee_outdoors() -> bytes:
    """The navy tee on coloured tiles, which no smooth surface describes."""
    scene = tee(NAVY)
    tiles = np.random.default_rng(7).integers(60, 256, (HEIGHT // 50, WIDTH // 50, 3))
    ground = np.repeat(np.repeat(tiles, 50, axis=0), 50, axis=1)
    alpha = scene.alpha[..., None]
    photo = alpha * scene.colours + (1 - alpha) * ground
    return files.jpeg(files.srgb(photo.astype(np.uint8)))


def empty() -> bytes:
    """Nothing but paper."""
    grain = np.random.default_rng(7).normal(236, 1.2, (700, 700, 1))
    return files.jpeg(files.srgb(np.repeat(grain, 3, axis=2).astype(np.uint8)))


def tee_distance(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Signed distance in pixels to the outline: negative inside."""
    body = _box(x - 450, y - 540, 190, 320, 12)
    left = _box(*_turned(x - 240, y - 330, -0.75), 75, 140, 10)
    right = _box(*_turned(x - 660, y - 330, 0.75), 75, 140, 10)
    neck = np.hypot(x - 450, (y - 205) * 1.1) - 78
    return np.asarray(np.maximum(np.minimum(np.minimum(body, left), right), -neck))


def _box(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    half_width: float,
    half_height: float,
    round_: float,
) -> NDArray[np.float64]:
    across, along = np.abs(x) - half_width + round_, np.abs(y) - half_height + round_
    outside = np.hypot(np.maximum(across, 0), np.maximum(along, 0))
    return np.asarray(outside + np.minimum(np.maximum(across, along), 0) - round_)


def _turned(
    x: NDArray[np.float64], y: NDArray[np.float64], angle: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
