"""Run a publication: claim it, do what its state asks for, and say how it ended.

Publishing that fails takes back what it did before it counts as failed. What can be cured by
waiting is waited out; a claim that nobody came back from is a try. Every step forward renews the
tries, and the patience. What Shopify has begun is waited for off the queue's places, and costs no
try.
"""

from datetime import timedelta

import msgspec
import structlog

from backend import queue
from backend.errors import ConfigurationError, DatabaseUnavailable
from backend.jobs.lifecycle import Fenced
from backend.jobs.states import Failure
from backend.publications.context import HandedOver, PublicationContext, StillBusy
from backend.publications.failures import (
    EXPECTED,
    PUBLICATION_CRASHED,
    SHOPIFY_UNAVAILABLE,
    failure_of,
)
from backend.publications.leases import (
    PublicationLease,
    PublicationRef,
    claim,
    move,
    note,
    note_busy,
    return_attempt,
)
from backend.publications.publish import publish
from backend.publications.restore import remove_ours, restore
from backend.publications.states import PublicationStatus
from backend.retries import (
    LOCKED_OUT_PAUSE,
    MAX_CLAIMS,
    PUBLICATIONS,
    SHOPIFY_PROCESSING,
    requested_wait,
    retry_until_database_is_back,
)
from backend.shops.token_encryption import UnknownKey
from backend.shops.tokens import NeedsReauth, is_parked

log = structlog.get_logger(__name__)

AT_ONCE = timedelta(0)
# Nobody can be asked any more: what was done cannot be taken back.
HOPELESS = frozenset({"SHOP_NOT_INSTALLED"})


async def run_publication(
    ref: PublicationRef, context: PublicationContext, task: str = queue.PUBLISH
) -> timedelta | None:
    """Take it as far as it goes; how long to wait before going on, or None when that is all."""
    with structlog.contextvars.bound_contextvars(job_id=ref.job_id):
        try:
            return await claimed_run(ref, context, task)
        except Fenced:  # by whoever takes it back, as a rule; they have an entry of their own
            log.info("publication_overtaken")
            return None
        except DatabaseUnavailable:
            log.warning("publication_interrupted", code=DatabaseUnavailable.code)
            return PUBLICATIONS.pause(1)


async def claimed_run(
    ref: PublicationRef, context: PublicationContext, task: str
) -> timedelta | None:
    """Claim it and work on it."""
    async with context.database.transaction(ref.shop_id) as connection:
        lease = await claim(connection, ref, task)
    if lease is None:
        return None
    log.info("publication_claimed", status=lease.status, attempt=lease.attempt)
    try:
        return await run_state(lease, context)
    except StillBusy as busy:
        return await while_busy(lease, context, busy)
    except HandedOver:
        await returned_attempt(lease, context)
        return AT_ONCE
    except DatabaseUnavailable:
        if lease.attempt < MAX_CLAIMS:
            await returned_attempt(lease, context)
        raise
    except EXPECTED as error:
        return await after_failure(lease, context, failure_of(error), error)
    except (NeedsReauth, UnknownKey, ConfigurationError) as error:
        return await after_reauth_needed(lease, context, error)


async def run_state(lease: PublicationLease, context: PublicationContext) -> timedelta | None:
    """Do what the state asks for, and enter the next; None when that is all."""
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
    return None


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


async def after_failure(
    lease: PublicationLease, context: PublicationContext, failure: Failure, error: Exception
) -> timedelta | None:
    """Wait and try again while that can help, else give up."""
    if failure.retryable:
        async with context.database.transaction(lease.ref.shop_id) as connection:
            outages = await return_attempt(connection, lease, outages=1)
        if not PUBLICATIONS.is_exhausted(PUBLICATIONS.waited(outages)):
            log.warning("publication_waits_out", code=failure.code, cause=str(error)[:300])
            return PUBLICATIONS.pause(outages, at_least=requested_wait(error))
    log.warning("publication_failed", code=failure.code, cause=str(error)[:300])
    return await give_up(lease, context, failure)


async def returned_attempt(lease: PublicationLease, context: PublicationContext) -> None:
    """Take the claim's try back, as soon as the database is there to be told."""

    async def give_back() -> None:
        async with context.database.transaction(lease.ref.shop_id) as connection:
            await return_attempt(connection, lease)

    await retry_until_database_is_back(give_back, context.stopping)


async def give_up(
    lease: PublicationLease, context: PublicationContext, failure: Failure
) -> timedelta | None:
    """Take back what was done, and if that is what fails, leave it there."""
    is_publishing = lease.status is PublicationStatus.PUBLISHING and lease.error is None
    if is_publishing and failure.code not in HOPELESS:
        async with context.database.transaction(lease.ref.shop_id) as connection:
            await note(connection, lease, error=msgspec.structs.asdict(failure))
        return AT_ONCE
    await ends(lease, context, PublicationStatus.FAILED, lease.error or failure)
    return None


async def while_busy(
    lease: PublicationLease, context: PublicationContext, busy: StillBusy
) -> timedelta | None:
    """Leave the place to others until Shopify may be done, longer each time, and not for ever."""
    async with context.database.transaction(lease.ref.shop_id) as connection:
        waited = await note_busy(connection, lease, busy.job)
    if SHOPIFY_PROCESSING.is_exhausted(waited):
        return await give_up(lease, context, SHOPIFY_UNAVAILABLE)
    log.info("publication_waits_for_shopify", seconds=round(waited.total_seconds()))
    return SHOPIFY_PROCESSING.pause_after(waited)


async def after_reauth_needed(
    lease: PublicationLease, context: PublicationContext, error: Exception
) -> timedelta | None:
    """Let it wait, off the queue, until a merchant opens the app: housekeeping takes it up then."""
    log.warning("publication_waits", cause=repr(error)[:300])
    async with context.database.transaction(lease.ref.shop_id) as connection:
        await note(connection, lease)
        parked = await is_parked(connection, lease.ref.shop_id)
    return None if parked else LOCKED_OUT_PAUSE
