"""Customers' requests for their data."""

from backend.jobs.service import JobRef
from tests.running_app import OTHER_SHOP, SHOP, RunningApp
from tests.scenarios import (
    finished_job,
    privacy_request,
    refusal,
    waiting_job,
)
from tests.security.tenant_checks.callers import RouteCase

CUSTOMER = "191167"


async def a_customers_request_is_its_shops_alone(
    shared_app: RunningApp, _others: list[JobRef], ask: RouteCase
) -> None:
    """To list, also from a cursor that is the other's, and to read; of the same customer, too."""
    [theirs] = await requests_of(shared_app, OTHER_SHOP)
    own = await privacy_request(shared_app)
    await finished_job(shared_app, customer_id=CUSTOMER)
    for query in ("", f"?cursor={max(theirs, own)}"):
        found = (await ask(shared_app, "GET", f"/v1/privacy/requests{query}")).json()["requests"]
        assert theirs not in {each["public_id"] for each in found}
    answer = await ask(shared_app, "GET", f"/v1/privacy/requests/{theirs}")
    assert refusal(answer) == (404, "PRIVACY_REQUEST_NOT_FOUND")
    document = (await ask(shared_app, "GET", f"/v1/privacy/requests/{own}")).json()
    mine = await shared_app.rows(
        "SELECT public_id FROM jobs j JOIN shops s ON s.id = j.shop_id "
        "WHERE s.domain = :d AND customer_id = :c",
        d=SHOP,
        c=CUSTOMER,
    )
    held = {job["public_id"] for job in document["jobs"]}
    assert held and held <= {row["public_id"] for row in mine}


async def requests_of(shared_app: RunningApp, shop: str) -> list[str]:
    """The ids of what the shop's customers have asked."""
    rows = await shared_app.rows(
        "SELECT p.public_id FROM privacy_requests p JOIN shops s ON s.id = p.shop_id "
        "WHERE s.domain = :d",
        d=shop,
    )
    return [row["public_id"] for row in rows]


async def foreign_request(shared_app: RunningApp) -> None:
    """A request of a customer of the other shop's, who has a job there."""
    if not await requests_of(shared_app, OTHER_SHOP):
        await privacy_request(shared_app, shop=OTHER_SHOP)
        await waiting_job(shared_app, shop=OTHER_SHOP, customer_id=CUSTOMER)
