"""What happens by the clock, on one worker of all.

A duty that fails is logged by PgQueuer, and what follows in its schedule is left out. So the duties
that others must not wait for have schedules of their own.
"""

from pgqueuer import PgQueuer
from pgqueuer.models import Schedule

from backend.settings import Settings
from backend.storage.erasures import forget_old_notes
from backend.worker.backfills import copy_categories, correct_reviews
from backend.worker.batch_counts import settle_batches
from backend.worker.billing_sweep import sweep_billing
from backend.worker.bucket_sweep import sweep_bucket
from backend.worker.compliance import take_up_failed, watch_compliance
from backend.worker.context import WorkerContext
from backend.worker.credits import end_unpaid_batches, expire_credits
from backend.worker.ended_submissions import settle_abandoned
from backend.worker.endpoint_upkeep import prune_deliveries, wake_endpoints
from backend.worker.ledger_sums import compare_ledgers
from backend.worker.maintenance import prune, requeue_overdue, sweep_uploads
from backend.worker.product_sweep import enqueue_sweeps
from backend.worker.reauth import end_long_waits
from backend.worker.retention import RetentionPeriods, expire


def register_schedules(pgq: PgQueuer, settings: Settings, context: WorkerContext) -> None:
    """What happens by the clock, on one worker of all."""

    @pgq.schedule("requeue_overdue", "* * * * *")
    async def each_minute_requeue(_schedule: Schedule) -> None:
        await requeue_overdue(context.database)

    @pgq.schedule("settle_batches", "* * * * *")
    async def each_minute_settle_batches(_schedule: Schedule) -> None:
        await settle_batches(context.database)

    @pgq.schedule("expire_credits", "* * * * *")
    async def each_minute_expire_credits(_schedule: Schedule) -> None:
        await expire_credits(context.database)

    @pgq.schedule("wake_endpoints", "* * * * *")
    async def each_minute_wake_endpoints(_schedule: Schedule) -> None:
        await wake_endpoints(context.database)

    @pgq.schedule("backfill", "13 3 * * *")
    async def each_night_backfill(_schedule: Schedule) -> None:
        await correct_reviews(context.database)
        await copy_categories(context.database)

    @pgq.schedule("prune", "17 3 * * *")
    async def each_night_prune(_schedule: Schedule) -> None:
        await prune(context.database)
        await settle_abandoned(context.database)
        await prune_deliveries(context.database)
        await forget_old_notes(context.store)

    @pgq.schedule("sweep_uploads", "41 * * * *")
    async def each_hour_sweep_uploads(_schedule: Schedule) -> None:
        await sweep_uploads(context.database, context.store)

    @pgq.schedule("sweep_products", "11 * * * *")
    async def each_hour_enqueue_sweeps(_schedule: Schedule) -> None:
        await enqueue_sweeps(context.database)

    @pgq.schedule("sweep_billing", "29 * * * *")
    async def each_hour_sweep_billing(_schedule: Schedule) -> None:
        await sweep_billing(context)

    @pgq.schedule("sweep_bucket", "37 2 * * *")
    async def each_night_sweep_bucket(_schedule: Schedule) -> None:
        await sweep_bucket(settings, context)

    @pgq.schedule("expire", "7 4 * * *")
    async def each_night_expire(_schedule: Schedule) -> None:
        await expire(context, RetentionPeriods.of(settings))

    @pgq.schedule("compare_ledgers", "47 4 * * *")
    async def each_night_compare_ledgers(_schedule: Schedule) -> None:
        await compare_ledgers(settings, context.database)

    @pgq.schedule("end_long_waits", "23 * * * *")
    async def each_hour_end_long_waits(_schedule: Schedule) -> None:
        await end_long_waits(context.database)
        await end_unpaid_batches(context.database)

    @pgq.schedule("watch_compliance", "3 * * * *")
    async def each_hour_watch_compliance(_schedule: Schedule) -> None:
        await take_up_failed(context.database)
        await watch_compliance(context.database)
