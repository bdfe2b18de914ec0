"""When to try again: the pauses of every kind of work, in one place.

Two things can interrupt work. A *crash* may be the work's own doing, so crashes are counted, and
too many of them end it. An *outage* (Postgres, S3 or Shopify is away, or asks us to slow down) is
nobody's fault: it is waited out, with pauses that grow, for as long as the policy's patience.

The policies of all kinds of work are at the end. Each counts the outages in a row on the work's own
row, so that it is the same count whichever worker meets the next one, and it starts anew when the
work gets further.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta

import msgspec

from backend.errors import DatabaseUnavailable, ShopifyUnavailable

PAUSE_JITTER = 0.25  # of a pause, either way: what failed together does not come back together
MAX_CLAIMS = (
    200  # claims; work that loses the database so often may be what the database cannot bear
)
DATABASE_POLL_INTERVAL = 1.0  # seconds between two looks for a database that is away


class RetryPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """How one kind of work waits.

    `first` is the pause after the first failure; each further one is `factor` times as long, up to
    `longest`. `patience` is for how long an outage is waited out; None is for ever. `crashes` is
    how many runs in a row may end without a word before the work itself counts as their cause, and
    `faults` how many may end with an error of ours that waiting does not cure.
    """

    first: timedelta
    longest: timedelta
    patience: timedelta | None
    crashes: int = 3
    faults: int = 0
    factor: float = 2.0

    def pause(self, failures: int, *, at_least: timedelta = timedelta(0)) -> timedelta:
        """The pause after that many failures in a row (1 is the first), scattered by a quarter.

        `at_least` is what the other side asks for, such as Shopify's Retry-After; no more than
        `longest` of it counts.
        """
        jittered = self.usual(failures) * random.uniform(1 - PAUSE_JITTER, 1 + PAUSE_JITTER)  # noqa: S311 - no secret
        return max(jittered, min(at_least, self.longest))

    def usual(self, failures: int) -> timedelta:
        """The pause after that many failures, before it is scattered."""
        grown = self.first.total_seconds() * self.factor ** min(max(failures - 1, 0), 64)
        return timedelta(seconds=min(grown, self.longest.total_seconds()))

    def waited(self, failures: int) -> timedelta:
        """What the pauses before that failure in a row add up to, if each was as short as can be.

        Only what was waited on purpose counts: not the time that the work stood in a line, nor that
        in which no worker ran.
        """
        pauses = (self.usual(failure) for failure in range(1, failures))
        return sum(pauses, timedelta(0)) * (1 - PAUSE_JITTER)

    def pause_after(self, waited: timedelta) -> timedelta:
        """The pause after having waited for so long: about as long again, within the limits."""
        seconds = min(max(waited, self.first), self.longest).total_seconds()
        return timedelta(seconds=seconds * random.uniform(1 - PAUSE_JITTER, 1 + PAUSE_JITTER))  # noqa: S311

    def is_exhausted(self, waited: timedelta) -> bool:
        """Whether an outage that has lasted for so long is not waited out any further."""
        return self.patience is not None and waited >= self.patience


def requested_wait(error: BaseException | None) -> timedelta:
    """How long Shopify asks us to stay away, where it does."""
    wait = error.wait if isinstance(error, ShopifyUnavailable) else None
    return timedelta(seconds=wait or 0)


async def retry_until_database_is_back(
    attempt: Callable[[], Awaitable[None]], stopping: asyncio.Event
) -> None:
    """Do something small as soon as the database is there; who is to stop does not wait for it.

    Whoever waits here has survived. PgQueuer waits for them before it connects again, and so would
    anything else that this worker could do meanwhile.
    """
    while True:
        with suppress(DatabaseUnavailable):
            await attempt()
            return
        if stopping.is_set():
            return
        await asyncio.sleep(DATABASE_POLL_INTERVAL)


# A merchant watches a job: soon back after a hiccup, and told in the end. A crash takes down the
# other renders of its worker, so three are enough.
JOBS = RetryPolicy(
    first=timedelta(seconds=3),
    longest=timedelta(minutes=2),
    patience=timedelta(minutes=15),
    crashes=3,
)
# A merchant has pressed a button, and nothing on the product is half done for customers to see. A
# run ends without a word more easily than a job's: it stands in the middle of Shopify's queues.
PUBLICATIONS = RetryPolicy(
    first=timedelta(seconds=2),
    longest=timedelta(minutes=2),
    patience=timedelta(minutes=30),
    crashes=5,
)
# Nobody waits for the last page of ten thousand products, and to ask again is cheap.
BATCHES = RetryPolicy(
    first=timedelta(seconds=2),
    longest=timedelta(minutes=2),
    patience=timedelta(minutes=30),
    crashes=5,
)
# Of products. Shopify has its 200 and does not send again; after some hours the hourly sweep of
# products, which reads what has changed, is what cures. A fault of ours is not cured by waiting.
DELIVERIES = RetryPolicy(
    first=timedelta(seconds=2),
    longest=timedelta(minutes=20),
    patience=timedelta(hours=6),
    crashes=5,
    faults=10,
    factor=3.0,
)
# The tokens of a shop, or our own settings, are wrong, and nobody tells us when they are right.
LOCKED_OUT_PAUSE = timedelta(minutes=1)
# Shopify processes a picture in seconds, as a rule. What takes longer is looked at less often.
SHOPIFY_PROCESSING = RetryPolicy(
    first=timedelta(seconds=1), longest=timedelta(seconds=20), patience=timedelta(minutes=20)
)
# What the law asks for is never given up (`webhooks.topics.NEVER_GIVEN_UP`). Shopify has its 200,
# and 30 days are left: after a day or two of outage a try a day is often enough.
COMPLIANCE = RetryPolicy(
    first=timedelta(seconds=5), longest=timedelta(days=1), patience=None, factor=2.5
)
