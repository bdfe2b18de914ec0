"""Bicubic enlargement."""

import numpy as np
import pytest
import pyvips
from numpy.typing import NDArray

from backend.imaging import filters
from backend.imaging.enlarge import enlarge


def soft(height: int, width: int) -> NDArray[np.uint8]:
    """A picture with edges in all directions and all levels."""
    noise = np.random.default_rng(7).random((height, width, 3)).astype(np.float32)
    smooth = filters.blur(noise, 1.5)
    spread = (smooth - smooth.min()) / (smooth.max() - smooth.min())
    return np.asarray(spread * 255 + 0.5, dtype=np.uint8)


def bicubic(pixels: NDArray[np.uint8], scale: float) -> NDArray[np.float64]:
    """The definition, pixel by pixel, along the rows and then along the columns."""

    def kernel(x: float) -> float:
        x = abs(x)
        if x < 1:
            return 1.5 * x**3 - 2.5 * x**2 + 1
        return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x < 2 else 0

    def along(source: NDArray[np.float64]) -> NDArray[np.float64]:
        rows = []
        for row in range(round(len(source) * scale)):
            at = (row + 0.5) / scale - 0.5
            near = range(int(np.floor(at)) - 1, int(np.floor(at)) + 3)
            rows.append(sum(kernel(at - i) * source[min(max(i, 0), len(source) - 1)] for i in near))
        return np.array(rows)

    rows = along(pixels.astype(np.float64))
    return np.clip(along(rows.swapaxes(0, 1)).swapaxes(0, 1), 0, 255)


@pytest.mark.parametrize("scale", [1.0, 1.37, 2.0, 3.9])
def test_it_is_bicubic_to_within_rounding(scale):
    pixels = soft(40, 57)
    enlarged = enlarge(pixels, scale)
    assert enlarged.shape == (round(40 * scale), round(57 * scale), 3)
    assert np.abs(enlarged - bicubic(pixels, scale)).max() < 1


def test_a_picture_larger_than_a_block_has_no_seams():
    ramp = np.tile(np.arange(0, 256, dtype=np.uint8)[:, None, None], (1, 200, 3))
    enlarged = enlarge(ramp, 1.7).astype(int)
    assert set(np.unique(np.diff(enlarged, axis=0))) <= {0, 1}
    assert (np.diff(enlarged, axis=1) == 0).all()


def test_one_colour_stays_exactly_that():
    for level in (0, 1, 128, 254, 255):
        assert (enlarge(np.full((30, 30, 3), level, dtype=np.uint8), 1.618) == level).all()


def test_a_turned_picture_is_enlarged_to_the_turned_result():
    pixels = soft(40, 58)
    turned = enlarge(np.ascontiguousarray(pixels[::-1, ::-1]), 1.5)
    assert (turned[::-1, ::-1] == enlarge(pixels, 1.5)).all()


def test_the_number_of_threads_changes_nothing():
    pixels, before = soft(200, 57), pyvips.concurrency_get()
    results = []
    for threads in (1, 4):
        pyvips.concurrency_set(threads)
        results.append(enlarge(pixels, 1.5))
    pyvips.concurrency_set(before)
    assert (results[0] == results[1]).all()


def test_a_picture_of_one_pixel_can_be_enlarged():
    assert (enlarge(np.full((1, 1, 3), 7, dtype=np.uint8), 5) == 7).all()
