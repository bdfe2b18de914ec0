"""When to try again: the pauses of every kind of work, in one place.

Two things can interrupt work. A *crash* may be the work's own doing, so crashes are counted, and
too many of them end it. An *outage* (Postgres, S3 or Shopify is away, or asks us to slow down) is
nobody's fault: it is waited out, with pauses that grow, for as long as the policy's patience.
"""

import random
from datetime import timedelta

import msgspec

SPREAD = 0.25  # of a pause, either way: what failed together does not come back together


class RetryPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """How one kind of work waits.

    `first` is the pause after the first failure; each further one is `factor` times as long, up to
    `longest`. `patience` is for how long an outage is waited out; None is for ever.
    """

    first: timedelta
    longest: timedelta
    patience: timedelta | None
    factor: float = 2.0

    def pause(self, failures: int, *, at_least: timedelta = timedelta(0)) -> timedelta:
        """The pause after that many failures in a row (1 is the first), scattered by a quarter.

        `at_least` is what the other side asks for, such as Shopify's Retry-After; no more than
        `longest` of it counts.
        """
        grown = self.first.total_seconds() * self.factor ** min(max(failures - 1, 0), 64)
        seconds = min(grown, self.longest.total_seconds())
        scattered = seconds * random.uniform(1 - SPREAD, 1 + SPREAD)  # noqa: S311 - no secret
        return max(timedelta(seconds=scattered), min(at_least, self.longest))

    def is_exhausted(self, waited: timedelta) -> bool:
        """Whether an outage that has lasted for so long is not waited out any further."""
        return self.patience is not None and waited >= self.patience


# What the law asks for is never given up (`webhooks.topics.NEVER_GIVEN_UP`). Shopify has its 200,
# and 30 days are left: after a day or two of outage a try a day is often enough.
COMPLIANCE = RetryPolicy(
    first=timedelta(seconds=5), longest=timedelta(days=1), patience=None, factor=2.5
)
