"""Pictures like those of a hosted engine: a garment worn by a drawn person, right or wrong.

No generative model runs here. The person is the mannequin in the colour of skin, with a head and
arms, and trousers under a top. What engines do to a garment is drawn: it narrows, sways and gets
folds, the light changes, and then the things that they get wrong.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyvips
from numpy.typing import NDArray

from backend.imaging import filters
from backend.imaging.backdrop import lab
from backend.imaging.dress import draw, try_on
from backend.imaging.fit import Category
from backend.imaging.mannequin import Mannequin

Rgb = NDArray[np.uint8]
Rgba = NDArray[np.uint8]
HEAD = 320  # rows above the mannequin's sprite
SKINS = {"light": (226, 188, 164), "brown": (150, 104, 76), "dark": (92, 62, 48)}
SIZE = 800


@dataclass(frozen=True)
class Shot:
    """How the picture is taken. `light` multiplies red, green and blue; `room` is the backdrop."""

    skin: str = "light"
    room: str = "studio"
    light: tuple[float, float, float] = (1.0, 1.0, 1.0)
    folds: float = 0.1
    sway: float = 0.012
    narrow: float = 0.92
    quality: int = 90


SHOTS = {
    "studio": Shot(),
    "as photographed": Shot(folds=0, sway=0, narrow=1),
    "darker": Shot(skin="brown", light=(0.88, 0.88, 0.88), room="grey"),
    "brighter": Shot(light=(1.06, 1.06, 1.06), folds=0.06),
    "warm street": Shot(skin="dark", room="street", light=(1.03, 1.0, 0.95), sway=0.02),
    "strong folds": Shot(folds=0.2, sway=0.025, narrow=0.85),
}


def worn(garment: Rgba, category: Category, shot: Shot) -> Rgb:
    """(800, 640, 3): the (height, width, 4) cut-out on a person."""
    box = garment[filters.bounds(garment[..., 3] > 127)]
    fitting = try_on(_draped(box, shot), category, "female")
    assert fitting.fit is not None
    body = _person(fitting.body, shot.skin, trousers=category == "top")
    fitting = replace(fitting, body=body, fit=replace(fitting.fit, top=fitting.fit.top + HEAD))
    black, white = (draw(fitting, size=SIZE, background=c).rgb for c in ("#000000", "#ffffff"))
    clear = (white.astype(np.float32) - black) / 255
    rgb = (black + clear * _room(shot.room, black.shape)) * np.array(shot.light)
    data = _image(np.clip(rgb, 0, 255).astype(np.uint8)).write_to_buffer(".jpg", Q=shot.quality)
    return np.asarray(pyvips.Image.new_from_buffer(data, "").numpy())


def recoloured(garment: Rgba, *, hue: float = 0, lighter: float = 0) -> Rgba:
    """Turned by that many degrees around the grey axis of CIE Lab, and that much lighter in L*."""
    light, a, b = np.moveaxis(lab(np.ascontiguousarray(garment[..., :3])), -1, 0)
    turn = np.deg2rad(hue)
    turned = np.dstack(
        [
            np.clip(light + lighter, 0, 100),
            a * np.cos(turn) - b * np.sin(turn),
            a * np.sin(turn) + b * np.cos(turn),
        ]
    )
    rgb = _image(turned.astype(np.float32)).copy(interpretation="lab").colourspace("srgb").numpy()
    return np.dstack([rgb, garment[..., 3]])


def without_print(garment: Rgba) -> Rgba:
    """All of it in its most frequent colour, with the light and shade of its cloth."""
    inside = garment[..., 3] > 127
    usual = np.median(garment[inside][:, :3], axis=0)
    plain = garment.copy()
    shade = np.linspace(1.05, 0.95, garment.shape[0])[:, None, None]
    plain[..., :3] = np.clip(usual * shade, 0, 255)
    return plain


def with_print(garment: Rgba) -> Rgba:
    """A red disc with a dark bar on the chest."""
    printed = garment.copy()
    rows, columns = filters.bounds(garment[..., 3] > 127)
    height, width = rows.stop - rows.start, columns.stop - columns.start
    y, x = np.mgrid[0 : garment.shape[0], 0 : garment.shape[1]]
    y, x = (y - rows.start) / height, (x - columns.start) / width
    disc = np.hypot((x - 0.5) * width / height, y - 0.35) < 0.13
    printed[disc, :3] = (196, 44, 40)
    printed[disc & (abs(y - 0.35) < 0.03), :3] = (30, 30, 34)
    printed[..., 3] = garment[..., 3]
    return printed


def shortened(garment: Rgba, share: float = 0.35) -> Rgba:
    """Without its lowest part: a cropped top."""
    rows, _ = filters.bounds(garment[..., 3] > 127)
    cut = garment.copy()
    cut[rows.stop - round(share * (rows.stop - rows.start)) :] = 0
    return cut


def without_sleeves(garment: Rgba) -> Rgba:
    """Only what is above or below the neck and the hem."""
    _, columns = filters.bounds(garment[..., 3] > 127)
    width = columns.stop - columns.start
    middle = (columns.start + columns.stop) // 2
    cut = garment.copy()
    cut[:, : middle - round(0.26 * width)] = 0
    cut[:, middle + round(0.26 * width) :] = 0
    return cut


CHANGES: dict[str, Callable[[Rgba], Rgba]] = {
    "other hue": lambda garment: recoloured(garment, hue=120, lighter=-15),
    "hue 40° off": lambda garment: recoloured(garment, hue=40),
    "12 L* lighter": lambda garment: recoloured(garment, lighter=12),
    "print removed": without_print,
    "print added": with_print,
    "a third shorter": shortened,
    "without sleeves": without_sleeves,
}


def _draped(box: Rgba, shot: Shot) -> Rgba:
    """Narrower, swaying sideways, with folds."""
    height, width = box.shape[:2]
    narrow = max(2, round(shot.narrow * width))
    image = _image(box).copy(interpretation="srgb").premultiply()
    image = image.resize(narrow / width, vscale=1).unpremultiply().cast("uchar")
    cloth: Rgba = image.numpy()
    width = cloth.shape[1]
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    reach = shot.sway * height
    source_x = x + reach * np.sin(3.1 * np.pi * y / height) + 0.5 * reach * np.sin(9 * x / width)
    source_y = y + reach * np.sin(2.3 * np.pi * x / width)
    index = np.dstack([source_x, source_y]).astype(np.float32)
    moved: Rgba = _image(cloth).mapim(_image(index)).numpy().copy()
    wave = np.sin(7 * np.pi * (x / width) + 2.5 * np.sin(3 * np.pi * y / height))
    light = 1 + shot.folds * wave * np.clip(y / height, 0.2, 1)
    moved[..., :3] = np.clip(moved[..., :3] * light[..., None], 0, 255)
    return moved


def _person(body: Mannequin, skin: str, *, trousers: bool) -> Mannequin:
    """The mannequin with skin, hair, arms and, under a top, trousers."""
    grey = body.rgba[..., :3].mean(axis=-1, keepdims=True) / 200
    rgba = body.rgba.copy()
    rgba[..., :3] = np.clip(grey * np.array(SKINS[skin]), 0, 255)
    if trousers:
        legs = slice(round(body.belt), None)
        rgba[legs, :, :3] = np.clip(grey[legs] * np.array((66, 84, 112)), 0, 255)
    rgba = np.concatenate([np.zeros((HEAD, *rgba.shape[1:]), np.uint8), rgba])
    y, x = np.mgrid[0 : rgba.shape[0], 0 : rgba.shape[1]].astype(np.float32)
    neck, shoulder = body.neck + HEAD, body.shoulder + HEAD
    for side in (-1, 1):
        arm = abs(x - body.axis - side * (215 + 0.22 * (y - shoulder))) < 62 - 0.03 * (y - shoulder)
        _paint(rgba, arm & (y > shoulder - 20) & (y < shoulder + 680), SKINS[skin])
    _paint(rgba, np.hypot((x - body.axis) / 118, (y - neck + 150) / 160) < 1, (58, 42, 34))
    _paint(rgba, np.hypot((x - body.axis) / 92, (y - neck + 125) / 130) < 1, SKINS[skin])
    rows = {name: getattr(body, name) + HEAD for name in ("neck", "shoulder", "chest", "hip")}
    return replace(body, rgba=rgba, knee=body.knee + HEAD, **rows)


def _paint(rgba: Rgba, where: NDArray[np.bool_], colour: tuple[int, int, int]) -> None:
    rgba[where & (rgba[..., 3] < 128)] = (*colour, 255)


def _room(room: str, shape: tuple[int, ...]) -> NDArray[np.floating[Any]]:
    height, width = shape[:2]
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    if room == "street":
        rng = np.random.default_rng(3)
        blocks = rng.uniform(60, 190, (9, 7, 3)).astype(np.float32)
        return filters.resize(blocks, height, width)
    level = {"studio": 240, "grey": 176}[room] - 14 * np.hypot(x - 0.4, y - 0.4)
    return np.asarray(level[..., None].repeat(3, axis=-1))


def _image(pixels: NDArray[Any]) -> pyvips.Image:
    return pyvips.Image.new_from_array(np.ascontiguousarray(pixels))
