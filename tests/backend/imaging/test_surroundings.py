"""What else a photo shows, measured on drawn photos with a given outline: no net is needed."""

from functools import partial

import numpy as np

from backend.imaging import filters
from backend.imaging.backdrop import backdrop_difference, fit_backdrop, lab, positions
from backend.imaging.filters import Floats, Mask
from backend.imaging.surroundings import Surroundings, look_around
from tests.backend.imaging import products
from tests.backend.imaging.products import Extra, Photo, Setting, disc, photo


def seen(taken: Photo, solid: Mask | None = None) -> Surroundings:
    """The figures for that outline, or for the true one."""
    solid = taken.alpha > 0.5 if solid is None else solid
    pixels = lab(taken.rgb)
    y, x = positions(pixels.shape)
    rows, columns = np.nonzero(filters.border(solid.shape, 40))
    backdrop = fit_backdrop(pixels[rows, columns], y[rows, 0], x[0, columns])
    return look_around(solid, pixels, backdrop, backdrop_difference(pixels, backdrop, y, x))


def grid() -> tuple[Floats, Floats]:
    y, x = np.mgrid[0 : products.HEIGHT, 0 : products.WIDTH].astype(np.float64)
    return x, y


def test_a_plain_product_raises_no_doubt():
    found = seen(photo(products.mug, products.RED, Setting(shadow=0.3)))
    assert (found.faint, found.leftover, found.badge, found.mirrored) == (0, 0, 0, 0)
    assert found.left_out < 0.001 and found.smallest_part == 1 and found.filled < 0.9


def test_black_on_black_is_faint():
    setting = Setting(paper=(16, 16, 18), texture=0.03, grain=0.8)
    assert seen(photo(products.mug, (22, 22, 24), setting)).faint > 0.2


def test_paper_left_along_the_outline_is_seen():
    taken = photo(products.mug, products.RED)
    solid = taken.alpha > 0.5
    solid |= filters.dilate(solid, 8) & (np.arange(products.HEIGHT) > 420)[:, None]
    assert seen(taken, solid).leftover > 0.015


def test_a_second_item_beside_the_product_is_seen():
    small = Extra(partial(products.mug, size=0.25, at=(570, 500)), products.NAVY)
    found = seen(photo(products.mug, products.RED, Setting(extras=(small,))))
    assert 0.01 < found.left_out < 0.02


def test_parts_of_different_sizes_are_seen_and_a_pair_is_none():
    left = partial(products.mug, size=0.6, at=(150, 300))
    for size, smallest in ((0.6, 0.95), (0.3, 0.2)):
        right = Extra(partial(products.mug, size=size, at=(470, 300)), products.NAVY, True)
        part = seen(photo(left, products.RED, Setting(extras=(right,)))).smallest_part
        assert smallest < part < smallest + 0.1


def test_a_mirror_image_that_was_cut_out_too_is_seen():
    taken = photo(products.bottle, products.TEAL, Setting(reflection=0.4))
    solid = taken.alpha > 0.5
    assert seen(taken).mirrored == 0
    foot = int(np.flatnonzero(solid.any(axis=1))[-1]) + 1
    solid[foot : foot + 90] = solid[foot - 90 : foot][::-1]
    assert seen(taken, solid).mirrored > 0.15


def test_a_round_badge_on_the_outline_is_seen_and_a_round_print_is_none():
    yellow = (250, 210, 30)
    badge, label = Extra(disc(480, 300, 55), yellow), Extra(disc(330, 400, 55), yellow, True)
    overlapped = photo(products.bag, products.NAVY, Setting(extras=(badge,)))
    solid = photo(products.bag, products.NAVY).alpha > 0.5
    printed = photo(products.bag, products.NAVY, Setting(extras=(label,)))
    assert seen(overlapped, solid | (disc(480, 300, 55)(*grid()) < 0)).badge > 0.05
    assert seen(printed).badge == 0


def test_a_product_on_a_thin_stem_is_measured():
    """Every second column of the thinned mask is looked at: the stem is in none of them."""
    taken = photo(products.mug, products.RED)
    x, y = grid()
    stem = (np.abs(x - 304) < 2) & (y >= 150) & (y < 500)
    assert seen(taken, (np.hypot(x - 300, y - 150) < 80) | stem).mirrored == 0
