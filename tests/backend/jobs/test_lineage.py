"""A job's lineage: who asked for it, what it was made from, and its reruns."""

import time
from typing import Any

import pytest

from backend.auth.signed_request import signed_request
from backend.dev import signing
from backend.jobs.lifecycle import Checkpoint, NewArtifact, advance
from backend.jobs.service import JobRef
from backend.worker.expiry import forget_files, retract
from backend.worker.retention import EXPIRING_FILES
from tests.backend.batches.scenarios import create_batch, product_gids, run_expansion_to_end
from tests.conftest import SECRET
from tests.running_app import RunningApp
from tests.scenarios import (
    CREATE,
    claimed_job,
    jobs_of,
    new_shop,
    open_shared_app,
    refusal,
    waiting_job,
)

shared_app = pytest.fixture(open_shared_app, scope="module")
shop = pytest.fixture(new_shop)

PRODUCT = {"product_id": "gid://shopify/Product/1"}
SOURCE, MASTER, FINAL = "a" * 64, "b" * 64, "c" * 64
COST = {"units": 1.0, "unit": "credit", "amount_micros": 75_000, "source": "price_list"}
HOSTED = {
    "generative": True,
    "provider": "fashn",
    "model": "tryon-v1.6",
    "seed": 42,
    "cost": COST,
    "provider_job_id": "ab-12",
    "inputs": {"source": SOURCE},
}


async def lineage(shared_app: RunningApp, shop: str, public_id: str) -> dict[str, Any]:
    """The job's lineage over HTTP."""
    answer = await shared_app.http.get(
        f"/v1/jobs/{public_id}/lineage", headers=shared_app.bearer(shop)
    )
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def asked_by(shared_app: RunningApp, shop: str) -> dict[str, Any]:
    """Who asked for the shop's only job."""
    [job] = await jobs_of(shared_app, shop)
    found: dict[str, Any] = (await lineage(shared_app, shop, job["public_id"]))["asked_by"]
    return found


# Who asked


async def test_a_job_of_the_page_names_the_member_of_staff(
    shared_app: RunningApp, shop: str
) -> None:
    token = shared_app.shopify.id_token(shop, user_id="4711")
    await shared_app.http.post(
        "/v1/catalog-image", json=PRODUCT, headers={"Authorization": f"Bearer {token}"}
    )
    assert await asked_by(shared_app, shop) == {"kind": "staff", "user_id": "4711"}


async def test_a_job_of_a_signed_request_names_nobody(shared_app: RunningApp, shop: str) -> None:
    body = b'{"product_id": "gid://shopify/Product/1"}'
    url, signature = signed_request(
        SECRET.encode(),
        method="POST",
        url="/v1/catalog-image",
        shop=shop,
        body=body,
        now=int(time.time()),
    )
    headers = {"X-Shopify-Hmac-Sha256": signature, "Content-Type": "application/json"}
    answer = await shared_app.http.post(url, content=body, headers=headers)
    assert answer.status_code == 202
    assert await asked_by(shared_app, shop) == {"kind": "signed_request"}


async def test_a_job_of_a_visitor_names_the_storefront(shared_app: RunningApp, shop: str) -> None:
    query = signing.app_proxy_query(
        {"shop": shop, "timestamp": str(int(time.time())), "logged_in_customer_id": "191167"},
        SECRET,
    )
    body = {**PRODUCT, "scene_type": "studio"}
    answer = await shared_app.http.post(f"/proxy/v1/background-swap-with-spec?{query}", json=body)
    assert answer.status_code == 202, answer.text
    assert await asked_by(shared_app, shop) == {"kind": "storefront"}


async def test_a_job_of_a_batch_names_the_batch_and_its_creator(
    shared_app: RunningApp, shop: str
) -> None:
    ref = await create_batch(shared_app, shop, {"product_ids": product_gids(1)})
    await run_expansion_to_end(shared_app, ref)
    found = await asked_by(shared_app, shop)
    assert found.pop("user_id").isdigit()
    assert found == {"kind": "batch", "batch_id": ref.public_id}


async def test_a_job_of_a_rule_names_the_rule_and_the_webhook(
    shared_app: RunningApp, shop: str
) -> None:
    shared_app.product(b"unread", shop=shop)
    await shared_app.send(CREATE, shop=shop)
    await shared_app.drain(only_webhooks=True)
    found = await asked_by(shared_app, shop)
    [delivery] = await shared_app.rows(
        "SELECT webhook_id FROM webhook_deliveries WHERE shop_domain = :d AND topic = :t",
        d=shop,
        t=CREATE,
    )
    assert found == {
        "kind": "rule",
        "rule": 0,
        "trigger": "product_created",
        "topic": CREATE,
        "webhook_id": delivery["webhook_id"],
    }


# What it was made from


async def hosted_job(shared_app: RunningApp, shop: str) -> str:
    """A successful job with a stage that a hosted provider made; its ID."""
    job = await claimed_job(
        shared_app, shop=shop, request={"upload_key": "uploads/x.jpg", "category": "top"}
    )
    for stage, facts, images in (
        ("fetch", {"source": {"bytes": 7, "sha256": SOURCE}}, []),
        ("segment", {}, [image("master", MASTER, engine={"name": "atelier-local"})]),
        ("dress", HOSTED, []),
        ("encode", {}, [image("final", FINAL, digital_source_type="x", generative=True)]),
    ):
        await advance(
            shared_app.worker_context.database,
            job,
            stage=stage,
            message="Done",
            progress={},
            checkpoint=Checkpoint(files={}, facts=facts),
            artifacts=images,
            end={} if stage == "encode" else None,
        )
    return job.ref.public_id


