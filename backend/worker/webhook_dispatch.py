"""Process a webhook delivery: find its handler, settle its outcome, or retry it later.

Compliance webhooks are retried until they succeed (`backend.worker.compliance`).
"""

from contextlib import suppress

import structlog

from backend.errors import DatabaseUnavailable, Unavailable
from backend.failures.codes import REAUTH_NEEDED, SHOPIFY_REFUSED, WORKER_CRASHED
from backend.leased_task import AT_ONCE, Done, Retry, TaskOutcome
from backend.metrics import WEBHOOKS_HANDLED, increment, start_at_zero
from backend.retries import DELIVERIES, requested_wait
from backend.shops.admin_api import ShopifyRefused
from backend.shops.tokens import NeedsReauth
from backend.slices import TimeSliceOver
from backend.tracing import span
from backend.worker.compliance import put_off_delivery
from webhooks.handlers import HANDLERS
from webhooks.outcome import HandlerContext, Outcome
from webhooks.payloads import PayloadMismatch, UnsettledDelivery
from webhooks.receive import DeliveryRef, claim_delivery, go_on, settle, survive
from webhooks.topics import NEVER_GIVEN_UP

log = structlog.get_logger(__name__)

start_at_zero(WEBHOOKS_HANDLED, HANDLERS, ("processed", "ignored", "failed", "retried"))


class WorkerCrashed(Exception):
    """The delivery has ended several workers in a row."""


async def handle_delivery(
    ref: DeliveryRef, handler_context: HandlerContext, tries: int
) -> TaskOutcome:
    """Act on the delivery: `Done` when it is settled, else when to try again.

    `tries` counts the earlier tries. Handlers are idempotent, so a crash between an effect and
    its settlement only does the same thing twice.
    """
    with structlog.contextvars.bound_contextvars(shop=ref.shop_domain, topic=ref.topic):
        try:
            async with handler_context.database.transaction(ref.shop_domain) as connection:
                delivery = await claim_delivery(connection, ref)
            if delivery is None:
                return Done()
            try:
                outcome = await outcome_of(delivery, handler_context)
            except TimeSliceOver as over:
                log.info("webhook_goes_on", done=delivery.done + over.done)
                async with handler_context.database.transaction(ref.shop_domain) as connection:
                    await go_on(connection, ref, over.done)
                return AT_ONCE
            async with handler_context.database.transaction(ref.shop_domain) as connection:
                await settle(connection, ref, outcome)
        except Exception as error:
            expected = isinstance(error, Unavailable)
            log.warning("webhook_interrupted", tries=tries, exc_info=None if expected else error)
            then = await again_or_never(ref, handler_context, tries, error)
            increment(
                WEBHOOKS_HANDLED, ref.topic, "retried" if isinstance(then, Retry) else "failed"
            )
            return then
        log.info("webhook_settled", status=outcome.status, note=outcome.note)
        increment(WEBHOOKS_HANDLED, ref.topic, outcome.status)
        return Done()


async def outcome_of(delivery: UnsettledDelivery, handler_context: HandlerContext) -> Outcome:
    """The handler's outcome, or why it failed."""
    if delivery.crashes > DELIVERIES.crashes:  # it crashes its workers
        if delivery.topic in NEVER_GIVEN_UP:
            raise WorkerCrashed
        return Outcome("failed", WORKER_CRASHED.code)
    try:
        with span(f"webhook {delivery.topic}"):
            return await HANDLERS[delivery.topic](delivery, handler_context)
    except NeedsReauth:  # resumed when the merchant opens the app
        if delivery.topic in NEVER_GIVEN_UP:
            raise
        return Outcome("failed", REAUTH_NEEDED.code)
    except PayloadMismatch as error:  # not a body of that topic: a replay
        log.warning("webhook_mismatched", cause=str(error)[:300])
        return Outcome("ignored", "BODY_MISMATCH")
    except ShopifyRefused as error:
        if delivery.topic in NEVER_GIVEN_UP:
            raise
        log.warning("webhook_refused", cause=str(error)[:300])
        return Outcome("failed", SHOPIFY_REFUSED.code)


async def again_or_never(
    ref: DeliveryRef, handler_context: HandlerContext, tries: int, error: Exception
) -> TaskOutcome:
    """Wait longer each time, and give up in the end, unless the law asks for it.

    Gives up earlier if waiting does not help.
    """
    if ref.topic in NEVER_GIVEN_UP:
        return Retry(await put_off_delivery(ref, handler_context, error))
    faults = 0
    with suppress(DatabaseUnavailable):  # then it counts as a crash, of which several are allowed
        async with handler_context.database.transaction(ref.shop_domain) as connection:
            is_fault = not isinstance(error, Unavailable)
            faults = await survive(connection, ref, is_fault=is_fault)
    if is_worth_waiting(tries + 1 - faults, faults, error):
        return Retry(DELIVERIES.pause(tries + 1, at_least=requested_wait(error)))
    log.error("webhook_failed", cause=type(error).__name__)
    async with handler_context.database.transaction(ref.shop_domain) as connection:
        await settle(connection, ref, Outcome("failed", type(error).__name__))
    return Done()


def is_worth_waiting(outages: int, faults: int, error: Exception) -> bool:
    """Whether to retry after so many of both: an outage ends, an internal error does not."""
    if isinstance(error, Unavailable):
        return not DELIVERIES.is_exhausted(DELIVERIES.waited(outages))
    return faults <= DELIVERIES.faults
