"""When a delivery is tried again, and when an endpoint is given up.

Ten attempts over about three days, as Standard Webhooks recommend. A receiver that is down for a
night misses nothing; one that is down for five days is switched off.
"""

from datetime import timedelta

from backend.retries import jittered

# The pauses after each failed attempt but the last.
RETRY_PAUSES = tuple(
    timedelta(seconds=seconds)
    for seconds in (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
)
MOST_ATTEMPTS = len(RETRY_PAUSES) + 1
LONGEST_REQUESTED = timedelta(hours=24)  # of what a Retry-After asks for
DISABLED_AFTER = timedelta(days=5)  # without a success between the failures
# Failures that are further apart do not count as one outage: no pause is as long.
SEPARATE_OUTAGES = timedelta(hours=36)
FIRST_PROBE, LONGEST_PROBE = timedelta(seconds=5), timedelta(minutes=1)


def pause_after_failure(attempts: int, requested: timedelta | None) -> timedelta | None:
    """The pause after that many failed attempts, with 25 % jitter; None after the last one.

    Not shorter than what the receiver has requested, up to a day.
    """
    if attempts >= MOST_ATTEMPTS:
        return None
    usual = timedelta(seconds=jittered(RETRY_PAUSES[attempts - 1].total_seconds()))
    return max(usual, min(requested or timedelta(0), LONGEST_REQUESTED))


def probe_pause(failures: int) -> timedelta:
    """How long an endpoint is left alone after so many failures in a row."""
    doublings = min(max(failures - 1, 0), 10)
    return min(timedelta(seconds=FIRST_PROBE.total_seconds() * 2**doublings), LONGEST_PROBE)
