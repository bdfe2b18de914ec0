"""Where the product lands in the square, and what is around it."""

import numpy as np
import pytest
import pyvips

from backend.imaging import quality
from backend.imaging.compose import compose
from backend.imaging.encode import (
    FINAL_OPTIONS,
    FinalFormat,
    decode_own,
    encode_final,
    encode_png,
    has_vivid_edges,
    placeholder,
)


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


def test_a_cropped_edge_stays_at_the_images_edge():
    master = compose(
        block(600, 600, top=200, left=200, bottom=600, right=400),
        size=1000,
        margin=0.1,
        background="#ffffff",
    )
    assert master.framing.touches_edge == ["bottom"]
    assert box(master.rgb) == (100, 1000, 275, 725)


@pytest.mark.parametrize("background", ["#ffffff", "#f4efe6", "#000000"])
def test_the_background_is_exact_up_to_the_product(background):
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


@pytest.mark.parametrize(
    "name",
    [
        "tee_white",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("tee_navy", "dress_floral", "breton_long_sleeve")
        ),
    ],
)
def test_the_corners_of_every_final_are_pure_white_after_encoding(cut_garment, name):
    master = compose(cut_garment(name).rgba, size=2048, margin=0.08, background="#ffffff")
    wanted: list[tuple[int, FinalFormat]] = [(2048, "jpeg"), (1024, "webp"), (1024, "avif")]
    for size, format_ in wanted:
        final = decode_own(encode_final(master.rgb, size=size, format_=format_))
        assert final.shape == (size, size, 3)
        assert (final[[0, 0, -1, -1], [0, -1, 0, -1]] == 255).all()
        assert quality.corners_are(final, "#ffffff")


@pytest.mark.parametrize("background", ["#ffffff", "#f4efe6"])
@pytest.mark.parametrize("format_", ["jpeg", "webp", "avif"])
def test_a_contact_shadow_lies_below_the_product_and_not_in_the_corners(background, format_):
    rgba = block(900, 900, top=100, left=200, bottom=700, right=700)
    plain, shaded = (
        compose(rgba, size=800, margin=0.12, background=background, shadow=shadow).rgb
        for shadow in ("none", "contact")
    )
    product = box(plain)
    assert box(shaded)[2:] == product[2:]
    taken = plain.astype(int) - shaded
    assert taken[product[1] + 4, 400].min() > 60 and taken[: product[1] - 60].max() <= 1
    rim = np.concatenate([taken[0], taken[-1], taken[:, 0], taken[:, -1]])
    assert (rim == 0).all()
    final = decode_own(encode_final(shaded, size=640, format_=format_))
    assert quality.corners_are(final, background)


def test_a_narrower_canvas_keeps_the_product_whole_and_centred():
    rgb = compose(
        block(900, 900, top=100, left=100, bottom=500, right=500),
        size=1000,
        margin=0.1,
        background="#ffffff",
        aspect=0.8,
    ).rgb
    assert rgb.shape == (1000, 800, 3)
    assert box(rgb) == (180, 820, 80, 720)


def test_an_avif_is_av1_and_smaller_than_the_jpeg(cut_garment):
    rgb = compose(cut_garment("tee_navy").rgba, size=700, margin=0.08, background="#ffffff").rgb
    avif = encode_final(rgb, size=700, format_="avif")
    assert avif[4:12] == b"ftypavif" and b"av01" in avif[:400]
    assert len(avif) < 0.5 * len(encode_final(rgb, size=700, format_="jpeg"))
    drift = np.abs(decode_own(avif).astype(int) - rgb).mean()
    assert drift < 1.5


def test_a_generated_gradient_keeps_its_grain_with_smooth_encoding():
    ramp = np.linspace(100, 110, 400)[:, None, None] + np.random.default_rng(7).normal(
        0, 1.2, (400, 400, 1)
    )
    rgb = np.repeat(ramp, 3, axis=2).round().astype(np.uint8)
    for format_ in ("webp", "avif"):
        grain = [
            decode_own(encode_final(rgb, size=400, format_=format_, smooth=smooth))
            .astype(float)[..., 1]
            .std(axis=1)
            .mean()
            for smooth in (False, True)
        ]
        assert grain[1] > 1.5 * grain[0]


def test_a_png_is_lossless(cut_garment):
    cutout = cut_garment("tee_navy")
    assert (decode_own(encode_png(cutout.rgba)) == cutout.rgba).all()
    assert (decode_own(encode_png(cutout.mask)) == cutout.mask).all()


def test_the_placeholder_is_small_enough_for_a_database_row(cut_garment):
    master = compose(cut_garment("dress_floral").rgba, size=512, margin=0.08, background="#ffffff")
    uri = placeholder(master.rgb)
    assert uri.startswith("data:image/webp;base64,") and len(uri) < 600


def flowers(period: int, colour: tuple[int, int, int] = (220, 20, 40)):
    """A white 400 px square with dots of that colour, so many pixels apart."""
    y, x = np.mgrid[0:400, 0:400]
    dots = np.hypot(x % period - period / 2, y % period - period / 2) < period / 4
    return np.where(dots[..., None], np.array(colour, dtype=np.uint8), np.uint8(255))


@pytest.mark.parametrize(
    ("rgb", "is_vivid"),
    [
        (flowers(12), True),
        (flowers(12, (90, 90, 90)), False),
        (flowers(12, (215, 190, 160)), False),
    ],
    ids=["red flowers", "grey flowers", "beige flowers"],
)
def test_a_webp_keeps_its_colours_where_vivid_ones_meet(rgb, is_vivid):
    assert has_vivid_edges(rgb) is is_vivid
    plain = pyvips.Image.new_from_array(rgb).copy(interpretation="srgb")
    without = decode_own(plain.write_to_buffer(".webp", keep="none", **FINAL_OPTIONS["webp"]))
    final = decode_own(encode_final(rgb, size=400, format_="webp"))
    was, now = (np.abs(seen.astype(int) - rgb).mean() for seen in (without, final))
    assert now < was if is_vivid else now == was
