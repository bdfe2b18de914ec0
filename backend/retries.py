"""Retry policies: when each kind of work is tried again, and when it is given up.

Two things can interrupt work. A *crash* may be caused by the work itself, so crashes are counted,
and too many of them end it. An *outage* (Postgres, S3 or Shopify is down, or asks us to slow down)
is not the work's fault: it is retried with growing pauses until the policy's `give_up_after`.

The policies of all kinds of work are at the end. Consecutive outages are counted in the work's own
row, so that the count does not depend on the worker, and start at zero again with any progress.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta

import msgspec

from backend.errors import DatabaseUnavailable, ShopifyUnavailable

PAUSE_JITTER = 0.25  # of a pause, either way: work that failed together is not retried together
MAX_CLAIMS = 200  # work that loses the database this often may itself be the cause
MAX_REQUESTED_WAIT = 86_400.0  # seconds; no policy waits longer, and `timedelta` has an end
DATABASE_POLL_INTERVAL = 1.0  # seconds between attempts during an outage


class RetryPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """How one kind of work is retried.

    `first` is the pause after the first failure; each further pause is `factor` times as long, up
    to `longest`. `give_up_after` is how long an outage is waited out; None is for ever. `crashes`
    is how many consecutive runs may end without a result before the work itself counts as the
    cause, and `faults` how many may end with an error that waiting does not fix.
    """

    first: timedelta
    longest: timedelta
    give_up_after: timedelta | None
    crashes: int = 3
    faults: int = 0
    factor: float = 2.0

    def pause(self, failures: int, *, at_least: timedelta = timedelta(0)) -> timedelta:
        """The pause after that many consecutive failures (1 is the first), with 25 % jitter.

        `at_least` is what the other side asks for, such as Shopify's Retry-After; it is capped at
        `longest`.
        """
        seconds = jittered(self.usual(failures).total_seconds())
        return max(timedelta(seconds=seconds), min(at_least, self.longest))

    def usual(self, failures: int) -> timedelta:
        """The pause after that many failures, without jitter."""
        grown = self.first.total_seconds() * self.factor ** min(max(failures - 1, 0), 64)
        return timedelta(seconds=min(grown, self.longest.total_seconds()))

    def waited(self, failures: int) -> timedelta:
        """The sum of the pauses before that consecutive failure, each at its shortest.

        Only deliberate pauses count, not the time in the queue or without a running worker.
        """
        pauses = (self.usual(failure) for failure in range(1, failures))
        return sum(pauses, timedelta(0)) * (1 - PAUSE_JITTER)

    def pause_after(self, waited: timedelta) -> timedelta:
        """The pause after having waited for `waited`: about as long again, within the limits."""
        seconds = min(max(waited, self.first), self.longest).total_seconds()
        return timedelta(seconds=jittered(seconds))

    def is_exhausted(self, waited: timedelta) -> bool:
        """Whether an outage that has lasted for `waited` is given up."""
        return self.give_up_after is not None and waited >= self.give_up_after


def jittered(seconds: float) -> float:
    """That time, up to a quarter more or less: what began together must not repeat in step."""
    return seconds * random.uniform(1 - PAUSE_JITTER, 1 + PAUSE_JITTER)  # noqa: S311 - spread, not secrecy


def requested_wait(error: BaseException | None) -> timedelta:
    """How long Shopify asks us to stay away, where it does; a day at most."""
    wait = error.wait if isinstance(error, ShopifyUnavailable) else None
    return timedelta(seconds=min(wait or 0, MAX_REQUESTED_WAIT))


async def retry_until_database_is_back(
    attempt: Callable[[], Awaitable[None]], stopping: asyncio.Event
) -> None:
    """Run a short write as soon as the database answers; give up when the process is to stop.

    It may block the worker: PgQueuer waits for it before it connects again, and any other work
    would wait for the database too.
    """
    while True:
        with suppress(DatabaseUnavailable):
            await attempt()
            return
        if stopping.is_set():
            return
        await asyncio.sleep(DATABASE_POLL_INTERVAL)


# A merchant watches a job: retry soon, and report a failure. A crash takes down the other renders
# of its worker, so three are enough.
JOBS = RetryPolicy(
    first=timedelta(seconds=3),
    longest=timedelta(minutes=2),
    give_up_after=timedelta(minutes=15),
    crashes=3,
)
# A merchant has pressed a button, and customers see nothing half done on the product. A run is lost
# more easily than a job's: it waits for Shopify's asynchronous processing.
PUBLICATIONS = RetryPolicy(
    first=timedelta(seconds=2),
    longest=timedelta(minutes=2),
    give_up_after=timedelta(minutes=30),
    crashes=5,
)
# Nobody watches the last page of ten thousand products, and retrying is cheap.
BATCHES = RetryPolicy(
    first=timedelta(seconds=2),
    longest=timedelta(minutes=2),
    give_up_after=timedelta(minutes=30),
    crashes=5,
)
# Webhooks about products. Shopify has its 200 and does not send again; after some hours the hourly
# product sweep, which reads what has changed, repairs it. Waiting does not fix our own faults.
DELIVERIES = RetryPolicy(
    first=timedelta(seconds=2),
    longest=timedelta(minutes=20),
    give_up_after=timedelta(hours=6),
    crashes=5,
    faults=10,
    factor=3.0,
)
# A shop's tokens or our own settings are wrong, and nothing tells us when they are right again.
LOCKED_OUT_PAUSE = timedelta(minutes=1)
# A hosted provider that refuses everything or is away. Its jobs wait off the queue and nothing is
# charged meanwhile, so they can wait for as long as a merchant would rather have the picture late.
PROVIDERS = RetryPolicy(
    first=timedelta(seconds=5),
    longest=timedelta(minutes=10),
    give_up_after=timedelta(hours=4),
)
# Shopify usually processes an image in seconds. What takes longer is polled less often.
SHOPIFY_PROCESSING = RetryPolicy(
    first=timedelta(seconds=1), longest=timedelta(seconds=20), give_up_after=timedelta(minutes=20)
)
# Compliance webhooks are never given up (`webhooks.topics.NEVER_GIVEN_UP`). Shopify has its 200,
# and 30 days are left: after a day or two of outage one attempt a day is enough.
COMPLIANCE = RetryPolicy(
    first=timedelta(seconds=5), longest=timedelta(days=1), give_up_after=None, factor=2.5
)
