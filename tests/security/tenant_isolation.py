"""Which check each route has, and who may call it. The checks are in `tenant_checks`."""

from litestar import Litestar

from backend.app import create_app
from backend.jobs.service import JobRef
from tests.minimal_requests import MINIMAL_PARAMETERS
from tests.running_app import OTHER_SHOP, RunningApp
from tests.scenarios import (
    fingerprint,
    finished_job,
    waiting_job,
)
from tests.security.tenant_checks.accounts import (
    a_purchase_is_its_shops_alone,
    an_installation_is_its_shops_alone,
    an_overview_is_its_shops_alone,
    credits_are_its_shops_alone,
    foreign_subscription,
    prepaid_job,
    settings_are_its_shops_alone,
    usage_is_its_shops_alone,
)
from tests.security.tenant_checks.batches import (
    OF_A_BATCH,
    a_batch_is_its_shops_alone,
    a_list_of_batches_is_its_shops_alone,
    a_new_batch_is_its_shops_alone,
    foreign_batch,
)
from tests.security.tenant_checks.callers import (
    ANYBODY,
    MERCHANT,
    VISITOR,
    Check,
    Route,
    RouteCase,
    by_token,
)
from tests.security.tenant_checks.everybody import (
    PAGE_TEMPLATES,
    garments_are_everybodys,
    health_knows_no_shops,
    operations_are_everybodys,
    the_document_knows_no_shops,
    the_page_knows_no_shops,
)
from tests.security.tenant_checks.images import (
    OF_AN_ENTRY,
    a_catalog_is_its_shops_alone,
    a_dismissal_is_its_shops_alone,
    a_product_is_its_shops_alone,
    a_publication_is_its_shops_alone,
    a_render_is_its_shops_alone,
    a_review_is_its_shops_alone,
    an_upload_is_its_shops_alone,
    foreign_entry,
    foreign_publication,
    foreign_upload,
)
from tests.security.tenant_checks.jobs import (
    a_cancel_is_its_shops_alone,
    a_job_is_its_shops_alone,
    a_lineage_is_its_shops_alone,
    a_list_is_its_shops_alone,
    a_new_job_is_its_shops_alone,
    a_rerun_is_its_shops_alone,
    a_timeline_is_its_shops_alone,
)
from tests.security.tenant_checks.privacy import (
    a_customers_request_is_its_shops_alone,
    foreign_request,
)
from tests.security.tenant_checks.storefront import (
    FOR_VISITORS,
    a_storefront_job_is_its_shops_alone,
    a_visitors_job_is_its_shops_alone,
    visitors_job,
)
from tests.security.tenant_checks.webhooks import (
    OF_AN_ENDPOINT,
    a_callback_is_its_submissions_alone,
    a_delivery_is_its_shops_alone,
    a_list_of_webhook_endpoints_is_its_shops_alone,
    a_webhook_endpoint_is_its_shops_alone,
    foreign_endpoint,
)

