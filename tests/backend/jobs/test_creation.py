"""`POST /v1/<workflow>` creates a complete job, or names what is wrong."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from msgspec.structs import replace

from backend.app import create_app
from backend.errors import ConfigurationError
from backend.jobs.lifecycle import lease_job
from backend.jobs.service import JobRef, request_jobs
from backend.shops.service import installed_id
from backend.workflows import BY_NAME, WORKFLOWS
from backend.workflows.catalog_image import CATALOG_IMAGE
from backend.workflows.generated import seed_of
from tests.catalog_entries import generated_entry
from tests.conftest import settings_for
from tests.hosted_engines import HOSTED_WORKFLOWS, WITH_ENGINES, app_with
from tests.minimal_requests import MINIMAL_PARAMETERS, UNKNOWN_ENTRY, UNKNOWN_UPLOAD
from tests.running_app import SHOP, RunningApp, cloned_database, open_running_app
from tests.scenarios import fingerprint, open_shared_app, refusal

shared_app = pytest.fixture(open_shared_app, scope="module")


@pytest.fixture(scope="module")
async def engines(shared_app: RunningApp) -> AsyncIterator[RunningApp]:
    """The same app with an engine for each stage."""
    async with app_with(shared_app, **WITH_ENGINES) as running_app:
        yield running_app


PRODUCT = "gid://shopify/Product/8000000000001"
OFFLINE = [
    name
    for name, parameters in MINIMAL_PARAMETERS.items()
    if name not in HOSTED_WORKFLOWS
    and not {UNKNOWN_UPLOAD, UNKNOWN_ENTRY} & {*map(str, parameters.values())}
]


async def post_job(
    shared_app: RunningApp, name: str, body: Any = None, *, shop: str = SHOP, **headers: str
) -> httpx.Response:
    """Ask for a job of that workflow, by default of a product."""
    if body is None:
        photo = {"product_id": PRODUCT} if BY_NAME[name].has_photo else {}
        body = {**photo, **MINIMAL_PARAMETERS[name]}
    sent = {**shared_app.bearer(shop), **headers}
    return await shared_app.http.post(f"/v1/{name}", json=body, headers=sent)


async def invalid_locations(shared_app: RunningApp, name: str, body: Any) -> list[list[Any]]:
    """What a refusal's detail names, after checking that nothing was made."""
    before = await fingerprint(shared_app)
    answer = await post_job(shared_app, name, body)
    assert refusal(answer) == (422, "INVALID_REQUEST")
    assert await fingerprint(shared_app) == before
    return [item["loc"] for item in answer.json()["detail"]]


def test_every_workflow_is_covered_by_these_tests() -> None:
    assert sorted(MINIMAL_PARAMETERS) == sorted(workflow.name for workflow in WORKFLOWS.values())


async def test_jobs_that_are_made_at_once_keep_their_price(shared_app: RunningApp) -> None:
    async with shared_app.database.transaction() as connection:
        refs = await request_jobs(
            connection,
            CATALOG_IMAGE,
            shop_id=await installed_id(connection, SHOP),
            requests=[{}] * 2,
            origin="api",
        )
    ids = [ref.public_id for ref in refs]
    kept = await shared_app.rows(
        "SELECT credits_cost FROM jobs WHERE public_id = ANY(:ids)", ids=ids
    )
    assert kept == [{"credits_cost": CATALOG_IMAGE.credits_cost}] * 2


@pytest.mark.parametrize("name", OFFLINE)
async def test_creating_a_job_stores_its_first_event_and_queue_entry(
    shared_app: RunningApp, name: str
) -> None:
    answer = await post_job(shared_app, name)
    assert answer.status_code == 202, answer.text
    made = answer.json()
    workflow = next(each for each in WORKFLOWS.values() if each.name == name)
    assert made == {
        "request_id": answer.headers["x-request-id"],
        "job_id": made["job_id"],
        "status": "NOT_STARTED",
        "credits_cost": workflow.credits_cost,
    }
    assert answer.headers["location"] == f"/v1/jobs/{made['job_id']}"
    job = (
        await shared_app.http.get(answer.headers["location"], headers=shared_app.bearer())
    ).json()
    assert (job["job_type"], job["status"]) == (workflow.job_type, "NOT_STARTED")
    assert (job["latest_event"]["seq"], job["latest_event"]["event_type"]) == (1, "queued")
    kept = await shared_app.rows(
        "SELECT credits_cost FROM jobs WHERE public_id = :id", id=made["job_id"]
    )
    assert kept == [{"credits_cost": workflow.credits_cost}]
    queued = await shared_app.rows(
        "SELECT 1 FROM queue.pgqueuer WHERE dedupe_key LIKE :key", key=f"run_job:%:{made['job_id']}"
    )
    assert len(queued) == 1


