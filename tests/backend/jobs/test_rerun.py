"""Run a job again: with the same images, and the same or changed parameters."""

import asyncio
from typing import Any

import httpx
import msgspec
import pytest

from backend.dev.shopify import ProductRecord
from backend.dev.transport import NO_TLS, LoopbackShopify
from backend.errors import InvalidRequest
from backend.jobs.lifecycle import lease_job
from backend.jobs.rerun import changed_request
from backend.jobs.service import JobRef
from backend.worker.expiry import forget_files, retract
from backend.worker.retention import EXPIRING_FILES
from backend.worker.sources import source_files
from backend.workflows import BY_NAME
from tests.backend.uploads.multipart_forms import upload_picture
from tests.minimal_requests import MINIMAL_PARAMETERS
from tests.prepaid_apps import SELLING
from tests.running_app import GARMENTS, RunningApp, serve_app
from tests.scenarios import finished_job, new_shop, open_shared_app, refusal, waiting_job

shared_app = pytest.fixture(open_shared_app, scope="module")
shop = pytest.fixture(new_shop)

SPEC = "background-swap-with-spec"
MODEL, OTHER_MODEL = "0" * 26, "1" * 26
PERSON = {"person_upload_key": "uploads/p.jpg"}
ENTRY = {"model_id": MODEL, "model_key": "artifacts/m"}


async def create(shared_app: RunningApp, shop: str, name: str, body: dict[str, Any]) -> JobRef:
    """A job of that workflow, which no worker has claimed."""
    answer = await shared_app.http.post(f"/v1/{name}", json=body, headers=shared_app.bearer(shop))
    assert answer.status_code == 202, answer.text
    return await ref_of(shared_app, answer.json()["job_id"])


async def ref_of(shared_app: RunningApp, public_id: str) -> JobRef:
    """The job's key."""
    [row] = await shared_app.rows("SELECT shop_id FROM jobs WHERE public_id = :id", id=public_id)
    return JobRef(shop_id=row["shop_id"], public_id=public_id)


async def rerun(
    shared_app: RunningApp, shop: str, public_id: str, body: Any = None, **headers: str
) -> httpx.Response:
    """Ask for a rerun, by default of the same."""
    return await shared_app.http.post(
        f"/v1/jobs/{public_id}/rerun",
        json={} if body is None else body,
        headers={**shared_app.bearer(shop), **headers},
    )


async def repeated(shared_app: RunningApp, shop: str, ref: JobRef, **changes: Any) -> JobRef:
    """The job that runs this one again with these parameters changed."""
    answer = await rerun(shared_app, shop, ref.public_id, {"parameters": changes})
    assert answer.status_code == 202, answer.text
    return await ref_of(shared_app, answer.json()["job_id"])


async def stored(shared_app: RunningApp, ref: JobRef) -> dict[str, Any]:
    """The job's row."""
    [row] = await shared_app.rows("SELECT * FROM jobs WHERE public_id = :id", id=ref.public_id)
    return row


async def sources(shared_app: RunningApp, ref: JobRef) -> list[bytes]:
    """The images that a worker finds for the job."""
    claimed = await lease_job(shared_app.worker_context.database, ref)
    assert claimed is not None
    return [each.data async for each in source_files(claimed, shared_app.worker_context)]


async def expire_files(shared_app: RunningApp, ref: JobRef) -> None:
    """What retention does with the job's files."""
    async with shared_app.worker_context.database.transaction() as connection:
        held = await retract(connection, [ref], EXPIRING_FILES)
        await forget_files(connection, held)


async def fetched_job(shared_app: RunningApp, shop: str) -> tuple[JobRef, ProductRecord, bytes]:
    """A successful job of a product whose photo was fetched; its product and that photo."""
    product = shared_app.product(GARMENTS / "tee_navy.jpg", shop=shop)
    ref = await create(shared_app, shop, SPEC, {"product_id": product.gid, "scene_type": "studio"})
    await shared_app.drain()
    assert (await stored(shared_app, ref))["status"] == "SUCCESS"
    [row] = await shared_app.rows(
        "SELECT files->>'source' AS key FROM job_stages WHERE job_id = :id AND stage = 'fetch'",
        id=ref.public_id,
    )
    return ref, product, await shared_app.worker_context.store.get(row["key"])


