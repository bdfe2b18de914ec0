"""Connected regions of masks."""

import numpy as np
import pytest
import pyvips

from backend.imaging import filters
from backend.imaging.filters import Mask
from backend.imaging.regions import cleaned, regions_of, touching, without_holes, without_specks


def drawn_masks() -> list[Mask]:
    """Blobs and noise of all densities, and shapes that are long, wide or all of one kind."""
    rng = np.random.default_rng(7)
    sides = rng.integers(3, 50, (40, 2))
    noise = [
        rng.random(tuple(side)) < share
        for side, share in zip(sides, np.linspace(0, 1, 40), strict=True)
    ]
    blobs = [filters.blur(rng.random((40, 50)).astype(np.float32), 1) > 0.5 for _ in range(20)]
    return [*noise, *blobs, noise[20][:1], noise[20][:, :1]]


def comb(side: int) -> Mask:
    """One region that only its last row holds together."""
    mask = np.zeros((side, side), dtype=bool)
    mask[:, ::2] = True
    mask[-1] = True
    return mask


@pytest.mark.parametrize("mask", [*drawn_masks(), comb(31), comb(31).T.copy()])
def test_regions_are_those_that_libvips_finds(mask):
    regions = regions_of(mask)
    labels = pyvips.Image.new_from_array(mask.view(np.uint8)).labelregions().numpy()
    labels = labels.reshape(mask.shape)
    assert regions.areas.size == np.unique(labels).size
    for number, inside in enumerate(regions.inside):
        region = regions.drawn(np.arange(regions.areas.size) == number)
        same_label = labels == labels[region][0]
        assert (region == same_label).all()
        assert mask[region].all() if inside else not mask[region].any()
        assert regions.areas[number] == region.sum()


def test_a_region_has_the_mean_of_its_pixels():
    mask = drawn_masks()[45]
    weights = np.random.default_rng(7).random(mask.shape).astype(np.float32)
    regions = regions_of(mask)
    for number, mean in enumerate(regions.means(weights)):
        region = regions.drawn(np.arange(regions.areas.size) == number)
        assert mean == pytest.approx(weights[region].mean())


def test_only_regions_that_touch_the_seed_are_kept():
    mask = np.zeros((9, 9), dtype=bool)
    mask[1:3, 1:8] = mask[5:8, 2:4] = mask[6, 6] = True
    seed = np.zeros_like(mask)
    seed[7, 3] = seed[4, 4] = True
    kept = touching(mask, seed)
    assert kept[5:8, 2:4].all()
    assert kept.sum() == 6


def test_a_diagonal_does_not_connect():
    mask = np.eye(5, dtype=bool)
    seed = np.zeros_like(mask)
    seed[2, 2] = True
    assert touching(mask, seed).sum() == 1


def test_holes_are_filled_and_bays_are_not():
    mask = np.zeros((9, 9), dtype=bool)
    mask[1:8, 1:8] = True
    mask[3:5, 3:5] = False
    mask[6, 4:] = False
    filled = without_holes(mask)
    assert filled[3:5, 3:5].all()
    assert not filled[6, 4:].any()


def test_a_cleaned_mask_has_neither_specks_nor_pinholes():
    for mask in drawn_masks()[40:60]:
        outside = without_specks(~mask, 0.05)
        expected = without_specks(~outside, 0.02)
        assert (cleaned(mask, specks=0.02, pinholes=0.05) == expected).all()
        assert not (expected == mask).all()


def test_a_mask_of_one_kind_stays_as_it_is():
    for mask in (np.zeros((5, 7), dtype=bool), np.ones((5, 7), dtype=bool)):
        assert (cleaned(mask, specks=0.02, pinholes=0.05) == mask).all()
