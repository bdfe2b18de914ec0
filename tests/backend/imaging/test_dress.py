"""The preview's pixels: an untouched garment, a body behind it, and paper around both."""

import numpy as np
import pytest
from numpy.typing import NDArray

from backend.imaging import filters
from backend.imaging.dress import draw, try_on
from backend.imaging.filters import Mask
from tests.backend.imaging import outlines

PAPER = [0xF4, 0xF4, 0xF2]
# (shape, category, whether feet are in the picture)
WORN = {
    "top": (outlines.tee, False),
    "dress": (outlines.dress, False),
    "bottom": (outlines.trousers, True),
}


@pytest.fixture(scope="module", params=WORN)
def dressed_garment(request):
    """A fitting and its picture of 640 × 800 pixels."""
    fitting = try_on(outlines.cutout(WORN[request.param][0]()), request.param, "female")
    return fitting, draw(fitting, size=800, background="#f4f4f2")


def is_body(rgb: NDArray[np.uint8]) -> Mask:
    """Grey and darker than the paper."""
    levels = rgb.astype(int)
    return np.asarray((np.ptp(levels, axis=-1) < 30) & (levels.max(axis=-1) < 238))


def is_cloth(rgb: NDArray[np.uint8]) -> Mask:
    """The blue that `outlines.cutout` paints with."""
    return np.asarray(rgb[..., 2].astype(int) - rgb[..., 0] > 25)


def test_the_preview_is_4_to_5_with_an_exact_background(dressed_garment):
    _, dressed = dressed_garment
    assert dressed.rgb.shape == (800, 640, 3)
    assert (dressed.rgb[[0, 0, 400, 400], [0, -1, 0, -1]] == PAPER).all()


def test_no_pixel_of_the_garment_is_repainted(dressed_garment):
    fitting, dressed = dressed_garment
    cloth = is_cloth(dressed.rgb)
    rows, _columns = filters.bounds(cloth)
    source = fitting.rgba
    assert (rows.stop - rows.start) / source.shape[0] == pytest.approx(dressed.scale, rel=0.02)
    # The ramp that the garment was painted with comes back at the same height of the garment.
    inside = filters.erode(cloth, 4)
    for share in (0.1, 0.3, 0.5, 0.7, 0.9):
        row = rows.start + round(share * (rows.stop - rows.start))
        seen = dressed.rgb[row][inside[row]].astype(int)
        painted = source[round(share * source.shape[0])]
        wanted = painted[painted[:, 3] > 0][0, :3].astype(int)
        assert len(seen) > 20 and np.abs(seen - wanted).max() <= 2


def test_the_body_shows_above_and_below_the_garment(dressed_garment):
    _, dressed = dressed_garment
    body, cloth = is_body(dressed.rgb), is_cloth(dressed.rgb)
    rows, _columns = filters.bounds(cloth)
    assert body[: rows.start].sum() > 800
    assert body[rows.stop :].sum() > 800
    middle = slice(rows.start + 60, rows.stop - 10)
    beside = body[middle] & ~filters.dilate(cloth, 2)[middle]
    assert beside.sum() < 0.05 * cloth.sum()


def test_the_garment_casts_a_shadow_below_its_hem():
    fitting = try_on(outlines.cutout(outlines.tee()), "top", "female")
    rgb = draw(fitting, size=800, background="#f4f4f2").rgb
    hem = filters.bounds(is_cloth(rgb))[0].stop
    leg = rgb[:, 250, 1].astype(int)
    assert leg[hem + 4] < leg[hem + 60] - 25


def test_an_ankle_length_garment_shows_whole_feet_on_a_floor():
    fitting = try_on(outlines.cutout(outlines.trousers()), "bottom", "male")
    rgb = draw(fitting, size=800, background="#f4f4f2").rgb
    assert (rgb[-1] == PAPER).all()
    below = rgb[filters.bounds(is_cloth(rgb))[0].stop :].max(axis=-1)
    assert ((below > 200) & (below < 238)).sum() > 200  # their soft shadow on the floor


def test_feet_below_a_calf_length_hem_are_not_cut_off():
    skirt = outlines.taper(60, 500, 75, 150)
    fitting = try_on(outlines.cutout(skirt), "bottom", "female")
    rgb = draw(fitting, size=800, background="#f4f4f2").rgb
    hem = filters.bounds(is_cloth(rgb))[0].stop
    assert is_body(rgb)[hem + 20].any() and (rgb[-1] == PAPER).all()


def test_the_body_ends_at_the_images_edge():
    fitting = try_on(outlines.cutout(outlines.tee()), "top", "female")
    rgb = draw(fitting, size=800, background="#f4f4f2").rgb
    assert is_body(rgb)[-1].sum() > 100


def test_both_bodies_and_other_backgrounds_are_drawn():
    cutout = outlines.cutout(outlines.dress())
    pictures = [
        draw(try_on(cutout, "dress", body), size=400, background="#203040").rgb
        for body in ("female", "male")
    ]
    assert (pictures[0] != pictures[1]).any()
    assert all((picture[0, 0] == [0x20, 0x30, 0x40]).all() for picture in pictures)