async def test_a_rerun_is_a_new_job_with_the_same_request(
    shared_app: RunningApp, shop: str
) -> None:
    upload = await upload_picture(shared_app, shop=shop)
    ref = await create(
        shared_app, shop, SPEC, {"upload_key": upload, "scene_type": "wall", "mood": "warm"}
    )
    answer = await rerun(shared_app, shop, ref.public_id)
    assert answer.status_code == 202
    body = answer.json()
    assert answer.headers["Location"] == f"/v1/jobs/{body['job_id']}"
    assert (body["status"], body["credits_cost"]) == ("NOT_STARTED", 5)
    first, second = [
        await stored(shared_app, each) for each in (ref, await ref_of(shared_app, body["job_id"]))
    ]
    assert second["request"] == first["request"]
    assert (second["rerun_of"], second["origin"]) == (ref.public_id, "api")
    assert second["asked_by"]["kind"] == "staff"
    assert await sources(shared_app, ref) == await sources(
        shared_app, await ref_of(shared_app, body["job_id"])
    )


async def test_changed_parameters_are_merged_and_checked(shared_app: RunningApp, shop: str) -> None:
    ref = await create(
        shared_app,
        shop,
        SPEC,
        {"product_id": "gid://shopify/Product/1", "scene_type": "wall", "mood": "warm"},
    )
    again = await stored(shared_app, await repeated(shared_app, shop, ref, mood="cool"))
    assert again["request"] == {**(await stored(shared_app, ref))["request"], "mood": "cool"}
    for wrong, named in (
        ({"mood": "angry"}, "mood"),
        ({"outputs": [{"size": 512, "format": "jpeg"}] * 2}, "outputs"),
        ({"product_id": "gid://shopify/Product/2"}, "product_id"),
        ({"source_job_id": "0" * 26}, "source_job_id"),
        ({"unknown": 1}, "unknown"),
    ):
        answer = await rerun(shared_app, shop, ref.public_id, {"parameters": wrong})
        assert refusal(answer) == (422, "INVALID_REQUEST")
        assert answer.json()["detail"][0]["loc"][:3] == ["body", "parameters", named]


@pytest.mark.slow
async def test_a_rerun_has_the_photo_that_the_job_had(shared_app: RunningApp, shop: str) -> None:
    ref, product, photo = await fetched_job(shared_app, shop)
    shared_app.shopify.replace_image(product, b"another photo")
    again = await repeated(shared_app, shop, ref, mood="dramatic")
    assert await sources(shared_app, again) == [photo]
    third = await repeated(shared_app, shop, again)
    assert (await stored(shared_app, third))["request"]["source_job_id"] == ref.public_id
    assert await sources(shared_app, third) == [photo]
    await expire_files(shared_app, ref)
    for expired in (ref, again, third):
        answer = await rerun(shared_app, shop, expired.public_id)
        assert refusal(answer) == (409, "PHOTO_EXPIRED")
    failed = await repeated_while_expiring(shared_app, third)
    assert failed["error"]["code"] == "SOURCE_JOB_EXPIRED"


async def repeated_while_expiring(shared_app: RunningApp, ref: JobRef) -> dict[str, Any]:
    """What the job's last event says if the photo expired before a worker took it."""
    await shared_app.drain()
    [row] = await shared_app.rows(
        "SELECT extra FROM job_events WHERE job_id = :id AND event_type = 'failed'",
        id=ref.public_id,
    )
    extra: dict[str, Any] = row["extra"]
    return extra


async def test_a_job_that_never_got_its_photo_fetches_it(shared_app: RunningApp, shop: str) -> None:
    product = shared_app.product(b"a photo", shop=shop)
    ref = await create(shared_app, shop, SPEC, {"product_id": product.gid, "scene_type": "studio"})
    assert await sources(shared_app, await repeated(shared_app, shop, ref)) == [b"a photo"]


async def test_an_expired_upload_cannot_be_used_again(shared_app: RunningApp, shop: str) -> None:
    upload = await upload_picture(shared_app, shop=shop)
    background = await upload_picture(shared_app, shop=shop)
    ref = await create(
        shared_app,
        shop,
        "background-swap-with-image",
        {"upload_key": upload, "background_upload_key": background},
    )
    again = await repeated(shared_app, shop, ref)
    assert (await stored(shared_app, again))["request"] == (await stored(shared_app, ref))[
        "request"
    ]
    await shared_app.execute(
        "UPDATE uploads SET expired_at = now() WHERE upload_key = :k", k=background
    )
    answer = await rerun(shared_app, shop, ref.public_id)
    assert refusal(answer) == (409, "PHOTO_EXPIRED")
    other = await upload_picture(shared_app, shop=shop)
    replaced = await repeated(shared_app, shop, ref, background_upload_key=other)
    [row] = await shared_app.rows("SELECT key FROM uploads WHERE upload_key = :k", k=other)
    request = (await stored(shared_app, replaced))["request"]
    assert request["background_upload_key"] == row["key"]
    await expire_files(shared_app, ref)
    await shared_app.execute("UPDATE uploads SET expired_at = NULL WHERE upload_key = :k", k=upload)
    answer = await rerun(
        shared_app, shop, ref.public_id, {"parameters": {"background_upload_key": other}}
    )
    assert refusal(answer) == (409, "PHOTO_EXPIRED"), "the job no longer names its photo"


