"""Each stage has a deadline of its own, which the operator can change."""

from datetime import timedelta

import pytest

from backend.errors import ConfigurationError
from backend.providers.deadlines import DEFAULT_DEADLINES, stage_deadlines
from backend.providers.fal_models import FAL_DEFAULTS
from backend.providers.fal_requests import START_WITHIN
from backend.providers.fashn_models import FASHN_DEFAULTS
from backend.providers.gemini import GEMINI_DEFAULTS
from backend.workflows.stages import StageName


def test_each_hosted_stage_has_one_and_longer_than_fals_queue() -> None:
    assert DEFAULT_DEADLINES.keys() == {*FASHN_DEFAULTS, *FAL_DEFAULTS, *GEMINI_DEFAULTS}
    assert min(DEFAULT_DEADLINES.values()) > START_WITHIN


def test_the_operator_changes_those_of_some_stages() -> None:
    chosen = stage_deadlines("try_on=3, look=20")
    changed = {StageName.TRY_ON: timedelta(minutes=3), StageName.LOOK: timedelta(minutes=20)}
    assert chosen == {**DEFAULT_DEADLINES, **changed}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("segment=3", "names the stages segment; there are change_background"),
        ("try_on", "name each stage once"),
        ("try_on=3,try_on=4", "name each stage once"),
        ("try_on=0", "try_on=0; a deadline is 1 to 1440 minutes"),
        ("try_on=1441", "a deadline is 1 to 1440 minutes"),
        ("try_on=2.5", "a deadline is 1 to 1440 minutes"),
        ("try_on=-3", "a deadline is 1 to 1440 minutes"),
        ("try_on=" + "9" * 5000, "a deadline is 1 to 1440 minutes"),
    ],
)
def test_a_deadline_that_cannot_be_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        stage_deadlines(text)
