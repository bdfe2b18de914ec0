"""Enlarges pictures bicubically, by matrix products.

libvips mixes 16 pixels for each pixel of the result, and misplaces it by almost half a pixel. By
rows and then by columns it is eight pixels, and numpy's matrix product takes a third of the time.
All factors are multiples of powers of two, small enough for 32-bit floats to be exact: every
processor gives the same pixels.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import pyvips
from numpy.typing import NDArray

from backend.imaging.filters import Floats

# Rows and columns of the result that are computed at once: enough for the product to be fast, few
# enough for the processor's cache and for most of the weights not to be zero.
BLOCK_ROWS, BLOCK_COLUMNS = 64, 24
# Weights are multiples of 1 / ONE. Between the two products, levels are rounded to 1 / FINE.
ONE, FINE = 1024, 16


class _Block(NamedTuple):
    """A part of the result along one axis, the part of the source that it is mixed from, and how.

    weights: (target, source), multiples of 1 / ONE.
    """

    target: slice
    source: slice
    weights: Floats


def enlarge(pixels: NDArray[np.uint8], scale: float) -> NDArray[np.uint8]:
    """A (height, width, bands) picture with sides `scale` times as long, which is at least 1.

    On as many threads as libvips may use.
    """
    height, width, bands = pixels.shape
    source = pixels.reshape(height, width * bands)
    enlarged = np.empty((round(height * scale), round(width * scale) * bands), dtype=np.uint8)
    across = [_for_each_band(block, bands) for block in _blocks(width, scale, BLOCK_COLUMNS)]

    def fill(down: _Block) -> None:
        rows = (down.weights * FINE) @ source[down.source].astype(np.float32)
        enlarged[down.target] = _columns(np.rint(rows, out=rows), across)

    with ThreadPoolExecutor(pyvips.concurrency_get()) as pool:
        for _ in pool.map(fill, _blocks(height, scale, BLOCK_ROWS)):
            pass
    return enlarged.reshape(enlarged.shape[0], -1, bands)


def _blocks(length: int, scale: float, size: int) -> Iterator[_Block]:
    """Blocks of `size` pixels that cover one axis of the result."""
    total = round(length * scale)
    for start in range(0, total, size):
        places = (np.arange(start, min(start + size, total)) + 0.5) / scale - 0.5
        neighbours = np.floor(places)[:, None] + np.arange(-1, 3)
        weights = np.rint(_cubic(np.abs(places[:, None] - neighbours)) * ONE)
        weights[:, 1] += ONE - weights.sum(axis=1)
        # Beyond the picture, its edge is repeated.
        taken = np.clip(neighbours, 0, length - 1).astype(np.intp)
        first, last = int(taken[0, 0]), int(taken[-1, -1])
        matrix = np.zeros((places.size, last - first + 1), dtype=np.float32)
        np.add.at(matrix, (np.arange(places.size)[:, None], taken - first), weights / ONE)
        yield _Block(slice(start, start + places.size), slice(first, last + 1), matrix)


def _cubic(distance: Floats) -> Floats:
    """The weight of a pixel at a distance of 0 to 2 pixels (Keys 1981, a = -0.5)."""
    near = (1.5 * distance - 2.5) * distance**2 + 1
    far = ((2.5 - 0.5 * distance) * distance - 4) * distance + 2
    return np.where(distance < 1, near, far)


def _for_each_band(block: _Block, bands: int) -> _Block:
    """The same for pixels whose bands lie side by side, and for rows in levels times FINE.

    weights: (source, target), multiples of 1 / ONE / FINE.
    """
    target, source = (
        slice(part.start * bands, part.stop * bands) for part in (block.target, block.source)
    )
    same_band = np.eye(bands, dtype=np.float32) / FINE
    weights = np.einsum("ts,bc->sbtc", block.weights, same_band)  # np.kron takes twice as long
    return _Block(target, source, weights.reshape(source.stop - source.start, -1))


def _columns(rows: Floats, across: list[_Block]) -> Floats:
    """The columns of the result, in whole levels, from rows in levels times FINE."""
    mixed = np.empty((rows.shape[0], across[-1].target.stop), dtype=np.float32)
    for target, source, weights in across:
        np.matmul(rows[:, source], weights, out=mixed[:, target])
    return np.clip(np.rint(mixed, out=mixed), 0, 255, out=mixed)
