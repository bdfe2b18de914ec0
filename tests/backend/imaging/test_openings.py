"""Openings against prints in the paper's colour: who is believed when colour and net disagree."""

import numpy as np
import pytest

from backend.imaging.backdrop import Backdrop, Ringing, backdrop_difference, lab, positions
from backend.imaging.filters import Floats, Mask
from backend.imaging.openings import Openings, find_openings

SIDE = 300
RED = (190, 60, 45)
y, x = np.mgrid[0:SIDE, 0:SIDE]
distance = np.hypot(x - 150, y - 150)
HOOP: Mask = (distance < 110) & (distance > 60)
INSIDE: Mask = distance <= 60


def found(
    paper: tuple[int, int, int], believed: float, *, inside: tuple[int, int, int] | None = None
) -> Openings:
    """A red hoop on the paper; the net believes that much that its inside is product."""
    rgb = np.full((SIDE, SIDE, 3), paper, dtype=np.uint8)
    rgb[HOOP] = RED
    rgb[INSIDE] = inside or paper
    probability: Floats = np.where(INSIDE, believed, HOOP).astype(np.float32)
    pixels = lab(rgb)
    coefficients = np.zeros((6, 3), dtype=np.float32)
    coefficients[0] = pixels[0, 0]
    backdrop = Backdrop(coefficients, noise=0.8)
    difference = backdrop_difference(pixels, backdrop, *positions(pixels.shape))
    return find_openings(probability, pixels[..., 0], backdrop, difference, Ringing(6.0, 8))


@pytest.mark.parametrize("paper", [(244, 244, 242), (190, 190, 188), (104, 58, 140)])
def test_an_opening_that_both_see_is_open_and_certain(paper):
    openings = found(paper, believed=0.02)
    assert (openings.mask == INSIDE).all() and openings.doubtful == 0


def test_on_coloured_paper_colour_overrules_the_net_for_certain():
    openings = found((104, 58, 140), believed=0.98)
    assert (openings.mask == INSIDE).all() and openings.doubtful == 0


def test_on_grey_paper_colour_overrules_the_net_and_a_person_is_asked():
    openings = found((190, 190, 188), believed=0.98)
    assert (openings.mask == INSIDE).all()
    assert openings.doubtful == pytest.approx(INSIDE.mean(), abs=1e-4)


def test_on_white_paper_a_white_print_stays_and_a_person_is_asked():
    openings = found((250, 250, 250), believed=0.98)
    assert not openings.mask.any()
    assert openings.doubtful == pytest.approx(INSIDE.mean(), abs=1e-4)


def test_a_print_of_another_colour_is_no_opening():
    openings = found((190, 190, 188), believed=0.98, inside=(240, 200, 60))
    assert not openings.mask.any() and openings.doubtful == 0


def test_paper_that_jpeg_tinted_beside_the_edge_is_open_too():
    paper = (190, 190, 188)
    rgb = np.full((SIDE, SIDE, 3), paper, dtype=np.uint8)
    rgb[HOOP] = RED
    rgb[INSIDE & (distance > 54)] = (198, 188, 186)  # about 4 ΔE
    pixels = lab(rgb)
    coefficients = np.zeros((6, 3), dtype=np.float32)
    coefficients[0] = pixels[0, 0]
    backdrop = Backdrop(coefficients, noise=0.8)
    difference = backdrop_difference(pixels, backdrop, *positions(pixels.shape))
    probability = (HOOP | (INSIDE & (distance > 54))).astype(np.float32)
    openings = find_openings(probability, pixels[..., 0], backdrop, difference, Ringing(6.0, 8))
    assert (openings.mask == INSIDE).all()
