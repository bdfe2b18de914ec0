"""Where the product lands in the square, and what is around it."""

import numpy as np
import pytest

from backend.imaging import quality
from backend.imaging.compose import compose
from backend.imaging.encode import decode_own, encode_final, encode_png, placeholder


def block(height: int, width: int, *, top: int, left: int, bottom: int, right: int):
    """A solid red block on a transparent (height, width) picture."""
    rgba = np.zeros((height, width, 4), dtype=np.uint8)
    rgba[top:bottom, left:right] = [200, 30, 30, 255]
    return rgba


def box(rgb) -> tuple[int, int, int, int]:
    """(top, bottom, left, right): first and one past the last row and column of the product."""
    ink = rgb[..., 1] < 140
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    return rows[0], rows[-1] + 1, columns[0], columns[-1] + 1


def test_the_product_is_centred_within_its_margin():
    master = compose(
        block(900, 900, top=100, left=500, bottom=500, right=700),
        size=1000,
        margin=0.1,
        background="#ffffff",
    )
    assert box(master.rgb) == (100, 900, 300, 700)
    assert master.framing.scale == 2.0 and master.framing.upscaled


def test_a_cut_edge_stays_at_the_edge_instead_of_floating():
    master = compose(
        block(600, 600, top=200, left=200, bottom=600, right=400),
        size=1000,
        margin=0.1,
        background="#ffffff",
    )
    assert master.framing.touches_edge == ["bottom"]
    assert box(master.rgb) == (100, 1000, 275, 725)


@pytest.mark.parametrize("background", ["#ffffff", "#f4efe6", "#000000"])
def test_the_background_is_exact_right_up_to_the_product(background):
    rgba = block(700, 700, top=200, left=200, bottom=500, right=500)
    rgb = compose(rgba, size=800, margin=0.2, background=background).rgb
    paper = list(bytes.fromhex(background[1:]))
    assert quality.corners_are(rgb, background)
    assert (rgb[:150] == paper).all()
    assert (rgb[400, 400] == [200, 30, 30]).all()


def test_transparent_black_does_not_darken_the_edge():
    rgb = compose(
        block(700, 700, top=200, left=200, bottom=500, right=500),
        size=777,
        margin=0.13,
        background="#ffffff",
    ).rgb
    # Every pixel lies between the product's red and white; black would pull red below 200.
    assert rgb[..., 0].min() >= 198


@pytest.mark.parametrize("name", ["tee_navy", "tee_white", "dress_floral", "breton_long_sleeve"])
def test_the_corners_of_every_final_are_pure_white_after_encoding(cut_garment, name):
    master = compose(cut_garment(name).rgba, size=2048, margin=0.08, background="#ffffff")
    finals = [
        encode_final(master.rgb, size=2048, format_="jpeg"),
        encode_final(master.rgb, size=1024, format_="webp"),
    ]
    for final in map(decode_own, finals):
        assert (final[[0, 0, -1, -1], [0, -1, 0, -1]] == 255).all()
        assert quality.corners_are(final, "#ffffff")


def test_a_png_comes_back_as_it_was(cut_garment):
    cutout = cut_garment("tee_navy")
    assert (decode_own(encode_png(cutout.rgba)) == cutout.rgba).all()
    assert (decode_own(encode_png(cutout.mask)) == cutout.mask).all()


def test_the_placeholder_fits_into_a_row_of_the_database(cut_garment):
    master = compose(cut_garment("dress_floral").rgba, size=512, margin=0.08, background="#ffffff")
    uri = placeholder(master.rgb)
    assert uri.startswith("data:image/webp;base64,") and len(uri) < 600
