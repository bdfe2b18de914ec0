"""Run a publication: do what its state asks for, and record how it ended.

Publishing that fails first takes back what it did; then it counts as failed. Every step forward
starts the counts of tries and outages again. While Shopify processes something, the publication
leaves the worker to others; that counts as neither.
"""

import msgspec
import structlog

from backend import queue
from backend.failures.codes import PUBLICATION_CRASHED, SHOP_NOT_INSTALLED, SHOPIFY_UNAVAILABLE
from backend.failures.registry import Failure
from backend.leased_task import AT_ONCE, Done, Retry, TaskKind, TaskOutcome, run_task
from backend.metrics import PUBLICATIONS_ENDED, increment
from backend.publications.context import PublicationContext, StillBusy
from backend.publications.failures import (
    EXPECTED_PUBLICATION_ERRORS,
    publication_failure_of,
)
from backend.publications.leases import (
    PublicationLease,
    PublicationRef,
    lease_publication,
    move,
    note_busy,
    note_publication,
    return_publication_attempt,
)
from backend.publications.publish import publish
from backend.publications.restore import remove_ours, restore
from backend.publications.states import PublicationStatus
from backend.retries import PUBLICATIONS, SHOPIFY_PROCESSING

log = structlog.get_logger(__name__)

# Shopify no longer answers us for this shop, so what was done cannot be taken back.
HOPELESS = frozenset({SHOP_NOT_INSTALLED.code})


async def run_publication(
    ref: PublicationRef, context: PublicationContext, task: str = queue.PUBLISH
) -> TaskOutcome:
    """Take it as far as it goes; `task` is the entry point, to publish or to take back."""

    async def claim_publication() -> PublicationLease | None:
        async with context.database.transaction(ref.shop_id) as connection:
            return await lease_publication(connection, ref, task)

    return await run_task(PUBLICATION_TASK, context, claim_publication, job_id=ref.job_id)


async def run_state(lease: PublicationLease, context: PublicationContext) -> TaskOutcome:
    """Do what the state asks for, and enter the next, unless Shopify is still busy with it."""
    try:
        return await enter_next_state(lease, context)
    except StillBusy as busy:
        return await while_busy(lease, context, busy)


async def enter_next_state(lease: PublicationLease, context: PublicationContext) -> TaskOutcome:
    """Do what the state asks for, and enter the next. Raises `StillBusy`."""
    if lease.tries > PUBLICATIONS.crashes:  # it crashes its workers
        return await give_up(lease, context, lease.error or PUBLICATION_CRASHED)
    if lease.status is PublicationStatus.RESTORING:
        await restore(lease, context)
        await ends(lease, context, PublicationStatus.RESTORED)
    elif lease.error is not None:
        await remove_ours(lease, context)
        await ends(lease, context, PublicationStatus.FAILED, lease.error)
    else:
        await publish(lease, context)
        await ends(lease, context, PublicationStatus.PUBLISHED)
    return Done()


async def ends(
    lease: PublicationLease,
    context: PublicationContext,
    target: PublicationStatus,
    failure: Failure | None = None,
) -> None:
    """Enter a state in which there is nothing more to do."""
    async with context.database.transaction(lease.ref.shop_id) as connection:
        await move(connection, lease, target, failure=failure)
    log.info("publication_ended", status=target, code=failure and failure.code)
    increment(PUBLICATIONS_ENDED, target.lower(), failure.code if failure else "")


async def give_up_after(
    lease: PublicationLease, context: PublicationContext, error: Exception
) -> TaskOutcome:
    """Give up because of an error."""
    failure = publication_failure_of(error)
    log.warning("publication_failed", code=failure.code, cause=str(error)[:300])
    return await give_up(lease, context, failure)


async def give_up(
    lease: PublicationLease, context: PublicationContext, failure: Failure
) -> TaskOutcome:
    """Have what was done taken back; where taking back is what failed, leave it there."""
    is_publishing = lease.status is PublicationStatus.PUBLISHING and lease.error is None
    if is_publishing and failure.code not in HOPELESS:
        async with context.database.transaction(lease.ref.shop_id) as connection:
            await note_publication(connection, lease, error=msgspec.structs.asdict(failure))
        return AT_ONCE
    await ends(lease, context, PublicationStatus.FAILED, lease.error or failure)
    return Done()


async def while_busy(
    lease: PublicationLease, context: PublicationContext, busy: StillBusy
) -> TaskOutcome:
    """Leave the worker to others until Shopify may be done: longer each time, but not for ever."""
    async with context.database.transaction(lease.ref.shop_id) as connection:
        waited = await note_busy(connection, lease, busy.job)
    if SHOPIFY_PROCESSING.is_exhausted(waited):
        return await give_up(lease, context, SHOPIFY_UNAVAILABLE)
    log.info("publication_waits_for_shopify", seconds=round(waited.total_seconds()))
    return Retry(SHOPIFY_PROCESSING.pause_after(waited))


def publication_outage(error: Exception) -> str | None:
    """The failure's code, if waiting can cure it."""
    failure = publication_failure_of(error)
    return failure.code if failure.retryable else None


PUBLICATION_TASK = TaskKind(
    name="publication",
    logged=("attempt", "status"),
    policy=PUBLICATIONS,
    run=run_state,
    failures=EXPECTED_PUBLICATION_ERRORS,
    outage=publication_outage,
    return_attempt=return_publication_attempt,
    wait_out=lambda connection, lease, _: return_publication_attempt(connection, lease, outages=1),
    wait_for_reauth=note_publication,  # housekeeping takes it up again (`worker.maintenance`)
    after_failure=give_up_after,
)
