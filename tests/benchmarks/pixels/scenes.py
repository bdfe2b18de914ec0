"""Photos whose true alpha is known, since they are put together here.

The product's outline is drawn, its cloth comes from a sample photo's middle and the mannequin is a
rendered one; backdrops are lit paper, with and without a shadow, a plastered wall and a table. None
of them has gone through either of the two that are compared.
"""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyvips
from numpy.typing import NDArray

from backend.imaging import filters
from backend.imaging.mannequin import PICTURES
from backend.imaging.scenery import draw_scene
from tests.backend.imaging import files, scenes

ROOT = Path(__file__).resolve().parents[3]
GARMENTS = ("tee_navy", "tee_white", "dress_floral", "breton_long_sleeve")
SIZES = {"1.8 MP": (1200, 1500), "12 MP": (3098, 3873)}
CLOTHS = ("tee_navy", "dress_floral", "mannequin")
BACKDROPS = ("paper", "shadow", "wall", "tabletop")

Floats = NDArray[np.floating[Any]]


class Photo(NamedTuple):
    """A JPEG, and the alpha in 0..1 of what it shows, where that is known."""

    name: str
    jpeg: bytes
    alpha: Floats | None = None


def garments(size: str) -> Iterator[Photo]:
    """The sample photos as they are, or enlarged and grained anew."""
    width, height = SIZES[size]
    for name in GARMENTS:
        path = ROOT / f"tests/data/garments/{name}.jpg"
        data = path.read_bytes()
        if (width, height) != SIZES["1.8 MP"]:
            data = jpeg(grained(enlarged(name, width, height)))
        yield Photo(name, data)


def composites(size: str) -> Iterator[Photo]:
    """Every product before every backdrop."""
    width, height = SIZES[size]
    for cloth in CLOTHS:
        alpha, colours = product(cloth, width, height)
        for backdrop in BACKDROPS:
            ground = behind(backdrop, alpha, width, height)
            share = alpha[..., None]
            photo = grained(share * colours + (1 - share) * ground)
            yield Photo(f"{cloth} before {backdrop}", jpeg(photo), alpha)


@cache
def product(cloth: str, width: int, height: int) -> tuple[Floats, Floats]:
    """The product's alpha and its colours all over."""
    if cloth == "mannequin":
        return mannequin(width, height)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    scale = width / scenes.WIDTH
    distance = scenes.tee_distance(x / scale, (y - 0.06 * height) / scale) * scale
    alpha = np.clip(0.5 - distance, 0, 1).astype(np.float32)
    return alpha, woven(cloth, width, height)


def woven(cloth: str, width: int, height: int) -> Floats:
    """The middle of a sample garment, mirrored again and again until it fills the picture."""
    photo = enlarged(cloth, width, height)
    middle = photo[int(height * 0.4) : int(height * 0.6), int(width * 0.4) : int(width * 0.6)]
    tile = np.block([[[middle], [middle[:, ::-1]]], [[middle[::-1]], [middle[::-1, ::-1]]]])
    across, down = -(-width // tile.shape[1]), -(-height // tile.shape[0])
    return np.tile(tile, (down, across, 1))[:height, :width]


def mannequin(width: int, height: int) -> tuple[Floats, Floats]:
    """The rendered figure, four fifths of the picture's height, and a little darker than it is."""
    image = pyvips.Image.new_from_file(str(PICTURES / "female.webp")).premultiply()
    image = image.resize(0.8 * height / image.height, kernel="lanczos3")
    left, top = (width - image.width) // 2, (height - image.height) // 2
    layer = image.embed(left, top, width, height).numpy()
    alpha = np.clip(layer[..., 3] / 255, 0, 1).astype(np.float32)
    colours = layer[..., :3] / np.maximum(alpha, 1e-3)[..., None] * np.array([0.55, 0.6, 0.62])
    return alpha, np.clip(colours, 0, 255).astype(np.float32)


def behind(backdrop: str, alpha: Floats, width: int, height: int) -> Floats:
    """What the product is before."""
    if backdrop in ("wall", "tabletop"):
        drawn = draw_scene(
            "wall" if backdrop == "wall" else "tabletop",
            "neutral",
            ("#b8c4cc",),
            aspect=width / height,
            ground=0.9,
        )
        return filters.resize(np.asarray(drawn, dtype=np.float32), height, width)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    light = 1 - 0.05 * ((x / width - 0.4) ** 2 + (y / height - 0.3) ** 2)
    if backdrop == "shadow":
        moved = np.roll(filters.blur(alpha, height / 100), (height // 75, height // 200), (0, 1))
        light = light * (1 - 0.25 * moved)
    return np.asarray(np.array([238, 236, 233], dtype=np.float32) * light[..., None])


def enlarged(name: str, width: int, height: int) -> Floats:
    """A sample photo in another size."""
    image = pyvips.Image.new_from_file(str(ROOT / f"tests/data/garments/{name}.jpg"))
    sized = image.resize(width / image.width, vscale=height / image.height, kernel="cubic")
    return np.asarray(sized.numpy(), dtype=np.float32)


def grained(photo: Floats) -> NDArray[np.uint8]:
    """With a camera's noise."""
    grain = np.random.default_rng(7).normal(0, 1.2, (*photo.shape[:2], 1)).astype(np.float32)
    return np.asarray(np.clip(photo + grain + 0.5, 0, 255), dtype=np.uint8)


def jpeg(pixels: NDArray[np.uint8]) -> bytes:
    """As a camera would save it."""
    return files.jpeg(files.srgb(pixels))
