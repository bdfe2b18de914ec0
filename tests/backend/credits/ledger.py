"""What the tests of the ledger share: shops with credits, and what their accounts say."""

import uuid
from datetime import datetime
from typing import Any

import httpx

from backend.credits.grants import GrantSource, grant_credits
from backend.settings import Quotas
from tests.running_app import RunningApp

PREPAID = Quotas(open_jobs=0, open_batches=0, stored_mb=0, prepaid=True)
BODY = {"product_id": "gid://shopify/Product/1"}  # costs 1
MODEL_BODY = {"product_id": "gid://shopify/Product/1"}  # of product-to-model
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
    shared_app: RunningApp, shop: str, *, key: str | None = None, workflow: str = "catalog-image"
) -> httpx.Response:
    """Ask for a job."""
    headers = shared_app.bearer(shop) | ({"Idempotency-Key": key} if key else {})
    return await shared_app.http.post(f"/v1/{workflow}", json=BODY, headers=headers)


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
