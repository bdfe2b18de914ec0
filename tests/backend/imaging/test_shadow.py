"""Where a shadow falls, and where it must never fall."""

import numpy as np
import pytest

from backend.imaging.shadow import Cast, cast_shadow, contact_shadow
from tests.backend.imaging import outlines


def small(shape: outlines.Shape):
    return shape[::2, ::2].astype(np.float32)


def test_a_contact_shadow_is_darkest_under_the_product_and_fades():
    shade = contact_shadow(small(outlines.block(200, 600, 150, 450)))
    below = shade[300:345, 150]
    assert 0.4 < below[1] < 0.95
    assert (np.diff(below[4:]) <= 1e-4).all() and below[-1] < 0.02
    assert shade[302, 150] > shade[302, 70] > 0  # wider than the product, and softer there


def test_a_contact_shadow_leaves_the_area_above_the_ground_light():
    shade = contact_shadow(small(outlines.block(200, 600, 150, 450)))
    assert shade[:240].max() < 1e-3


@pytest.mark.parametrize("shape", [outlines.tee, outlines.bag, outlines.trousers])
def test_the_rim_of_the_image_has_no_shadow(shape):
    shade = contact_shadow(small(shape()))
    rim = np.concatenate([shade[0], shade[-1], shade[:, 0], shade[:, -1]])
    assert shade.max() > 0.3 and (rim == 0).all()


def test_both_trouser_legs_have_a_shadow_and_the_gap_does_not():
    shade = contact_shadow(small(outlines.trousers()))
    ground = shade[351]
    assert ground[115] > 0.3 and ground[185] > 0.3
    assert ground[150] < 0.6 * ground[115]


def test_parts_high_above_the_ground_cast_no_contact_shadow():
    hanging = outlines.block(200, 600, 220, 380) | outlines.block(200, 420, 60, 120)
    ground = contact_shadow(small(hanging))[302]
    assert ground[150] > 0.4 and ground[45] < 0.02


@pytest.mark.parametrize("shape", [outlines.block(300, 750, 200, 400), outlines.block(0, 0, 0, 0)])
def test_a_product_cut_off_at_the_bottom_has_no_contact_shadow(shape):
    assert contact_shadow(small(shape)).max() == 0


def test_a_cast_shadow_is_the_products_shape_moved_to_the_lower_right():
    alpha = small(outlines.block(200, 400, 200, 400))
    shade = cast_shadow(alpha, (Cast(right=0.04, down=0.08, blur=0.001, darkness=0.5),))
    rows, columns = np.nonzero(shade > 0.25)
    assert (rows.min(), columns.min()) == (130, 115)
    assert shade.max() == pytest.approx(0.5, abs=0.01)
