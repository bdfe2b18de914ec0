"""What an outline tells about a garment, and how well it hangs on a mannequin."""

import numpy as np
import pytest

from backend.imaging.fit import fit_garment
from backend.imaging.garment import measure_garment
from backend.imaging.mannequin import load_mannequin
from tests.backend.imaging import outlines

GOOD = 0.85


@pytest.fixture(scope="module", params=["female", "male"])
def body(request):
    return load_mannequin(request.param)


@pytest.fixture(scope="module")
def measured():
    """The marks of a shape."""
    return lambda shape: measure_garment(outlines.cutout(shape)[..., 3])


def test_the_mannequins_are_upright_and_symmetrical(body):
    mask = body.mask
    mirrored = mask[:, ::-1]
    assert (mask & mirrored).sum() / (mask | mirrored).sum() > 0.98
    assert body.neck < body.shoulder < body.chest < body.belt < body.hip < body.knee
    assert all(mask[round(row), round(body.axis)] for row in (body.neck, body.chest, body.hip))
    assert body.waist < body.width_at(body.chest) < body.width_at(body.hip + 150)


def test_garment_landmarks_are_found_in_photo_pixels(measured):
    tee = measured(outlines.tee())
    assert tee.axis * tee.cell == pytest.approx(250, abs=8)  # counted from the sleeve's end
    assert tee.torso * tee.cell == pytest.approx(255, abs=8)
    assert tee.top * tee.cell == pytest.approx(0, abs=4)
    assert tee.symmetry > 0.97
    dress = measured(outlines.dress())
    assert dress.waist * dress.cell == pytest.approx(155, abs=10)
    trousers = measured(outlines.trousers())
    assert trousers.waistband * trousers.cell == pytest.approx(190, abs=15)


def test_wide_sleeves_do_not_widen_the_torso(measured):
    sleeved = (
        outlines.tee() | outlines.block(110, 420, 90, 150) | outlines.block(110, 420, 450, 510)
    )
    assert measured(sleeved).torso == pytest.approx(measured(outlines.tee()).torso, rel=0.05)


@pytest.mark.parametrize(
    ("shape", "category"),
    [(outlines.tee, "top"), (outlines.dress, "dress"), (outlines.trousers, "bottom")],
)
def test_garments_of_their_category_fit_at_any_photo_size(body, measured, shape, category):
    fit = fit_garment(measured(shape()), body, category)
    assert fit is not None and fit.quality > 0.93
    half = measure_garment(outlines.cutout(shape())[::2, ::2, 3])
    again = fit_garment(half, body, category)
    assert again is not None and again.scale == pytest.approx(2 * fit.scale, rel=0.12)


@pytest.mark.parametrize("name", ["tee_navy", "tee_white", "breton_long_sleeve"])
def test_the_sample_tops_fit(cut_garment, body, name):
    fit = fit_garment(measure_garment(cut_garment(name).mask), body, "top")
    assert fit is not None and fit.quality > 0.97


def test_the_sample_dress_fits_as_a_dress(cut_garment, body):
    fit = fit_garment(measure_garment(cut_garment("dress_floral").mask), body, "dress")
    assert fit is not None and fit.quality > 0.97


def test_a_garment_hangs_from_the_collar_or_belt_on_the_bodys_axis(body, measured):
    tee = measured(outlines.tee())
    top = fit_garment(tee, body, "top")
    assert top is not None and body.neck - 20 < top.top < body.shoulder
    assert top.left + tee.axis * tee.cell * top.scale == pytest.approx(body.axis, abs=1)
    trousers = fit_garment(measured(outlines.trousers()), body, "bottom")
    assert trousers is not None and trousers.top == pytest.approx(body.belt, abs=40)


@pytest.mark.parametrize(
    ("shape", "category"),
    [
        (outlines.person, "top"),
        (outlines.person, "dress"),
        (outlines.mug, "top"),
        (outlines.bag, "dress"),
        (outlines.bag, "bottom"),
        (lambda: outlines.tilted(outlines.tee(), 25), "top"),
        (lambda: outlines.block(50, 720, 270, 330), "top"),
    ],
    ids=[
        "person",
        "person-as-dress",
        "mug",
        "bag-as-dress",
        "bag-as-bottom",
        "tilted-tee",
        "scarf",
    ],
)
def test_a_bad_fit_has_a_low_quality(body, measured, shape, category):
    fit = fit_garment(measured(shape()), body, category)
    assert fit is None or fit.quality < GOOD


def test_an_outline_without_a_torso_has_no_fit(body, measured):
    assert fit_garment(measured(outlines.trousers()), body, "top") is None


def test_narrow_shoulders_lower_the_quality_of_the_fit(body, measured):
    tee = outlines.tee()
    narrow = tee & ~((np.abs(outlines.column - 300) > 62) & (outlines.row < 230))
    fit = fit_garment(measured(narrow), body, "top")
    assert fit is not None and fit.quality < GOOD
