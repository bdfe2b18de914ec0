"""Finished cut-outs, and photos that are only a little transparent."""

import numpy as np
import pytest
from numpy.typing import NDArray

from backend.imaging.transparency import is_padded, opaque, photo_within

HEIGHT, WIDTH = 300, 400
y, x = np.mgrid[0:HEIGHT, 0:WIDTH]


def full(level: float = 1.0) -> NDArray[np.float32]:
    return np.full((HEIGHT, WIDTH), level, dtype=np.float32)


def with_hole_at_the_corner() -> NDArray[np.float32]:
    alpha = full()
    alpha[0, 0] = 0
    return alpha


def rounded(radius: int = 30) -> NDArray[np.float32]:
    across = np.abs(x - WIDTH / 2 + 0.5) - WIDTH / 2 + radius
    down = np.abs(y - HEIGHT / 2 + 0.5) - HEIGHT / 2 + radius
    outside = np.hypot(np.maximum(across, 0), np.maximum(down, 0))
    return np.asarray(outside < radius, dtype=np.float32)


def padded() -> NDArray[np.float32]:
    alpha = np.zeros((HEIGHT, WIDTH), dtype=np.float32)
    alpha[40:260, 50:350] = 1
    return alpha


@pytest.mark.parametrize("alpha", [full(254 / 255), with_hole_at_the_corner(), rounded()])
def test_a_photo_stays_a_photo_and_is_not_padded(alpha):
    box = photo_within(alpha)
    assert box is not None and not is_padded(alpha, box)


def test_padding_is_told_from_the_photo_in_it():
    box = photo_within(padded())
    assert box == (slice(40, 260), slice(50, 350))
    assert is_padded(padded(), box)


def test_a_disc_is_a_finished_cut_out():
    assert photo_within((np.hypot(x - 200, y - 150) < 120).astype(np.float32)) is None


def test_a_tee_shaped_alpha_is_a_finished_cut_out():
    sleeves = (np.abs(x - 200) < 150) & (y > 40) & (y < 110)
    body = (np.abs(x - 200) < 80) & (y > 40) & (y < 280)
    assert photo_within((sleeves | body).astype(np.float32)) is None


def test_nothing_opaque_is_no_photo():
    assert photo_within(full(0.2)) is None


def test_transparent_corners_take_the_colour_of_the_rim():
    rgb = np.full((HEIGHT, WIDTH, 3), (240, 238, 230), dtype=np.uint8)
    rgb[rounded() == 0] = 0
    assert (opaque(rgb, rounded()) == (240, 238, 230)).all()
    assert rgb[0, 0].max() == 0  # the photo itself is left alone
