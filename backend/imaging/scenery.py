"""Draws a studio scene from parameters: a wall, a floor and light, without a photograph.

Surfaces have a colour and light falls on them; both are multiplied in linear light, as in a room,
and only then become sRGB. The brightest spot of a neutral set shows the colour asked for. The same
words always give the same picture.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyvips

from backend.imaging import filters
from backend.imaging.filters import Floats
from backend.imaging.layers import rgb_of

SceneType = Literal["studio", "tabletop", "wall", "spotlight"]
Mood = Literal["neutral", "bright", "warm", "cool", "dramatic"]

# A set is soft all over: drawn at this size, then enlarged, it looks the same for every output.
SCENE_SIDE = 1024
SEED = 20_260_101
# Standard deviation in levels of the grain that keeps gradients from showing bands.
GRAIN = 1.2


@dataclass(frozen=True)
class Lighting:
    """`contrast` darkens unlit parts; `lift` brightens lit ones."""

    contrast: float
    exposure: float
    tint: tuple[float, float, float]
    lift: float = 0.0


MOODS: dict[Mood, Lighting] = {
    "neutral": Lighting(1.0, 1.0, (1.0, 1.0, 1.0)),
    "bright": Lighting(0.55, 1.0, (1.0, 1.0, 1.0), lift=0.25),
    "warm": Lighting(1.05, 0.98, (1.0, 0.93, 0.80)),
    "cool": Lighting(1.05, 0.98, (0.84, 0.94, 1.0)),
    "dramatic": Lighting(2.8, 0.92, (1.0, 0.985, 0.96)),
}


@dataclass(frozen=True)
class Scene:
    """Shares in 0..1, each (height, width): how far a pixel is floor, how lit, how tinted."""

    floor: Floats
    light: Floats
    glow: Floats
    texture: Floats | float = 0.0


def draw_scene(
    scene_type: SceneType,
    mood: Mood,
    colours: tuple[str, ...],
    *,
    aspect: float,
    ground: float,
) -> Floats:
    """(height, width, 3) float32 sRGB in 0..255 with a longer side of `SCENE_SIDE`.

    `colours` are 1–3 of #rrggbb: wall, floor, accent. `aspect` is width by height, `ground` the row
    on which the product stands, as a share of the height.
    """
    lighting = MOODS[mood]
    wall, floor, accent = (
        surface ** (1 - lighting.lift) for surface in _palette(scene_type, colours)
    )
    height, width = (
        (SCENE_SIDE, round(SCENE_SIDE * aspect))
        if aspect <= 1
        else (round(SCENE_SIDE / aspect), SCENE_SIDE)
    )
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    x, y = (x - width / 2) / height, y / height
    stage = SETS[scene_type](x, y, ground)
    surface = _mixed(_mixed(wall, floor, stage.floor), accent, 0.5 * stage.glow)
    light = lighting.exposure * stage.light**lighting.contrast
    lit = surface * light[..., None] * np.array(lighting.tint, dtype=np.float32)
    return _to_srgb(lit * (1 + np.asarray(stage.texture)[..., None]))


def scene_at_size(drawn: Floats, width: int, height: int) -> pyvips.Image:
    """The scene at its final size, with a deterministic grain; float, for `layers`."""
    small = pyvips.Image.new_from_array(drawn)
    full = small.resize(width / small.width, vscale=height / small.height, kernel="cubic")
    grain = pyvips.Image.gaussnoise(width, height, sigma=GRAIN, mean=0, seed=SEED)
    return full + grain


def _studio(x: Floats, y: Floats, ground: float) -> Scene:
    """A paper sweep: the wall runs into the floor without an edge."""
    bend = _horizon(ground, 0.16)
    floor = filters.smoothstep(bend - 0.13, bend + 0.17, y)
    wall_light = 0.60 + 0.40 * _pool(x, y, (-0.10, 0.30), (0.80, 0.62))
    floor_light = 0.74 + 0.26 * _pool(x, y, (-0.04, ground - 0.01), (0.62, 0.22))
    hollow = 1 - 0.04 * _pool(x, y, (0.0, bend + 0.01), (9.0, 0.12))
    light = (wall_light * (1 - floor) + floor_light * floor) * hollow
    return Scene(floor, light, 0.5 * _pool(x, y, (0.52, 0.20), (0.45, 0.42)))


def _tabletop(x: Floats, y: Floats, ground: float) -> Scene:
    """A table whose far edge is out of focus, before a wall that is further out of focus."""
    edge = _horizon(ground, 0.15)
    floor = filters.smoothstep(edge - 0.004, edge + 0.004, y)
    wall_light = 0.46 + 0.54 * _pool(x, y, (-0.22, 0.22), (0.62, 0.52))
    depth = np.clip((y - edge) / max(0.05, 1 - edge), 0, 1)
    table_light = 0.70 + 0.30 * _pool(x, y, (-0.05, ground - 0.02), (0.58, 0.20))
    sheen = 0.12 * np.exp(-depth / 0.12)  # seen at a flat angle, a table mirrors what is behind it
    light = wall_light * (1 - floor) + np.minimum(1, table_light + sheen) * floor
    shade = 1 - 0.16 * _pool(x, y, (0.0, edge), (9.0, 0.035)) * (1 - floor)
    glow = _pool(x, y, (0.30, edge - 0.30), (0.30, 0.30)) * (1 - floor) * 0.7
    grain = _streaks(x.shape) * floor * (0.3 + 0.7 * depth)
    return Scene(floor, light * shade, glow, 0.02 * grain)


def _wall(x: Floats, y: Floats, ground: float) -> Scene:
    """A plastered wall, lit by a window on the left."""
    across = (x + 0.48) * 0.92 + (y - 0.10) * 0.38
    light = 0.42 + 0.58 * np.exp(-((np.maximum(0, across) / 0.72) ** 2))
    light *= 1 - 0.10 * filters.smoothstep(0.55, 1.25, y)
    return Scene(
        np.zeros_like(x),
        light,
        0.4 * _pool(x, y, (0.55, 0.95), (0.5, 0.6)),
        0.022 * _clouds(x.shape),
    )


def _spotlight(x: Floats, y: Floats, ground: float) -> Scene:
    """One lamp from above in a dark room: a halo on the wall and a pool on the floor."""
    bend = _horizon(ground, 0.14)
    floor = filters.smoothstep(bend - 0.07, bend + 0.09, y)
    halo = 0.80 * _pool(x, y, (0.0, 0.40), (0.40, 0.38))
    pool = _pool(x, y, (0.0, ground), (0.46, 0.105))
    light = 0.07 + 0.93 * (halo * (1 - floor) + np.maximum(pool, 0.35 * halo) * floor)
    return Scene(floor, light, 0.6 * _pool(x, y, (0.0, 0.36), (0.55, 0.5)) * (1 - floor))


SETS: dict[SceneType, Callable[[Floats, Floats, float], Scene]] = {
    "studio": _studio,
    "tabletop": _tabletop,
    "wall": _wall,
    "spotlight": _spotlight,
}


def _horizon(ground: float, behind: float) -> float:
    """The end of the floor: behind the product, but near where the eye expects it."""
    return float(np.clip(ground - behind, 0.5, 0.84))


def _pool(x: Floats, y: Floats, centre: tuple[float, float], reach: tuple[float, float]) -> Floats:
    """Light that fades from 1 at the centre, in picture heights."""
    across, down = (x - centre[0]) / reach[0], (y - centre[1]) / reach[1]
    return np.asarray(np.exp(-(across**2) - down**2))


def _palette(scene_type: SceneType, colours: tuple[str, ...]) -> tuple[Floats, Floats, Floats]:
    """Wall, floor and accent in linear light; what is missing follows from the wall."""
    given = [_to_linear(np.array(list(rgb_of(colour)), dtype=np.float32)) for colour in colours]
    wall = given[0]
    bright = float(wall @ [0.2126, 0.7152, 0.0722])
    table = wall * (1.9 if bright < 0.18 else 0.66)
    floor = given[1] if len(given) > 1 else (table if scene_type == "tabletop" else wall)
    accent = given[2] if len(given) > 2 else np.minimum(1, 1.35 * wall)
    return wall, floor, accent


def _mixed(one: Floats, other: Floats, share: Floats) -> Floats:
    return np.asarray(one + (other - one) * share[..., None])


def _clouds(shape: tuple[int, ...]) -> Floats:
    """Plaster: noise of three sizes, about ±1."""
    random = np.random.default_rng(SEED)
    cloud = np.zeros(shape, dtype=np.float32)
    for cells, weight in ((6, 0.5), (24, 0.35), (90, 0.3)):
        noise = random.normal(0, 1, (cells, cells)).astype(np.float32)
        cloud += weight * _stretched(noise, shape)
    return cloud


def _streaks(shape: tuple[int, ...]) -> Floats:
    """Brushed stone or wood: noise that is long across and short in depth, about ±1."""
    random = np.random.default_rng(SEED + 1)
    return _stretched(random.normal(0, 0.6, (300, 10)).astype(np.float32), shape)


def _stretched(noise: Floats, shape: tuple[int, ...]) -> Floats:
    small = pyvips.Image.new_from_array(noise)
    full = small.resize(shape[1] / small.width, vscale=shape[0] / small.height, kernel="cubic")
    return np.asarray(full.numpy().reshape(shape))


def _to_linear(levels: Floats) -> Floats:
    """sRGB 0..255 to linear light 0..1."""
    c = levels / 255
    return np.asarray(np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4))


def _to_srgb(light: Floats) -> Floats:
    """Linear light to sRGB 0..255; whatever is brighter than paper is paper."""
    c = np.clip(light, 0, 1)
    levels = np.where(c <= 0.0031308, c * 12.92, 1.055 * c ** (1 / 2.4) - 0.055)
    return np.asarray(levels * 255, dtype=np.float32)
