"""A worn garment is compared with its photo: the same one, and one that an engine got wrong.

All of `tests.benchmarks.garment_verdicts` takes minutes; these are the figures that matter.
"""

import numpy as np
import pytest

from backend.imaging.likeness import compare_garment, is_unchanged
from tests.backend.imaging import outlines, worn

TEE = outlines.cutout(outlines.tee())
PLAIN = worn.Shot(folds=0.05, sway=0.0, narrow=1.0)
GREY = np.full((400, 320, 3), 236, np.uint8)


def on_grey(garment: worn.Rgba) -> worn.Rgb:
    alpha = garment[..., 3:] / 255
    return np.asarray(garment[..., :3] * alpha + 236 * (1 - alpha), dtype=np.uint8)


@pytest.fixture(scope="module")
def picture() -> worn.Rgb:
    """The tee as it is, worn."""
    return worn.worn(TEE, "top", PLAIN)


def test_a_worn_garment_is_found_in_its_own_colours(picture, net) -> None:
    like = compare_garment(TEE, picture, net)
    assert like is not None
    assert like.found > 0.95 and like.drift < 4 and like.unlike == like.added == 0


@pytest.mark.parametrize(("width", "alpha"), [(0.8, 255), (90, 100)], ids=["thin", "faint"])
def test_a_cutout_without_opaque_pixels_is_not_found(width, alpha) -> None:
    """At the size of the search, or at all; the picture is paid for, so a person looks at it."""
    rows, columns = np.mgrid[0:1000, 0:1000]
    necklace = np.zeros((1000, 1000, 4), np.uint8)
    necklace[..., :3] = (200, 160, 60)
    necklace[..., 3] = alpha * (abs(np.hypot(rows - 500, columns - 500) - 400) < width)
    assert compare_garment(necklace, GREY, None) is None


@pytest.mark.parametrize("change", [{"lighter": 12}, {"hue": 150}])
def test_colours_that_changed_are_measured(picture, net, change) -> None:
    """The photo's garment is the changed one here, which saves drawing another person."""
    like = compare_garment(worn.recoloured(TEE, **change), picture, net)
    assert like is None or like.drift > 6


def test_a_print_that_is_missing_is_noticed(picture, net) -> None:
    like = compare_garment(worn.with_print(TEE), picture, net)
    assert like is not None
    assert like.unlike > 0.01 and (like.pattern or 0) < 0.6


def test_nothing_is_found_on_an_empty_backdrop(net) -> None:
    assert compare_garment(TEE, GREY, net) is None


def test_the_photo_itself_is_told_from_a_worn_garment(picture) -> None:
    photo = on_grey(TEE)
    assert is_unchanged(TEE, photo)
    assert is_unchanged(TEE, photo[::2, ::2])
    assert not is_unchanged(TEE, picture)
    assert not is_unchanged(TEE, photo[:400])


@pytest.mark.slow
@pytest.mark.parametrize(("name", "category"), [("tee_white", "top"), ("dress_floral", "dress")])
def test_a_sample_garment_is_found_again_through_folds_and_another_light(
    cut_garment, net, name, category
) -> None:
    garment = cut_garment(name).rgba
    like = compare_garment(garment, worn.worn(garment, category, worn.SHOTS["brighter"]), net)
    assert like is not None
    assert like.found > 0.96 and like.beyond < 0.16 and like.unlike == 0
    assert like.drift < 6 and like.worst_colour < 8 and (like.pattern or 1) > 0.6


@pytest.mark.slow
@pytest.mark.parametrize("change", ["print removed", "without sleeves"])
def test_what_an_engine_got_wrong_shows_in_the_figures(cut_garment, net, change) -> None:
    garment = cut_garment("dress_floral").rgba
    picture = worn.worn(worn.CHANGES[change](garment), "dress", worn.SHOTS["studio"])
    like = compare_garment(garment, picture, net)
    assert like is None or like.found < 0.96 or (like.pattern or 0) < 0.6
