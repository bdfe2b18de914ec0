"""How long a hosted provider may take for a stage, until its job fails as `PROVIDER_TIMEOUT`.

A queue at the provider may take most of that: fal is told to give up a request that has not started
after five minutes, and a new account's requests wait for one another. The rest is for the work: a
try-on takes seconds, an edit up to a minute, and one of several pictures longer.
"""

from collections.abc import Mapping
from datetime import timedelta

from backend.errors import ConfigurationError
from backend.providers_config import stage_pairs
from backend.workflows.stages import StageName

DEFAULT_DEADLINES: Mapping[StageName, timedelta] = {
    StageName.TRY_ON: timedelta(minutes=6),
    StageName.EXTRACT: timedelta(minutes=8),
    StageName.CHANGE_BACKGROUND: timedelta(minutes=8),
    StageName.GENERATE_MODEL: timedelta(minutes=8),
    StageName.GENERATE_BACKGROUND: timedelta(minutes=8),
    StageName.GENERATE_GARMENT: timedelta(minutes=8),
    StageName.DRESS: timedelta(minutes=10),
    StageName.SWAP_MODEL: timedelta(minutes=10),
    StageName.LOOK: timedelta(minutes=10),
}
LONGEST = 1440  # minutes


def stage_deadlines(text: str) -> dict[StageName, timedelta]:
    """The deadline of each stage, with those that `PROVIDER_DEADLINES` sets.

    Raises `ConfigurationError`.
    """
    chosen = stage_pairs("PROVIDER_DEADLINES", text, "try_on=6")
    if unknown := sorted(chosen.keys() - {stage.value for stage in DEFAULT_DEADLINES}):
        raise ConfigurationError(
            f"PROVIDER_DEADLINES names the stages {', '.join(unknown)}; there are "
            f"{', '.join(sorted(DEFAULT_DEADLINES))}."
        )
    return {**DEFAULT_DEADLINES} | {
        StageName(stage): timedelta(minutes=whole_minutes(stage, minutes))
        for stage, minutes in chosen.items()
    }


def whole_minutes(stage: str, text: str) -> int:
    """The minutes of one stage. Raises `ConfigurationError`."""
    minutes = int(text) if text.isascii() and text.isdigit() and len(text) < 6 else 0
    if not 1 <= minutes <= LONGEST:
        raise ConfigurationError(
            f"PROVIDER_DEADLINES has {stage}={text}; a deadline is 1 to {LONGEST} minutes."
        )
    return minutes
