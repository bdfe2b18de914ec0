"""What the tests of the ledger share: shops with credits, and what their accounts say."""

import time
import uuid
from datetime import datetime
from typing import Any

import httpx

from backend.credits.grants import GrantSource, grant_credits
from backend.dev import signing
from backend.failures.registry import Failure
from backend.jobs.lifecycle import fail, lease_job, succeed
from backend.jobs.service import JobRef
from tests.conftest import SECRET
from tests.minimal_requests import MINIMAL_PARAMETERS
from tests.running_app import RunningApp

PRODUCT = "gid://shopify/Product/1"  # which need not exist
# A workflow for each price, with the fewest fields.
COSTS_1, COSTS_5, COSTS_10 = "catalog-image", "background-swap-with-spec", "product-to-model-direct"
TOO_FEW = (402, "INSUFFICIENT_BALANCE")


async def id_of(shared_app: RunningApp, shop: str) -> int:
    """The shop's number."""
    rows = await shared_app.rows("SELECT id FROM shops WHERE domain = :d", d=shop)
    return int(rows[0]["id"])


async def grant(
    shared_app: RunningApp,
    shop: str,
    amount: int,
    *,
    source: GrantSource = "manual",
    ref: str | None = None,
    expires_at: datetime | None = None,
) -> bool:
    """Grant credits, as an operator does."""
    async with shared_app.database.transaction(shop) as connection:
        return await grant_credits(
            connection,
            await id_of(shared_app, shop),
            source=source,
            ref=ref or uuid.uuid4().hex,
            amount=amount,
            expires_at=expires_at,
        )


async def post_job(
    shared_app: RunningApp,
    shop: str,
    workflow: str = COSTS_1,
    *,
    product: str = PRODUCT,
    key: str | None = None,
) -> httpx.Response:
    """Ask for a job."""
    headers = shared_app.bearer(shop) | ({"Idempotency-Key": key} if key else {})
    body = {"product_id": product, **MINIMAL_PARAMETERS[workflow]}
    return await shared_app.http.post(f"/v1/{workflow}", json=body, headers=headers)


async def visit(shared_app: RunningApp, shop: str, *, product: str = PRODUCT) -> httpx.Response:
    """Ask for an image that costs 10 as a visitor of the shop's storefront."""
    query = signing.app_proxy_query(
        {"shop": shop, "timestamp": str(int(time.time())), "logged_in_customer_id": ""}, SECRET
    )
    body = {"product_id": product, **MINIMAL_PARAMETERS[COSTS_10]}
    return await shared_app.http.post(f"/proxy/v1/{COSTS_10}?{query}", json=body)


async def made_job(
    shared_app: RunningApp, shop: str, workflow: str = COSTS_1, *, product: str = PRODUCT
) -> JobRef:
    """A job that no worker has claimed."""
    answer = await post_job(shared_app, shop, workflow, product=product)
    assert answer.status_code == 202, answer.text
    return JobRef(shop_id=await id_of(shared_app, shop), public_id=answer.json()["job_id"])


async def end_job(shared_app: RunningApp, ref: JobRef, failure: Failure | None = None) -> None:
    """A worker ends the job, well or with a failure."""
    claimed = await lease_job(shared_app.database, ref)
    assert claimed is not None
    if failure is None:
        await succeed(shared_app.database, claimed, {})
    else:
        await fail(shared_app.database, claimed, failure)


async def charged(shared_app: RunningApp, ref: JobRef) -> int | None:
    """What the job's last event says that it has charged; None if it says nothing."""
    rows = await shared_app.rows(
        "SELECT extra->'charged' AS charged FROM job_events WHERE job_id = :id "
        "AND event_type IN ('succeeded', 'failed')",
        id=ref.public_id,
    )
    assert len(rows) == 1
    told: int | None = rows[0]["charged"]
    return told


async def balance(shared_app: RunningApp, shop: str) -> tuple[int, int]:
    """What the account has available and held, after checking that everything adds up to it."""
    shop_id = await id_of(shared_app, shop)
    (sums,) = await shared_app.rows(
        """
        SELECT coalesce((SELECT available FROM credit_accounts WHERE shop_id = s.id), 0) available,
               coalesce((SELECT held FROM credit_accounts WHERE shop_id = s.id), 0) held,
               (SELECT coalesce(sum(remaining), 0) FROM credit_grants WHERE shop_id = s.id) lots,
               (SELECT coalesce(sum(d_available), 0) FROM credit_entries
                WHERE shop_id = s.id) posted_available,
               (SELECT coalesce(sum(d_held), 0) FROM credit_entries
                WHERE shop_id = s.id) posted_held,
               (SELECT coalesce(sum(credits_cost), 0) FROM jobs WHERE shop_id = s.id
                AND credit_state = 'held') jobs_held
        FROM shops s WHERE s.id = :id
        """,
        id=shop_id,
    )
    assert sums["available"] == sums["lots"] == sums["posted_available"]
    assert sums["held"] == sums["jobs_held"] == sums["posted_held"]
    return sums["available"], sums["held"]


async def entries(shared_app: RunningApp, shop: str) -> list[tuple[str, int, int]]:
    """The shop's entries in their order: kind, and what each changed."""
    rows = await shared_app.rows(
        "SELECT kind, d_available, d_held, seq FROM credit_entries WHERE shop_id = :id "
        "ORDER BY seq",
        id=await id_of(shared_app, shop),
    )
    assert [row["seq"] for row in rows] == list(range(1, len(rows) + 1))
    return [(row["kind"], row["d_available"], row["d_held"]) for row in rows]


async def lots(shared_app: RunningApp, shop: str) -> list[dict[str, Any]]:
    """The shop's lots in the order in which they came."""
    return await shared_app.rows(
        "SELECT * FROM credit_grants WHERE shop_id = :id ORDER BY id",
        id=await id_of(shared_app, shop),
    )