CHECKS: dict[Route, tuple[Check, tuple[RouteCase, ...]]] = {
    ("GET", "/v1/jobs/{public_id}"): (a_job_is_its_shops_alone, MERCHANT),
    ("GET", "/v1/jobs/{public_id}/events"): (a_timeline_is_its_shops_alone, MERCHANT),
    ("GET", "/v1/jobs/{public_id}/lineage"): (a_lineage_is_its_shops_alone, MERCHANT),
    ("POST", "/v1/jobs/{public_id}/rerun"): (a_rerun_is_its_shops_alone, MERCHANT),
    ("POST", "/v1/jobs/{public_id}/cancel"): (a_cancel_is_its_shops_alone, MERCHANT),
    **{
        (method, "/v1/jobs/{public_id}/publication"): (a_publication_is_its_shops_alone, MERCHANT)
        for method in ("POST", "GET", "DELETE")
    },
    **{
        (method, "/v1/jobs/{public_id}/dismissal"): (a_dismissal_is_its_shops_alone, MERCHANT)
        for method in ("POST", "DELETE")
    },
    ("GET", "/v1/jobs/{public_id}/product"): (a_product_is_its_shops_alone, MERCHANT),
    ("GET", "/v1/review"): (a_review_is_its_shops_alone, MERCHANT),
    ("GET", "/v1/renders"): (a_render_is_its_shops_alone, MERCHANT),
    ("GET", "/v1/renders/{public_id}"): (a_render_is_its_shops_alone, MERCHANT),
    ("GET", "/v1/catalog/{kind}"): (a_catalog_is_its_shops_alone, MERCHANT),
    **{
        (method, f"/v1/catalog/{{kind}}/{{public_id}}{end}"): (
            a_catalog_is_its_shops_alone,
            MERCHANT,
        )
        for method, end, _ in OF_AN_ENTRY
    },
    ("GET", "/v1/overview"): (an_overview_is_its_shops_alone, MERCHANT),
    **{
        (method, "/v1/overview/setup-dismissal"): (an_overview_is_its_shops_alone, MERCHANT)
        for method in ("POST", "DELETE")
    },
    ("GET", "/v1/credits"): (credits_are_its_shops_alone, MERCHANT),
    ("GET", "/v1/transactions"): (credits_are_its_shops_alone, MERCHANT),
    ("GET", "/v1/usage"): (usage_is_its_shops_alone, MERCHANT),
    ("GET", "/v1/jobs"): (a_list_is_its_shops_alone, MERCHANT),
    **{
        (method, f"/v1/batches/{{public_id}}{end}"): (a_batch_is_its_shops_alone, MERCHANT)
        for method, end in OF_A_BATCH
    },
    ("GET", "/v1/batches"): (a_list_of_batches_is_its_shops_alone, MERCHANT),
    ("POST", "/v1/batches"): (a_new_batch_is_its_shops_alone, MERCHANT),
    **{
        ("GET", f"/v1/privacy/requests{end}"): (a_customers_request_is_its_shops_alone, MERCHANT)
        for end in ("", "/{public_id}")
    },
    **{
        (method, f"/v1/webhook-endpoints/{{public_id}}{end}"): (
            a_webhook_endpoint_is_its_shops_alone,
            MERCHANT,
        )
        for method, end in OF_AN_ENDPOINT
    },
    **{
        (method, "/v1/webhook-endpoints"): (
            a_list_of_webhook_endpoints_is_its_shops_alone,
            MERCHANT,
        )
        for method in ("GET", "POST")
    },
    ("GET", "/v1/operations"): (operations_are_everybodys, MERCHANT),
    ("GET", "/v1/garment-categories"): (garments_are_everybodys, MERCHANT),
    ("POST", "/v1/compatibility/check"): (garments_are_everybodys, MERCHANT),
    **{
        (method, "/v1/settings"): (settings_are_its_shops_alone, MERCHANT)
        for method in ("GET", "PUT")
    },
    ("GET", "/v1/plans"): (a_purchase_is_its_shops_alone, MERCHANT),
    ("POST", "/v1/subscription"): (a_purchase_is_its_shops_alone, MERCHANT),
    ("POST", "/v1/purchases"): (a_purchase_is_its_shops_alone, MERCHANT),
    ("POST", "/v1/uploads"): (an_upload_is_its_shops_alone, (by_token,)),
    ("POST", "/v1/installation"): (an_installation_is_its_shops_alone, (by_token,)),
    **{
        ("POST", f"/v1/{name}"): (a_new_job_is_its_shops_alone(name), MERCHANT)
        for name in MINIMAL_PARAMETERS
    },
    ("GET", "/proxy/v1/jobs/{public_id}"): (a_storefront_job_is_its_shops_alone, VISITOR),
    ("GET", "/proxy/v1/jobs/{public_id}/events"): (a_storefront_job_is_its_shops_alone, VISITOR),
    **{
        ("POST", f"/proxy/v1/{name}"): (a_visitors_job_is_its_shops_alone(name), VISITOR)
        for name in FOR_VISITORS
    },
    ("POST", "/webhooks"): (a_delivery_is_its_shops_alone, ANYBODY),
    ("POST", "/callbacks/{provider}/{token}"): (a_callback_is_its_submissions_alone, ANYBODY),
    ("GET", "/health/live"): (health_knows_no_shops, ANYBODY),
    ("GET", "/health/ready"): (health_knows_no_shops, ANYBODY),
    ("GET", "/schema"): (the_document_knows_no_shops, ANYBODY),
    ("GET", "/schema/openapi.json"): (the_document_knows_no_shops, ANYBODY),
    ("GET", "/schema/{path}"): (the_document_knows_no_shops, ANYBODY),
    **{("GET", path): (the_page_knows_no_shops, ANYBODY) for path in PAGE_TEMPLATES},
    ("GET", "/page/{digest}/{name}"): (the_page_knows_no_shops, ANYBODY),
}


def routes_of(running_app: RunningApp) -> set[Route]:
    """Every route of the app, but for the OPTIONS that Litestar adds to each."""
    app = create_app(running_app.settings).app.app.app.app.app  # type: ignore[attr-defined]
    assert isinstance(app, Litestar)
    return {
        (str(method), route.path_format)
        for route in app.routes
        for method in getattr(route, "methods", {"MOUNTED"})
        if method != "OPTIONS"
    }


# By the app's database: the other shop's jobs, and the fingerprint of all its data.
made_once: dict[str, tuple[list[JobRef], dict[str, str]]] = {}


async def assert_isolated(shared_app: RunningApp, check: Check, case: RouteCase) -> None:
    """The check passes and leaves the other shop's data, which are of every kind, unchanged."""
    others, before = await data_of_the_other(shared_app)
    await check(shared_app, others, case)
    assert await fingerprint(shared_app, OTHER_SHOP) == before


async def data_of_the_other(shared_app: RunningApp) -> tuple[list[JobRef], dict[str, str]]:
    """Two of its jobs, and the fingerprint; made anew only if a check has changed something."""
    others, known = made_once.get(shared_app.settings.database_url, ([], {}))
    before = await fingerprint(shared_app, OTHER_SHOP)
    if before != known:
        others = await make_data_of_the_other(shared_app)
        before = await fingerprint(shared_app, OTHER_SHOP)
        made_once[shared_app.settings.database_url] = others, before
    return others, before


async def make_data_of_the_other(shared_app: RunningApp) -> list[JobRef]:
    """Give the other shop data of every kind."""
    await shared_app.install(OTHER_SHOP)
    finished, _ = await finished_job(shared_app, shop=OTHER_SHOP)
    others = [finished, await waiting_job(shared_app, shop=OTHER_SHOP)]
    for name in FOR_VISITORS:
        await visitors_job(shared_app, name, shop=OTHER_SHOP)
    await foreign_upload(shared_app)
    await foreign_subscription(shared_app)
    await foreign_publication(shared_app, finished)
    await foreign_batch(shared_app)
    await foreign_request(shared_app)
    await foreign_entry(shared_app)
    await prepaid_job(shared_app, OTHER_SHOP, 1000)
    await foreign_endpoint(shared_app)
    return others