async def test_the_stored_request_includes_defaults_and_omits_unset_fields(
    shared_app: RunningApp,
) -> None:
    made = (
        await post_job(shared_app, "catalog-image", {"product_id": PRODUCT, "margin": 0.2})
    ).json()
    assert (await shared_app.detail(made["job_id"])).json()["request"] == {
        "product_id": PRODUCT,
        "background": "#ffffff",
        "margin": 0.2,
        "shadow": "none",
        "outputs": [{"size": 2048, "format": "jpeg"}, {"size": 1024, "format": "webp"}],
    }


async def test_the_source_image_must_be_given_in_exactly_one_way(shared_app: RunningApp) -> None:
    assert await invalid_locations(shared_app, "catalog-image", {}) == [["body", "upload_key"]]
    both = {"product_id": PRODUCT, "media_id": "gid://shopify/MediaImage/1"}
    found = await invalid_locations(shared_app, "catalog-image", both)
    assert found == [["body", "product_id"], ["body", "media_id"]]


async def test_an_unknown_upload_is_reported_with_its_field(shared_app: RunningApp) -> None:
    assert await invalid_locations(shared_app, "catalog-image", {"upload_key": UNKNOWN_UPLOAD}) == [
        ["body", "upload_key"]
    ]
    body = {"upload_key": UNKNOWN_UPLOAD, "background_upload_key": UNKNOWN_UPLOAD}
    assert await invalid_locations(shared_app, "background-swap-with-image", body) == [
        ["body", "upload_key"],
        ["body", "background_upload_key"],
    ]


@pytest.mark.parametrize(
    ("change", "loc"),
    [
        ({"shop": "south.myshopify.com"}, ["body", "shop"]),
        ({"source_url": "https://cdn.shopify.com/x.jpg"}, ["body", "source_url"]),
        ({"margin": "0.1"}, ["body", "margin"]),
        ({"outputs": [{"size": 512, "format": "webp"}] * 2}, ["body", "outputs"]),
        ({"outputs": [{"size": 99, "format": "jpeg"}]}, ["body", "outputs", 0, "size"]),
    ],
)
async def test_an_unexpected_field_is_reported_with_its_location(
    shared_app: RunningApp, change: dict[str, Any], loc: list[Any]
) -> None:
    assert await invalid_locations(
        shared_app, "catalog-image", {"product_id": PRODUCT, **change}
    ) == [loc]


async def test_the_body_must_be_declared_as_json(shared_app: RunningApp) -> None:
    async def sent(content: bytes, **headers: str) -> tuple[int, str]:
        answer = await shared_app.http.post(
            "/v1/catalog-image", content=content, headers={**shared_app.bearer(), **headers}
        )
        return refusal(answer)

    json = {"Content-Type": "application/json"}
    good = b'{"product_id": "gid://shopify/Product/1"}'
    assert await sent(good) == (415, "UNSUPPORTED_MEDIA_TYPE")
    assert await sent(good, **{"Content-Type": "text/plain"}) == (415, "UNSUPPORTED_MEDIA_TYPE")
    gzip = {**json, "Content-Encoding": "gzip"}
    assert await sent(good, **gzip) == (415, "UNSUPPORTED_MEDIA_TYPE")
    assert await sent(b"", **json) == (422, "INVALID_REQUEST")
    assert await sent(b"{", **json) == (400, "BAD_REQUEST")
    assert await sent(b"[" * 100, **json) == (400, "BAD_REQUEST")
    assert await sent(b" " * 256_001, **json) == (413, "BODY_TOO_LARGE")


async def test_an_invalid_idempotency_key_is_reported_by_its_header_name(
    shared_app: RunningApp,
) -> None:
    answer = await post_job(shared_app, "catalog-image", **{"Idempotency-Key": "k" * 256})
    assert refusal(answer) == (422, "INVALID_REQUEST")
    assert answer.json()["detail"][0]["loc"] == ["header", "Idempotency-Key"]


async def test_a_job_of_an_uninstalled_shop_ends_when_a_worker_takes_it(
    shared_app: RunningApp,
) -> None:
    gone = "left-behind.myshopify.com"
    await shared_app.install(gone)
    made = (await post_job(shared_app, "catalog-image", shop=gone)).json()["job_id"]
    await shared_app.execute("UPDATE shops SET status = 'uninstalled' WHERE domain = :d", d=gone)
    shops = await shared_app.rows("SELECT id FROM shops WHERE domain = :d", d=gone)
    async with shared_app.database.transaction() as connection:
        ref = JobRef(shop_id=shops[0]["id"], public_id=made)
        assert await lease_job(connection, ref) is None
    ended = await shared_app.rows(
        "SELECT j.status, e.extra FROM jobs j JOIN job_events e ON e.job_id = j.public_id "
        "AND e.seq = j.last_seq WHERE j.public_id = :id",
        id=made,
    )
    assert ended[0]["status"] == "FAILURE"
    assert ended[0]["extra"]["error"]["code"] == "SHOP_UNINSTALLED"


