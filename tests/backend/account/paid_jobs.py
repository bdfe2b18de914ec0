"""Jobs that hold their price, and their ends."""

from backend.failures.codes import WORKER_CRASHED
from backend.jobs.lifecycle import JobLease, fail, lease_job, succeed
from backend.jobs.service import JobRef
from tests.backend.credits.ledger import id_of, post_job
from tests.running_app import RunningApp


async def paid_job(shared_app: RunningApp, shop: str) -> JobRef:
    """A job that the shop has asked for and that no worker has claimed."""
    answer = await post_job(shared_app, shop)
    assert answer.status_code == 202, answer.text
    return JobRef(shop_id=await id_of(shared_app, shop), public_id=answer.json()["job_id"])


async def succeeded(shared_app: RunningApp, shop: str) -> JobRef:
    """A job that has captured its price."""
    lease = await claimed(shared_app, shop)
    await succeed(shared_app.database, lease, {})
    return lease.ref


async def failed(shared_app: RunningApp, shop: str) -> JobRef:
    """A job that has released its price."""
    lease = await claimed(shared_app, shop)
    await fail(shared_app.database, lease, WORKER_CRASHED)
    return lease.ref


async def claimed(shared_app: RunningApp, shop: str) -> JobLease:
    """A job that a worker has claimed."""
    lease = await lease_job(shared_app.database, await paid_job(shared_app, shop))
    assert lease is not None
    return lease
