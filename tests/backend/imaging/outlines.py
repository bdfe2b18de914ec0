"""Cut-outs of garments and other things, drawn as plain shapes on a 600 × 750 picture."""

import numpy as np
from numpy.typing import NDArray

HEIGHT, WIDTH = 750, 600
row, column = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float64)
Shape = NDArray[np.bool_]


def cutout(shape: Shape, colour: tuple[int, int, int] = (60, 80, 120)) -> NDArray[np.uint8]:
    """(750, 600, 4): the shape in a vertical ramp of that colour, so that a moved pixel shows."""
    rgba = np.zeros((HEIGHT, WIDTH, 4), dtype=np.uint8)
    rgba[..., :3] = np.array(colour) * (0.6 + 0.4 * row / HEIGHT)[..., None]
    rgba[..., 3] = 255
    rgba[~shape] = 0
    return rgba


def block(top: int, bottom: int, left: int, right: int) -> Shape:
    return np.asarray((row >= top) & (row < bottom) & (column >= left) & (column < right))


def taper(top: int, bottom: int, upper: float, lower: float, centre: float = 300) -> Shape:
    """A trapezium of half that width at its upper and lower end."""
    half = upper + (lower - upper) * np.clip((row - top) / (bottom - top), 0, 1)
    return np.asarray((row >= top) & (row < bottom) & (np.abs(column - centre) < half))


def disc(x: float, y: float, across: float, down: float) -> Shape:
    return np.asarray(np.hypot((column - x) / across, (row - y) / down) < 1)


def tee() -> Shape:
    sleeves = taper(100, 260, 120, 250) & ~taper(190, 260, 0, 260)
    return (taper(100, 650, 120, 130) | sleeves) & ~disc(300, 95, 55, 50)


def dress() -> Shape:
    return (taper(75, 250, 95, 75) | taper(250, 720, 75, 165)) & ~disc(300, 75, 60, 85)


def trousers() -> Shape:
    hips = taper(60, 190, 90, 125) | taper(190, 700, 125, 112)
    gap = (row > 240) & (np.abs(column - 300) < 6 + (row - 240) * 0.09)
    return np.asarray(hips & ~gap)


def person() -> Shape:
    trunk = taper(175, 210, 30, 115) | taper(210, 450, 115, 90) | taper(450, 725, 85, 75)
    return disc(300, 100, 40, 55) | taper(145, 180, 20, 25) | trunk


def bag() -> Shape:
    ring = disc(300, 300, 145, 175) & ~disc(300, 300, 125, 150)
    return np.asarray(block(300, 600, 100, 500) | (ring & (row < 300)))


def mug() -> Shape:
    return block(200, 550, 150, 450) | (disc(465, 375, 110, 110) & ~disc(465, 375, 75, 75))


def tilted(shape: Shape, degrees: float) -> Shape:
    """Turned about the picture's middle."""
    angle = np.deg2rad(degrees)
    across, down = column - WIDTH / 2, row - HEIGHT / 2
    x = across * np.cos(angle) + down * np.sin(angle) + WIDTH / 2
    y = down * np.cos(angle) - across * np.sin(angle) + HEIGHT / 2
    inside = (x >= 0) & (x < WIDTH - 1) & (y >= 0) & (y < HEIGHT - 1)
    return np.asarray(
        inside & shape[np.where(inside, y, 0).astype(int), np.where(inside, x, 0).astype(int)]
    )