async def test_an_unknown_workflow_is_not_found(shared_app: RunningApp) -> None:
    assert refusal(await post_job(shared_app, "oil-painting", {})) == (404, "NOT_FOUND")


async def test_operations_list_every_workflow_with_its_price(shared_app: RunningApp) -> None:
    answer = await shared_app.http.get("/v1/operations", headers=shared_app.bearer())
    assert answer.json()["operations"] == [
        {
            "name": workflow.name,
            "op_class": workflow.op_class,
            "credits_cost": workflow.credits_cost,
            "enabled": workflow.name not in HOSTED_WORKFLOWS,
            "refusal": "NO_ENGINE" if workflow.name in HOSTED_WORKFLOWS else None,
            "hosted": False,
        }
        for workflow in WORKFLOWS.values()
    ]


async def test_a_disabled_workflow_is_refused_and_rate_limits_are_per_shop(
    services, template, renderer
) -> None:
    async with cloned_database(services.postgres.url(), template) as url:
        settings = replace(
            settings_for(services, url),
            disabled_workflows=" catalog-image, ",
            rate_limit_writes="3/minute",
        )
        async with open_running_app(settings, renderer) as running_app:
            await running_app.install()
            listed = await running_app.http.get("/v1/operations", headers=running_app.bearer())
            enabled = {each["name"]: each["enabled"] for each in listed.json()["operations"]}
            assert not enabled["catalog-image"]
            assert enabled["product-to-model-direct"]
            assert refusal(await post_job(running_app, "catalog-image")) == (
                403,
                "WORKFLOW_DISABLED",
            )
            assert (await post_job(running_app, "product-to-model-direct")).status_code == 202
            limited = await post_job(running_app, "product-to-model-direct")
            assert refusal(limited) == (429, "RATE_LIMITED")
            assert 1 <= int(limited.headers["retry-after"]) <= 120
            await running_app.install("south.myshopify.com")
            south = await post_job(
                running_app, "product-to-model-direct", shop="south.myshopify.com"
            )
            assert south.status_code == 202


def test_a_misspelt_disabled_workflow_stops_the_start(shared_app: RunningApp) -> None:
    settings = replace(shared_app.settings, disabled_workflows="catalog_image")
    with pytest.raises(ConfigurationError, match="catalog-image"):
        create_app(settings)


@pytest.mark.parametrize("name", HOSTED_WORKFLOWS)
async def test_a_workflow_without_an_engine_is_refused_and_stores_nothing(
    shared_app: RunningApp, name: str
) -> None:
    before = await fingerprint(shared_app)
    assert refusal(await post_job(shared_app, name)) == (409, "NO_ENGINE")
    assert await fingerprint(shared_app) == before


async def test_a_workflow_is_enabled_once_each_of_its_stages_has_an_engine(
    shared_app: RunningApp,
) -> None:
    async with app_with(shared_app, **WITH_ENGINES) as engines:
        assert all(each["enabled"] for each in (await offered(engines)).values())
        assert (await post_job(engines, "extract")).status_code == 202
    one = {**WITH_ENGINES, "engines": "generate_model=fashn,try_on=fashn"}
    async with app_with(shared_app, **one) as engines:
        enabled = {name for name, each in (await offered(engines)).items() if each["enabled"]}
        assert enabled & {*HOSTED_WORKFLOWS} == {"model-generator", "try-on"}
        assert refusal(await post_job(engines, "extract")) == (409, "NO_ENGINE")
        hosted = {name for name, each in (await offered(engines)).items() if each["hosted"]}
        assert hosted == {"model-generator", "try-on", "product-to-model-phased"}


async def test_a_workflow_that_is_not_offered_says_what_a_request_would_be_answered(
    shared_app: RunningApp,
) -> None:
    async with app_with(shared_app, disabled_workflows="catalog-image") as other:
        listed = await offered(other)
        for name in ("catalog-image", "extract"):
            assert not listed[name]["enabled"]
            assert refusal(await post_job(other, name))[1] == listed[name]["refusal"]
        assert listed["background-swap-with-spec"]["refusal"] is None


async def test_a_generator_needs_no_photo_and_keeps_the_seed_of_its_own(
    engines: RunningApp,
) -> None:
    made = (await post_job(engines, "model-generator", {"body": "male"})).json()["job_id"]
    request = (await engines.detail(made)).json()["request"]
    assert request["seed"] == seed_of(made)
    chosen = (await post_job(engines, "model-generator", {"seed": 7})).json()["job_id"]
    assert (await engines.detail(chosen)).json()["request"]["seed"] == 7
    assert refusal(await post_job(engines, "model-generator", {"product_id": PRODUCT})) == (
        422,
        "INVALID_REQUEST",
    )


