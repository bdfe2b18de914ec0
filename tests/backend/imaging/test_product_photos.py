"""Drawn photos of products with handles, shadows, badges and the like, cut out with the net.

A photo either passes with its true outline or is sent to a person with the right reason.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest

from backend.imaging.cutout import Cutout, cut_out
from backend.imaging.decode import decode
from backend.imaging.quality import verdict_on
from tests.backend.imaging import files, products
from tests.backend.imaging.outline_errors import edge_error, overlap
from tests.backend.imaging.products import (
    BLACK,
    GOLD,
    NAVY,
    PAPERS,
    RED,
    SILVER,
    TEAL,
    Extra,
    Photo,
    Setting,
    disc,
    photo,
    planks,
    slab,
    table_edge,
)

Cut = Callable[[bytes], Cutout]
pytestmark = pytest.mark.slow  # each cuts out a photo with the net


@pytest.fixture(scope="module")
def cut(net) -> Cut:
    return lambda data: cut_out(decode(data), net)


@pytest.fixture(scope="module")
def plain() -> Photo:
    """A red mug on white paper, with its shadow."""
    return photo(products.mug, RED, Setting(shadow=0.3))


def reasons(cutout: Cutout) -> set[str]:
    return {reason.code for reason in verdict_on(cutout.quality).reasons}


def on(paper: str, shadow: float = 0.4) -> Setting:
    return Setting(paper=PAPERS[paper], shadow=shadow)


@pytest.mark.parametrize(
    ("shape", "colour", "setting"),
    [
        (products.mug, RED, on("purple", 0.45)),
        pytest.param(products.mug, TEAL, on("tan", 0.45)),
        pytest.param(products.mug, NAVY, on("pink")),
        pytest.param(products.mug, RED, on("green", 0.5)),
        pytest.param(products.mug, RED, on("white", 0.3)),
        pytest.param(products.bag, RED, on("grey")),
        pytest.param(products.bag, NAVY, on("tan")),
        pytest.param(products.bag, SILVER, on("white", 0.2)),
        pytest.param(products.watch, BLACK, on("white", 0.3)),
        (products.watch, BLACK, on("tan")),
        (products.ring, SILVER, on("blue")),
        pytest.param(products.mug, RED, Setting(paper=(190, 150, 110), surface=planks())),
        pytest.param(products.bag, NAVY, Setting(surface=table_edge())),
    ],
)
def test_openings_are_open_and_shadows_gone_on_every_paper(cut, shape, colour, setting):
    taken = photo(shape, colour, setting)
    cutout = cut(taken.jpeg())
    assert overlap(cutout.mask, taken.alpha) > 0.985
    assert edge_error(cutout.mask, taken.alpha) < 0.05
    assert reasons(cutout) == set()


@pytest.mark.parametrize(
    ("shape", "colour", "setting", "reason"),
    [
        (
            products.mug,
            (22, 22, 24),
            Setting(paper=(16, 16, 18), texture=0.03, grain=0.8),
            "FAINT_OUTLINE",
        ),
        (
            products.bottle,
            (200, 206, 208),
            Setting(paper=(206, 208, 211), texture=0.02),
            "FAINT_OUTLINE",
        ),
        (products.bottle, RED, Setting(paper=PAPERS["grey"], reflection=0.35), "REFLECTION"),
        (
            products.mug,
            BLACK,
            Setting(extras=(Extra(slab(590, 300, 5, 200), RED),)),
            "ITEM_LEFT_OUT",
        ),
        (products.mug, TEAL, Setting(extras=(Extra(disc(420, 170, 60), RED),)), "BADGE"),
        (products.ring, GOLD, on("white", 0.25), "OPENING_UNCLEAR"),
    ],
    ids=["black-on-black", "clear-glass", "reflection", "second-item", "badge", "ring-on-white"],
)
def test_what_the_photo_leaves_open_is_a_reason_of_its_own(cut, shape, colour, setting, reason):
    assert reason in reasons(cut(photo(shape, colour, setting).jpeg()))


@pytest.mark.parametrize("quality", [10, 15, 20])
def test_a_strongly_compressed_photo_never_passes_with_a_halo(cut, plain, quality):
    cutout = cut(plain.jpeg(quality))
    assert overlap(cutout.mask, plain.alpha) > 0.985 or reasons(cutout)


def test_a_pair_passes_and_a_part_that_is_much_smaller_does_not(cut):
    left = partial(products.mug, size=0.6, at=(150, 300))
    right = partial(products.mug, size=0.6, at=(470, 300))
    pair = photo(left, RED, Setting(shadow=0.2, extras=(Extra(right, NAVY, True),)))
    cutout = cut(pair.jpeg())
    assert reasons(cutout) == set() and overlap(cutout.mask, pair.alpha) > 0.99


def test_a_thin_necklace_is_found_by_its_colour_and_a_person_asked(cut):
    taken = photo(products.necklace, GOLD, on("purple", 0.2))
    cutout = cut(taken.jpeg())
    assert "FOUND_BY_COLOUR" in reasons(cutout)
    chain = taken.alpha > 0.9
    assert (cutout.mask[chain] > 127).mean() > 0.9
    assert cutout.mask[200:400, 300:360].max() == 0  # and nothing between its sides


def test_a_photo_in_a_white_mat_is_sent_to_a_person(cut, plain):
    tan = photo(products.mug, TEAL, on("tan"))
    mat = np.full((900, 840, 3), 245, dtype=np.uint8)
    mat[60:660, 90:750] = tan.rgb
    assert reasons(cut(files.jpeg(files.srgb(mat)))) == {"RECTANGULAR"}


def dotted() -> products.Floats:
    """Opaque but for one pixel."""
    alpha = np.full((products.HEIGHT, products.WIDTH), 255)
    alpha[0, 0] = 0
    return alpha


def rounded() -> products.Floats:
    y, x = np.mgrid[0 : products.HEIGHT, 0 : products.WIDTH].astype(np.float64)
    frame = products.box(x - 330, y - 300, 330, 300, 45)
    return np.asarray(255 * np.clip(0.5 - frame, 0, 1))


@pytest.mark.parametrize(
    "alpha",
    [rounded, lambda: 254, dotted],
    ids=["rounded-corners", "alpha-254", "one-pixel"],
)
def test_a_photo_with_a_little_transparency_is_cut_out(cut, plain, alpha):
    cutout = cut(plain.png(alpha()))
    assert reasons(cutout) == set()
    assert overlap(cutout.mask, plain.alpha) > 0.99


def test_a_photo_on_transparent_padding_is_cut_out_and_a_person_asked(cut, plain):
    image = files.srgb(plain.rgb).bandjoin(255).embed(100, 80, 860, 760)
    cutout = cut(files.png(image.copy(interpretation="srgb")))
    assert reasons(cutout) == {"PADDED"}
    truth = np.zeros((760, 860))
    truth[80:680, 100:760] = plain.alpha
    assert overlap(cutout.mask, truth) > 0.99


def test_a_rectangular_product_on_transparency_is_kept_and_a_person_asked(cut):
    rng = np.random.default_rng(7)
    cover = np.kron(rng.integers(30, 230, (8, 6, 3)), np.ones((60, 60, 1))).astype(np.uint8)
    book = files.srgb(cover).bandjoin(255).embed(150, 60, 660, 600)
    cutout = cut(files.png(book.copy(interpretation="srgb")))
    assert (cutout.mask[60:540, 150:510] == 255).all()
    assert "PADDED" in reasons(cutout)


def test_a_finished_cut_out_stays_as_it_is(cut, plain):
    cutout = cut(plain.png(np.round(255 * plain.alpha)))
    assert (cutout.mask == np.round(255 * plain.alpha)).all()
    assert reasons(cutout) == set()
