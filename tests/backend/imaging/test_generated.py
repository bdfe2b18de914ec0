"""What lets a generative picture pass, and what sends it to a person."""

import msgspec
import pytest

from backend.imaging.generated import GarmentComparison, GeneratedQuality, verdict_on_generated
from backend.imaging.likeness import Likeness

SAME = Likeness(
    found=0.99,
    beyond=0.05,
    drift=2.0,
    drift_p90=4.0,
    worst_colour=3.0,
    unlike=0.0,
    pattern=0.9,
    added=0.0,
)
COMPARED = GarmentComparison(likeness=SAME, is_unchanged=False, is_certain=True)


def judged(comparison: GarmentComparison | None, scale: float = 1.0, aspect: float = 1.5):
    quality = GeneratedQuality(
        scale=scale, upscaled=scale > 1, aspect=aspect, comparison=comparison
    )
    return verdict_on_generated(quality)


def codes(*args, **kwargs) -> list[str]:
    return [reason.code for reason in judged(*args, **kwargs).reasons]


def test_a_picture_passes_only_if_its_garment_was_found_again() -> None:
    assert judged(COMPARED).verdict == "pass"
    assert judged(None).verdict == "needs_review"
    assert codes(None) == ["NOT_COMPARED"]


@pytest.mark.parametrize(
    ("figures", "code"),
    [
        ({"drift": 6.1}, "COLOUR_DRIFT"),
        ({"drift_p90": 10.1}, "COLOUR_DRIFT"),
        ({"worst_colour": 8.1}, "COLOUR_DRIFT"),
        ({"found": 0.95}, "SHAPE_DIFFERS"),
        ({"beyond": 0.17}, "SHAPE_DIFFERS"),
        ({"pattern": 0.5}, "PRINT_DIFFERS"),
        ({"added": 0.03}, "PRINT_DIFFERS"),
        ({"unlike": 0.02}, "PRINT_DIFFERS"),
        ({"found": 0.4, "drift": 40.0}, "GARMENT_NOT_FOUND"),
    ],
)
def test_each_figure_has_its_reason(figures, code) -> None:
    like = msgspec.structs.replace(SAME, **figures)
    assert codes(msgspec.structs.replace(COMPARED, likeness=like)) == [code]


def test_a_plain_garment_has_no_pattern_to_lose() -> None:
    plain = msgspec.structs.replace(SAME, pattern=None)
    assert judged(msgspec.structs.replace(COMPARED, likeness=plain)).verdict == "pass"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"likeness": None}, "GARMENT_NOT_FOUND"),
        ({"is_unchanged": True}, "UNCHANGED"),
        ({"is_certain": False}, "GARMENT_UNCERTAIN"),
    ],
)
def test_a_comparison_that_says_nothing_passes_nothing(change, code) -> None:
    assert codes(msgspec.structs.replace(COMPARED, **change)) == [code]


def test_an_enlarged_picture_is_noted_and_beyond_twice_its_size_reviewed() -> None:
    noted = judged(COMPARED, scale=1.6)
    assert noted.verdict == "pass" and [note.code for note in noted.notes] == ["UPSCALED"]
    assert codes(COMPARED, scale=2.1) == ["UPSCALED"]
    assert judged(COMPARED).notes == []


def test_a_strip_of_a_picture_is_reviewed() -> None:
    assert codes(COMPARED, aspect=2.3) == ["ASPECT_RATIO"]
