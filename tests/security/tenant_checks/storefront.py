"""What visitors of a storefront start and see."""

from backend.jobs.service import JobRef
from backend.workflows import WORKFLOWS
from tests.minimal_requests import MINIMAL_PARAMETERS
from tests.running_app import OTHER_SHOP, RunningApp
from tests.scenarios import (
    finished_job,
    refusal,
)
from tests.security.tenant_checks.callers import NOT_FOUND, PRODUCT, Check, RouteCase, by_app_proxy

FOR_VISITORS = [each.name for each in WORKFLOWS.values() if each.for_visitors]


async def a_storefront_job_is_its_shops_alone(
    shared_app: RunningApp, others: list[JobRef], ask: RouteCase
) -> None:
    """Those that the other's visitors started, and the merchants' own of both."""
    theirs = await visitors_job(shared_app, FOR_VISITORS[0], shop=OTHER_SHOP)
    own, _ = await finished_job(shared_app)
    for public_id in (theirs, own.public_id, *(ref.public_id for ref in others)):
        for path in (f"/proxy/v1/jobs/{public_id}", f"/proxy/v1/jobs/{public_id}/events"):
            assert refusal(await ask(shared_app, "GET", path)) == NOT_FOUND


def a_visitors_job_is_its_shops_alone(name: str) -> Check:
    """The same question in two shops makes two jobs."""

    async def check(shared_app: RunningApp, _others: list[JobRef], ask: RouteCase) -> None:
        body = {**PRODUCT, **MINIMAL_PARAMETERS[name]}
        ours = (await ask(shared_app, "POST", f"/proxy/v1/{name}", body)).json()["job_id"]
        assert ours != await visitors_job(shared_app, name, shop=OTHER_SHOP)
        assert (await shared_app.detail(ours)).status_code == 200
        assert refusal(await shared_app.detail(ours, shop=OTHER_SHOP)) == NOT_FOUND

    return check


async def visitors_job(shared_app: RunningApp, name: str, *, shop: str) -> str:
    """The job that a visitor of that shop started, today, whoever asks first."""
    body = {**PRODUCT, **MINIMAL_PARAMETERS[name]}
    answer = await by_app_proxy(shared_app, "POST", f"/proxy/v1/{name}", body, shop=shop)
    return str(answer.json()["job_id"])
