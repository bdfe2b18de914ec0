"""Run a publication: claim it, do what its state asks for, and say how it ended.

Publishing that fails takes back what it did before it counts as failed. What can be cured by
waiting is tried again, later each time, until the tries are used up; every step forward renews
them. What Shopify has begun is waited for off the queue's places, and costs no try.
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
from backend.publications.ledger import Held, PublicationRef, claim, move, note, note_busy
from backend.publications.press import HandedOver, Press, StillBusy
from backend.publications.publishing import publish
from backend.publications.restoring import remove_ours, restore
from backend.publications.states import PublicationStatus
from backend.retries import SHOPIFY_PROCESSING
from backend.shops.backoff import FIRST_DELAY, LONGEST_DELAY, delay_after
from backend.shops.sealing import UnknownKey
from backend.shops.tokens import NeedsReauth, is_parked

log = structlog.get_logger(__name__)

MAX_TRIES = 15  # without a step forward; with the delays below, about half an hour
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
        except HandedOver:
            return AT_ONCE
        except DatabaseUnavailable:
            log.warning("publication_interrupted", code=DatabaseUnavailable.code)
            return FIRST_DELAY


async def claimed_run(ref: PublicationRef, press: Press, errand: str) -> timedelta | None:
    """Claim it and work on it."""
    async with press.database.transaction(ref.shop_id) as connection:
        held = await claim(connection, ref, errand)
    if held is None:
        return None
    log.info("publication_claimed", status=held.status, attempt=held.attempt)
    try:
        if held.tries > MAX_TRIES:  # it crashes its workers
            return await after_failure(held, press, held.error or PUBLICATION_CRASHED, None)
        await run_state(held, press)
    except StillBusy as busy:
        return await while_busy(held, press, busy)
    except EXPECTED as error:
        return await after_failure(held, press, failure_of(error), error)
    except (NeedsReauth, UnknownKey, ConfigurationError) as error:
        return await after_lockout(held, press, error)
    return None


async def run_state(held: Held, press: Press) -> None:
    """Do what the state asks for, and enter the next."""
    if held.status is PublicationStatus.RESTORING:
        await restore(held, press)
        await ends(held, press, PublicationStatus.RESTORED)
    elif held.error is not None:
        await remove_ours(held, press)
        await ends(held, press, PublicationStatus.FAILED, held.error)
    else:
        await publish(held, press)
        await ends(held, press, PublicationStatus.PUBLISHED)


async def ends(
    held: Held, press: Press, target: PublicationStatus, failure: Failure | None = None
) -> None:
    """Enter a state in which there is nothing more to do."""
    async with press.database.transaction(held.ref.shop_id) as connection:
        await move(connection, held, target, failure=failure)
    log.info("publication_ended", status=target, code=failure and failure.code)


async def after_failure(
    held: Held, press: Press, failure: Failure, error: Exception | None
) -> timedelta | None:
    """Wait and try again while that can help, else take back what was done, else give up."""
    if error is not None and failure.retryable and held.tries < MAX_TRIES:
        log.warning("publication_retries", code=failure.code, tries=held.tries, cause=str(error))
        return delay_after(held.tries, error)
    log.warning("publication_failed", code=failure.code, cause=str(error)[:300])
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
        return await after_failure(held, press, SHOPIFY_UNAVAILABLE, None)
    log.info("publication_waits_for_shopify", seconds=round(waited.total_seconds()))
    return SHOPIFY_PROCESSING.pause_after(waited)


async def after_lockout(held: Held, press: Press, error: Exception) -> timedelta | None:
    """Let it wait, off the queue, until a merchant opens the app: housekeeping takes it up then."""
    log.warning("publication_waits", cause=repr(error)[:300])
    async with press.database.transaction(held.ref.shop_id) as connection:
        await note(connection, held)
        parked = await is_parked(connection, held.ref.shop_id)
    return None if parked else LONGEST_DELAY
