"""The product stays where it stands, before a background that fills the picture."""

import numpy as np
import pytest
import pyvips

from backend.imaging.formats import ImageRefused
from backend.imaging.swap import swap_with_picture, swap_with_set
from tests.backend.imaging import files, outlines


@pytest.fixture(scope="module")
def product():
    """A block on the left, so that a shift or a mirror shows."""
    return outlines.cutout(outlines.block(200, 600, 60, 260), (20, 160, 40))


def picture(width: int, height: int) -> bytes:
    """Red, green and blue thirds from left to right."""
    thirds = np.array([[[220, 20, 20], [20, 220, 20], [20, 20, 220]]], dtype=np.uint8)
    return files.png(files.srgb(np.repeat(np.repeat(thirds, height, 0), width // 3, 1)))


def swapped(product, background: bytes, *, size=750, shadow="none"):
    return swap_with_picture(product, background, size=size, shadow=shadow)


def test_every_pixel_of_the_product_keeps_its_place(product):
    result = swapped(product, picture(1200, 1500))
    solid = product[..., 3] == 255
    assert result.scale == 1.0
    assert np.abs(result.rgb[solid].astype(int) - product[..., :3][solid]).max() <= 1


def test_the_result_keeps_the_photos_shape_and_the_products_share(product):
    rgb = swapped(product, picture(1200, 600), size=1500).rgb
    assert rgb.shape == (1500, 1200, 3)
    green = (rgb[..., 1] > 70) & (rgb[..., 0] < 60) & (rgb[..., 2] < 60) & (rgb[..., 1] < 180)
    rows, columns = np.flatnonzero(green.any(axis=1)), np.flatnonzero(green[:, :560].any(axis=0))
    assert abs(rows[0] - 400) <= 1 and abs(rows[-1] - 1199) <= 1
    assert abs(columns[0] - 120) <= 1 and abs(columns[-1] - 519) <= 1


@pytest.mark.parametrize("background", [(2400, 600), (600, 2000), (600, 600), (1200, 1500)])
def test_the_background_covers_the_image_undistorted_and_centred(product, background):
    rgb = swapped(product, picture(*background)).rgb
    assert rgb.shape == (750, 600, 3)
    last = rgb[10].astype(int).argmax(axis=-1)
    assert last[300] == 1  # green is in the middle of the background
    # A third of a 2400 × 600 picture is 800 wide, more than what is left of it: all green.
    if background == (2400, 600):
        assert (last == 1).all()
    else:
        assert last[0] == 0 and last[-1] == 2
    edges = np.flatnonzero(np.diff(last))
    assert len(edges) in (0, 2) and (len(edges) == 0 or abs(edges.sum() - 599) <= 3)


def test_a_small_background_is_enlarged_to_fill_the_image(product):
    rgb = swapped(product, picture(600, 600), size=1500).rgb
    assert rgb.shape == (1500, 1200, 3) and rgb[[0, -1]].max(axis=-1).min() > 100


def test_a_rotated_background_is_set_upright(product):
    turned = files.photo(1500, 1200).copy()
    turned.set_type(pyvips.GValue.gint_type, "orientation", 6)
    rgb = swapped(product, files.jpeg(turned)).rgb.astype(int)
    # The disc at the left of the stored picture is at the top of the upright one.
    assert rgb[180, 300, 0] - rgb[180, 300, 2] > 100 and rgb[560, 450].min() > 220


def test_a_transparent_background_is_laid_on_white(product):
    clear = files.photo(800, 1000).bandjoin(0)
    assert (swapped(product, files.png(clear)).rgb[5, 5] == 255).all()


@pytest.mark.parametrize(
    ("background", "code"),
    [
        (lambda: b"%PDF-1.7" + bytes(100), "IMAGE_TYPE_UNSUPPORTED"),
        (files.bomb_png, "IMAGE_TOO_LARGE"),
        (files.broken_jpeg, "IMAGE_CORRUPT"),
        (files.animated_webp, "IMAGE_ANIMATED"),
        (files.small_jpeg, "IMAGE_TOO_SMALL"),
    ],
)
def test_a_background_is_checked_like_any_upload(product, background, code):
    with pytest.raises(ImageRefused) as caught:
        swapped(product, background())
    assert caught.value.code == code


def test_no_trace_of_the_old_background_is_left_at_the_edge(cut_garment):
    black = files.png(files.srgb(np.zeros((1000, 800, 3), dtype=np.uint8)))
    rgba = cut_garment("tee_navy").rgba
    rgb = swap_with_picture(rgba, black, size=1500, shadow="none").rgb
    rim = (rgba[..., 3] > 12) & (rgba[..., 3] < 243)
    # The photo's paper is 236 bright: a tenth of it left in the rim would show as 23 levels.
    assert rgb[rim].mean() < 45 and (rgb[rgba[..., 3] == 0] == 0).all()


def test_the_contact_shadow_darkens_only_the_ground_below(product):
    background = picture(1200, 1500)
    plain, shaded = (swapped(product, background, shadow=s).rgb for s in ("none", "contact"))
    taken = plain.astype(int).max(axis=-1) - shaded.astype(int).max(axis=-1)
    assert taken[605, 160] > 60 and taken.min() >= 0
    assert np.abs(taken[:550]).max() <= 1 and taken[product[..., 3] == 255].max() == 0


@pytest.mark.parametrize("scene", ["studio", "wall"])
def test_a_set_is_drawn_behind_the_product_with_its_shadow(product, scene):
    made = {
        shadow: swap_with_set(
            product, scene, "neutral", ("#d9cdbb",), size=750, shadow=shadow
        ).rgb.astype(int)
        for shadow in ("none", "contact")
    }
    solid = product[..., 3] == 255
    assert np.abs(made["contact"][solid] - product[..., :3][solid]).max() <= 1
    taken = (made["none"] - made["contact"]).mean(axis=-1)
    assert taken[606, 160] > 30
    beside = taken[400, 265]  # on a wall the shape itself is cast, on a floor only the foot
    assert beside > 15 if scene == "wall" else beside < 2


def test_the_same_parameters_give_the_same_image(product):
    one, two = (
        swap_with_set(product, "tabletop", "warm", ("#c9b8a4",), size=500, shadow="contact").rgb
        for _ in range(2)
    )
    assert (one == two).all()
