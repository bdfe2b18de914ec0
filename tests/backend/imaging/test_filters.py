"""Filters on masks."""

import numpy as np

from backend.imaging import filters


def test_a_cleaned_mask_has_neither_specks_nor_pinholes():
    rng = np.random.default_rng(7)
    for _ in range(20):
        mask = filters.blur(rng.random((40, 50)).astype(np.float32), 1) > 0.5
        outside = filters.without_specks(~mask, 0.05)
        expected = filters.without_specks(~outside, 0.02)
        assert (filters.cleaned(mask, specks=0.02, pinholes=0.05) == expected).all()
        assert not (expected == mask).all()


def test_a_mask_of_one_kind_stays_as_it_is():
    for mask in (np.zeros((5, 7), dtype=bool), np.ones((5, 7), dtype=bool)):
        assert (filters.cleaned(mask, specks=0.02, pinholes=0.05) == mask).all()