def image(name: str, sha256: str, **meta: Any) -> NewArtifact:
    """An image of a stage; the final one if it is called so."""
    return NewArtifact(
        name=name,
        role="final" if name == "final" else "intermediate",
        kind=name,
        label=None,
        key=f"artifacts/{sha256[:32]}",
        meta={"content_type": "image/png", "bytes": 3, "sha256": sha256, **meta},
    )


async def test_each_stage_names_its_engine_cost_seed_and_inputs(
    shared_app: RunningApp, shop: str
) -> None:
    public_id = await hosted_job(shared_app, shop)
    found = await lineage(shared_app, shop, public_id)
    assert found["inputs"] == [{"file": "source", "sha256": SOURCE, "bytes": 7}]
    assert found["request"] == {"category": "top"}, "without the key of the upload"
    stages = {stage["stage"]: stage for stage in found["stages"]}
    assert list(stages) == ["fetch", "segment", "dress", "encode"]
    assert stages["fetch"]["engine"] is None
    assert stages["segment"]["engine"]["name"] == "atelier-local"
    assert stages["segment"]["inputs"] == {"source": SOURCE}
    assert stages["encode"]["inputs"] == {"master": MASTER}
    dressed = stages["dress"]
    assert (dressed["engine"]["name"], dressed["engine"]["model"]) == ("fashn", "tryon-v1.6")
    assert (dressed["seed"], dressed["provider_job_id"]) == (42, "ab-12")
    assert (dressed["cost"], dressed["inputs"]) == (COST, {"source": SOURCE})
    assert [stage["generative"] for stage in found["stages"]] == [False, False, True, True]
    [output] = found["outputs"]
    assert (output["sha256"], output["digital_source_type"]) == (FINAL, "x")


async def test_a_lineage_outlives_the_files(shared_app: RunningApp, shop: str) -> None:
    public_id = await hosted_job(shared_app, shop)
    before = await lineage(shared_app, shop, public_id)
    [row] = await shared_app.rows("SELECT shop_id FROM jobs WHERE public_id = :id", id=public_id)
    ref = JobRef(shop_id=row["shop_id"], public_id=public_id)
    async with shared_app.worker_context.database.transaction() as connection:
        held = await retract(connection, [ref], EXPIRING_FILES)
        await forget_files(connection, held)
    after = await lineage(shared_app, shop, public_id)
    assert after["inputs"] == before["inputs"]
    assert after["stages"][2] == before["stages"][2]
    assert after["outputs"] == before["outputs"]


async def test_a_job_from_before_the_upgrade_has_a_lineage(
    shared_app: RunningApp, shop: str
) -> None:
    ref = await waiting_job(shared_app, shop=shop)
    found = await lineage(shared_app, shop, ref.public_id)
    assert (found["asked_by"], found["stages"], found["rerun_of"]) == (None, [], None)


# The chain


async def test_the_chain_of_reruns_is_shown_in_both_directions(
    shared_app: RunningApp, shop: str
) -> None:
    first, second, third, sibling = [
        (await waiting_job(shared_app, shop=shop)).public_id for _ in range(4)
    ]
    for job, repeated in ((second, first), (third, second), (sibling, first)):
        await shared_app.execute(
            "UPDATE jobs SET rerun_of = :r WHERE public_id = :id", r=repeated, id=job
        )

    async def chain(public_id: str) -> tuple[list[str], set[str]]:
        found = await lineage(shared_app, shop, public_id)
        ancestors = [each["public_id"] for each in found["ancestors"]]
        return ancestors, {each["public_id"] for each in found["reruns"]}

    assert await chain(first) == ([], {second, third, sibling})
    assert await chain(second) == ([first], {third})
    assert await chain(third) == ([second, first], set())
    await shared_app.execute("DELETE FROM jobs WHERE public_id = :id", id=first)
    found = await lineage(shared_app, shop, second)
    assert (found["rerun_of"], found["ancestors"]) == (first, [])


async def test_a_chain_never_leaves_the_shop(shared_app: RunningApp, shop: str) -> None:
    own = (await waiting_job(shared_app, shop=shop)).public_id
    foreign = (await waiting_job(shared_app)).public_id
    for job, repeated in ((own, foreign), (foreign, own)):
        await shared_app.execute(
            "UPDATE jobs SET rerun_of = :r WHERE public_id = :id", r=repeated, id=job
        )
    found = await lineage(shared_app, shop, own)
    assert (found["ancestors"], found["reruns"]) == ([], [])


async def test_a_missing_and_a_foreign_job_have_the_same_404(
    shared_app: RunningApp, shop: str
) -> None:
    foreign = (await waiting_job(shared_app)).public_id
    answers = [
        await shared_app.http.get(f"/v1/jobs/{each}/lineage", headers=shared_app.bearer(shop))
        for each in (foreign, "0" * 26, "malformed")
    ]
    assert {refusal(answer) for answer in answers} == {(404, "JOB_NOT_FOUND")}
