"""`GET /v1/usage`: successful jobs and their credits, by day and workflow."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from backend.jobs.ids import first_id_at, new_public_id
from backend.workflows.catalog_image import CATALOG_IMAGE
from backend.workflows.product_to_model import PRODUCT_TO_MODEL_DIRECT
from tests.running_app import RunningApp
from tests.scenarios import claimed_job, finished_job, refusal, waiting_job


def midnight() -> datetime:
    """When the day (UTC) began."""
    return datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


async def usage(shared_app: RunningApp, shop: str, query: str = "") -> list[dict[str, Any]]:
    """The rows of the answer."""
    answer = await shared_app.http.get(f"/v1/usage{query}", headers=shared_app.bearer(shop))
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["days"]
    return found


async def old_job(
    shared_app: RunningApp,
    shop: str,
    at: datetime,
    *,
    job_type: str = "CATALOG_IMAGE",
    status: str = "SUCCESS",
    price: int | None = 4,
) -> None:
    """A job that was created at that time."""
    await shared_app.execute(
        "INSERT INTO jobs (shop_id, public_id, job_type, status, origin, request, credits_cost, "
        "created_at, finished_at) SELECT id, :public_id, :job_type, :status, 'api', '{}', "
        "CAST(:price AS smallint), :at, CAST(:at AS timestamptz) + interval '2 days' "
        "FROM shops WHERE domain = :d",
        public_id=first_id_at(at)[:10] + new_public_id()[10:],
        job_type=job_type,
        status=status,
        price=price,
        at=at,
        d=shop,
    )


@pytest.mark.usefixtures("same_day")
async def test_only_successful_jobs_are_counted(shared_app: RunningApp, shop: str) -> None:
    assert await usage(shared_app, shop) == []
    await waiting_job(shared_app, shop=shop)
    await claimed_job(shared_app, shop=shop)
    await finished_job(shared_app, shop=shop)
    await finished_job(shared_app, shop=shop)
    await shared_app.execute(
        "UPDATE jobs SET credits_cost = 7 WHERE public_id = (SELECT min(public_id) FROM jobs "
        "WHERE status = 'SUCCESS' AND shop_id = (SELECT id FROM shops WHERE domain = :d))",
        d=shop,
    )
    assert await usage(shared_app, shop) == [
        {
            "day": midnight().date().isoformat(),
            "workflow": "catalog-image",
            "jobs": 2,
            "credits": 7 + CATALOG_IMAGE.credits_cost,
        }
    ]


@pytest.mark.usefixtures("same_day")
async def test_jobs_are_grouped_by_the_utc_day_of_their_creation_and_by_workflow(
    shared_app: RunningApp, shop: str
) -> None:
    first_day = midnight() - timedelta(days=6)
    await old_job(shared_app, shop, first_day)
    await old_job(shared_app, shop, first_day + timedelta(hours=23, minutes=59))
    await old_job(shared_app, shop, first_day, job_type=PRODUCT_TO_MODEL_DIRECT.job_type, price=10)
    await old_job(shared_app, shop, first_day + timedelta(days=1))
    await old_job(shared_app, shop, first_day, status="FAILURE")
    await old_job(shared_app, shop, first_day - timedelta(seconds=1))
    day = first_day.date()
    assert await usage(shared_app, shop, "?days=7") == [
        {"day": str(day), "workflow": "catalog-image", "jobs": 2, "credits": 8},
        {"day": str(day), "workflow": "product-to-model-direct", "jobs": 1, "credits": 10},
        {"day": str(day + timedelta(days=1)), "workflow": "catalog-image", "jobs": 1, "credits": 4},
    ]
    assert sum(each["jobs"] for each in await usage(shared_app, shop, "?days=8")) == 5
    assert await usage(shared_app, shop, "?days=5") == []


async def test_a_job_without_a_stored_price_costs_what_its_workflow_does(
    shared_app: RunningApp, shop: str
) -> None:
    await old_job(shared_app, shop, midnight() - timedelta(days=1), price=None)
    [row] = await usage(shared_app, shop)
    assert row["credits"] == CATALOG_IMAGE.credits_cost


@pytest.mark.parametrize("query", ["?days=0", "?days=91", "?days=x", "?days=null", "?since=3"])
async def test_an_invalid_query_is_refused(shared_app: RunningApp, shop: str, query: str) -> None:
    answer = await shared_app.http.get(f"/v1/usage{query}", headers=shared_app.bearer(shop))
    assert refusal(answer) == (422, "INVALID_REQUEST")


async def test_usage_of_an_unknown_shop_is_a_401(shared_app: RunningApp) -> None:
    unknown = "no-usage.myshopify.com"
    shared_app.shopify.create_shop(unknown)
    answer = await shared_app.http.get("/v1/usage", headers=shared_app.bearer(unknown))
    assert refusal(answer) == (401, "SHOP_NOT_INSTALLED")