PERSON_WAYS = ["person_upload_key", "model_id"]
GARMENT_WAYS = ["garment_2_upload_key", "garment_2_id"]


@pytest.mark.parametrize(
    ("name", "parameters", "fields"),
    [
        ("try-on", {}, PERSON_WAYS[:1]),
        ("try-on", {"person_upload_key": UNKNOWN_UPLOAD, "model_id": UNKNOWN_ENTRY}, PERSON_WAYS),
        ("look", {"model_id": UNKNOWN_ENTRY}, GARMENT_WAYS[:1]),
        ("try-on", {"model_id": UNKNOWN_ENTRY}, ["model_id"]),
        ("try-on", {"person_upload_key": UNKNOWN_UPLOAD}, ["person_upload_key"]),
        ("product-to-model-phased", {"model_id": UNKNOWN_ENTRY}, ["model_id"]),
        ("background-swap-with-image", {}, ["background_upload_key"]),
    ],
)
async def test_each_further_image_is_named_in_one_way_and_must_be_there(
    engines: RunningApp, name: str, parameters: dict[str, Any], fields: list[str]
) -> None:
    body = {"product_id": PRODUCT, **parameters}
    assert await invalid_locations(engines, name, body) == [["body", each] for each in fields]


async def test_a_job_stores_the_object_of_its_catalog_entry_and_shows_it(
    shared_app: RunningApp,
    engines: RunningApp,
) -> None:
    entry, key = await generated_entry(shared_app)
    body = {"product_id": PRODUCT, "model_id": entry.public_id}
    made = (await post_job(engines, "try-on", body)).json()["job_id"]
    request = (await engines.detail(made)).json()["request"]
    wrong = {"product_id": PRODUCT, "background_id": entry.public_id}  # it is a model
    found = await invalid_locations(engines, "product-to-model-phased", wrong)
    assert found == [["body", "background_id"]]
    assert request["model_id"] == entry.public_id
    assert key in request["model_image_url"]
    assert "model_key" not in request


async def test_the_photo_of_a_person_is_never_shown_again(
    shared_app: RunningApp, engines: RunningApp
) -> None:
    upload_key = f"upl_{'1' * 32}"
    await shared_app.execute(
        "INSERT INTO uploads (shop_id, upload_key, key, stored_at) "
        "SELECT id, :key, 'uploads/person.jpg', now() FROM shops WHERE domain = :shop",
        key=upload_key,
        shop=SHOP,
    )
    body = {"product_id": PRODUCT, "person_upload_key": upload_key}
    made = (await post_job(engines, "try-on", body)).json()["job_id"]
    detail = await engines.detail(made)
    assert detail.json()["request"]["person_upload_image_url"] is None
    assert "uploads/person.jpg" not in detail.text
    stored = await shared_app.rows("SELECT request FROM jobs WHERE public_id = :id", id=made)
    assert stored[0]["request"]["person_upload_key"] == "uploads/person.jpg"


async def test_a_price_that_the_operator_has_set_is_the_jobs(shared_app: RunningApp) -> None:
    async with app_with(shared_app, credits_by_workflow="catalog-image=3, extract=0,") as dearer:
        prices = {name: each["credits_cost"] for name, each in (await offered(dearer)).items()}
        assert (prices["catalog-image"], prices["extract"], prices["look"]) == (3, 0, 10)
        made = (await post_job(dearer, "catalog-image")).json()
    assert made["credits_cost"] == 3
    kept = await shared_app.rows(
        "SELECT credits_cost FROM jobs WHERE public_id = :id", id=made["job_id"]
    )
    assert kept == [{"credits_cost": 3}]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("try_on=12", "unknown names: try_on. Known names: background-generator,"),
        ("try-on", "name each workflow once"),
        ("try-on=", "name each workflow once"),
        ("=3", "unknown names: "),
        ("try-on=1,try-on=2", "name each workflow once"),
        ("try-on=-1", "name each workflow once"),
        ("try-on=1.5", "name each workflow once"),
        ("try-on=10000", "name each workflow once"),
    ],
)
def test_a_wrong_price_stops_the_start(shared_app: RunningApp, text: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        create_app(replace(shared_app.settings, credits_by_workflow=text))


async def offered(running_app: RunningApp) -> dict[str, dict[str, Any]]:
    """The workflows by their names, as the API lists them."""
    answer = await running_app.http.get("/v1/operations", headers=running_app.bearer())
    return {each["name"]: each for each in answer.json()["operations"]}