@pytest.mark.parametrize(
    ("had", "changes", "kept", "model_id"),
    [
        (PERSON, {}, PERSON, None),
        (PERSON, {"model_id": MODEL}, {}, MODEL),
        (ENTRY, {}, {}, MODEL),
        (ENTRY, {"model_id": OTHER_MODEL}, {}, OTHER_MODEL),
    ],
)
def test_a_further_image_stays_until_another_one_is_named(
    had: dict[str, str], changes: dict[str, str], kept: dict[str, str], model_id: str | None
) -> None:
    stored = {"upload_key": "uploads/a.jpg", **MINIMAL_PARAMETERS["try-on"]}
    for way in ("person_upload_key", "model_id"):
        stored.pop(way, None)
    asked, found = changed_request(BY_NAME["try-on"], {**stored, **had}, changes)
    assert (found, msgspec.to_builtins(asked)["model_id"]) == (kept, model_id)


def test_a_required_image_cannot_be_taken_away() -> None:
    stored = {**MINIMAL_PARAMETERS["try-on"], **PERSON}
    with pytest.raises(InvalidRequest) as refused:
        changed_request(BY_NAME["try-on"], stored, {"person_upload_key": None})
    assert refused.value.detail[0]["loc"] == ["body", "person_upload_key"]


async def test_a_rerun_needs_the_category_that_no_product_tells(
    shared_app: RunningApp, shop: str
) -> None:
    body = {"upload_key": await upload_picture(shared_app, shop=shop), "category": "top"}
    ref = await create(shared_app, shop, "product-to-model-direct", body)
    answer = await rerun(shared_app, shop, ref.public_id, {"parameters": {"category": None}})
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["body", "parameters", "category"]


async def test_a_job_of_a_visitor_cannot_be_run_again(shared_app: RunningApp, shop: str) -> None:
    ref, _ = await finished_job(shared_app, shop=shop, customer_id="7")
    assert refusal(await rerun(shared_app, shop, ref.public_id)) == (409, "STOREFRONT_JOB")


async def test_missing_and_foreign_jobs_answer_with_the_same_404(
    shared_app: RunningApp, shop: str
) -> None:
    foreign = (await waiting_job(shared_app)).public_id
    answers = [await rerun(shared_app, shop, each) for each in (foreign, "0" * 26, "malformed")]
    assert {refusal(answer) for answer in answers} == {(404, "JOB_NOT_FOUND")}
    assert len({answer.headers["content-length"] for answer in answers}) == 1


async def test_a_repeated_request_makes_one_job(shared_app: RunningApp, shop: str) -> None:
    ref = await create(
        shared_app,
        shop,
        SPEC,
        {"upload_key": await upload_picture(shared_app, shop=shop), "scene_type": "wall"},
    )
    answers = await asyncio.gather(
        *(rerun(shared_app, shop, ref.public_id, **{"Idempotency-Key": "once"}) for _ in range(3))
    )
    assert len({answer.json()["job_id"] for answer in answers}) == 1
    assert sorted(answer.headers.get("Idempotency-Replayed", "") for answer in answers) == [
        "",
        "true",
        "true",
    ]
    other = await rerun(
        shared_app,
        shop,
        ref.public_id,
        {"parameters": {"mood": "cool"}},
        **{"Idempotency-Key": "once"},
    )
    assert refusal(other) == (422, "IDEMPOTENCY_KEY_REUSED")


async def test_a_rerun_is_paid_like_a_new_job(shared_app: RunningApp, shop: str) -> None:
    ref = await create(
        shared_app, shop, SPEC, {"product_id": "gid://shopify/Product/1", "scene_type": "wall"}
    )
    settings = msgspec.structs.replace(shared_app.settings, **SELLING)
    async with (
        serve_app(settings, LoopbackShopify(shared_app.shopify.origin)) as url,
        httpx.AsyncClient(base_url=url, verify=NO_TLS) as http,
    ):
        answer = await http.post(
            f"/v1/jobs/{ref.public_id}/rerun", json={}, headers=shared_app.bearer(shop)
        )
    assert refusal(answer) == (402, "INSUFFICIENT_BALANCE")
    assert answer.json()["required"] == 5


async def test_a_retired_workflow_cannot_be_run_again(shared_app: RunningApp, shop: str) -> None:
    ref, _ = await finished_job(shared_app, shop=shop)
    await shared_app.execute(
        "UPDATE jobs SET job_type = 'GONE', origin = 'api' WHERE public_id = :id",
        id=ref.public_id,
    )
    assert refusal(await rerun(shared_app, shop, ref.public_id)) == (403, "WORKFLOW_DISABLED")
