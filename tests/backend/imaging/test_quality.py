"""What a figure has to be for a reason, and when it is only a note."""

import numpy as np
import pytest

from backend.imaging.quality import CutoutQuality, judge_cutout, verdict_on


def clean() -> CutoutQuality:
    alpha = np.zeros((100, 100), dtype=np.uint8)
    alpha[20:80, 20:80] = 255
    return judge_cutout(alpha, certain=0.99, extended=0.0)


@pytest.mark.parametrize(
    ("scale", "noted", "reasons"), [(1.9, [], []), (3.0, ["ENLARGED"], []), (4.5, [], ["ENLARGED"])]
)
def test_an_enlargement_is_noted_before_it_is_doubted(scale, noted, reasons):
    verdict = verdict_on(clean(), scale=scale)
    assert [note.code for note in verdict.notes] == noted
    assert [reason.code for reason in verdict.reasons] == reasons
    assert verdict.verdict == ("needs_review" if reasons else "pass")


def test_without_figures_nothing_passes():
    assert [reason.code for reason in verdict_on(None).reasons] == ["NOT_MEASURED"]
