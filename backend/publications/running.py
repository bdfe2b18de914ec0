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
from backend.jobs.states import Failure
from backend.jobs.timeline import Fenced
from backend.publications.failures import (
    EXPECTED,
    PUBLICATION_CRASHED,
    SHOPIFY_UNAVAILABLE,
    failure_of,
)
from backend.publications.ledger import Held, PublicationRef, claim, move, note, note_busy, spare
from backend.publications.press import HandedOver, Press, StillBusy
from backend.publications.publishing import publish
from backend.publications.restoring import remove_ours, restore
from backend.publications.states import PublicationStatus
from backend.retries import (
    ENOUGH,
    LOCKED_OUT_PAUSE,
    PUBLICATIONS,
    SHOPIFY_PROCESSING,
    asked_for,
    once_back,
)
from backend.shops.sealing import UnknownKey
from backend.shops.tokens import NeedsReauth, is_parked

log = structlog.get_logger(__name__)

AT_ONCE = timedelta(0)
# Nobody can be asked any more: what was done cannot be taken back.
HOPELESS = frozenset({"SHOP_NOT_INSTALLED"})


async def run_publication(
    ref: PublicationRef, press: Press, errand: str = queue.PUBLISH
) -> timedelta | None:
    """Take it as far as it goes; how long to wait before going on, or None when that is all."""
    with structlog.contextvars.bound_contextvars(job_id=ref.job_id):
        try:
            return await claimed_run(ref, press, errand)
        except Fenced:  # by whoever takes it back, as a rule; they have an entry of their own
            log.info("publication_overtaken")
            return None
        except DatabaseUnavailable:
            log.warning("publication_interrupted", code=DatabaseUnavailable.code)
            return PUBLICATIONS.pause(1)


async def claimed_run(ref: PublicationRef, press: Press, errand: str) -> timedelta | None:
    """Claim it and work on it."""
    async with press.database.transaction(ref.shop_id) as connection:
        held = await claim(connection, ref, errand)
    if held is None:
        return None
    log.info("publication_claimed", status=held.status, attempt=held.attempt)
    try:
        return await run_state(held, press)
    except StillBusy as busy:
        return await while_busy(held, press, busy)
    except HandedOver:
        await spared(held, press)
        return AT_ONCE
    except DatabaseUnavailable:
        if held.attempt < ENOUGH:
            await spared(held, press)
        raise
    except EXPECTED as error:
        return await after_failure(held, press, failure_of(error), error)
    except (NeedsReauth, UnknownKey, ConfigurationError) as error:
        return await after_lockout(held, press, error)


async def run_state(held: Held, press: Press) -> timedelta | None:
    """Do what the state asks for, and enter the next; None when that is all."""
    if held.tries > PUBLICATIONS.crashes:  # it crashes its workers
        return await give_up(held, press, held.error or PUBLICATION_CRASHED)
    if held.status is PublicationStatus.RESTORING:
        await restore(held, press)
        await ends(held, press, PublicationStatus.RESTORED)
    elif held.error is not None:
        await remove_ours(held, press)
        await ends(held, press, PublicationStatus.FAILED, held.error)
    else:
        await publish(held, press)
        await ends(held, press, PublicationStatus.PUBLISHED)
    return None


async def ends(
    held: Held, press: Press, target: PublicationStatus, failure: Failure | None = None
) -> None:
    """Enter a state in which there is nothing more to do."""
    async with press.database.transaction(held.ref.shop_id) as connection:
        await move(connection, held, target, failure=failure)
    log.info("publication_ended", status=target, code=failure and failure.code)


async def after_failure(
    held: Held, press: Press, failure: Failure, error: Exception
) -> timedelta | None:
    """Wait and try again while that can help, else give up."""
    if failure.retryable:
        async with press.database.transaction(held.ref.shop_id) as connection:
            outages = await spare(connection, held, outages=1)
        if not PUBLICATIONS.is_exhausted(PUBLICATIONS.waited(outages)):
            log.warning("publication_waits_out", code=failure.code, cause=str(error)[:300])
            return PUBLICATIONS.pause(outages, at_least=asked_for(error))
    log.warning("publication_failed", code=failure.code, cause=str(error)[:300])
    return await give_up(held, press, failure)


async def spared(held: Held, press: Press) -> None:
    """Take the claim's try back, as soon as the database is there to be told."""

    async def give_back() -> None:
        async with press.database.transaction(held.ref.shop_id) as connection:
            await spare(connection, held)

    await once_back(give_back, press.stopping)


async def give_up(held: Held, press: Press, failure: Failure) -> timedelta | None:
    """Take back what was done, and if that is what fails, leave it there."""
    is_publishing = held.status is PublicationStatus.PUBLISHING and held.error is None
    if is_publishing and failure.code not in HOPELESS:
        async with press.database.transaction(held.ref.shop_id) as connection:
            await note(connection, held, error=msgspec.structs.asdict(failure))
        return AT_ONCE
    await ends(held, press, PublicationStatus.FAILED, held.error or failure)
    return None


async def while_busy(held: Held, press: Press, busy: StillBusy) -> timedelta | None:
    """Leave the place to others until Shopify may be done, longer each time, and not for ever."""
    async with press.database.transaction(held.ref.shop_id) as connection:
        waited = await note_busy(connection, held, busy.job)
    if SHOPIFY_PROCESSING.is_exhausted(waited):
        return await give_up(held, press, SHOPIFY_UNAVAILABLE)
    log.info("publication_waits_for_shopify", seconds=round(waited.total_seconds()))
    return SHOPIFY_PROCESSING.pause_after(waited)


async def after_lockout(held: Held, press: Press, error: Exception) -> timedelta | None:
    """Let it wait, off the queue, until a merchant opens the app: housekeeping takes it up then."""
    log.warning("publication_waits", cause=repr(error)[:300])
    async with press.database.transaction(held.ref.shop_id) as connection:
        await note(connection, held)
        parked = await is_parked(connection, held.ref.shop_id)
    return None if parked else LOCKED_OUT_PAUSE
