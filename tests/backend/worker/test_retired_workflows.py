"""Jobs and batches of a workflow that is no longer registered."""

import pytest

from backend.worker.execute import Done, run_job
from tests.backend.batches.scenarios import (
    create_batch,
    expanded_batch,
    get_batch,
    get_items,
    post_batch_action,
    product_gids,
    run_expansion_to_end,
)
from tests.running_app import RunningApp
from tests.scenarios import finished_job, new_shop, open_shared_app, refusal, waiting_job

shared_app = pytest.fixture(open_shared_app, scope="module")
shop = pytest.fixture(new_shop)


async def retire(shared_app: RunningApp, table: str, public_id: str) -> None:
    """Let the row be of a workflow that there was once."""
    await shared_app.execute(
        f"UPDATE {table} SET job_type = 'OIL_PAINTING' WHERE public_id = :id", id=public_id
    )


async def test_a_finished_job_is_shown_as_ever(shared_app: RunningApp, shop: str) -> None:
    ref, keys = await finished_job(shared_app, shop=shop)
    await retire(shared_app, "jobs", ref.public_id)
    found = (await shared_app.detail(ref.public_id, shop=shop)).json()
    assert (found["job_type"], len(found["result"])) == ("OIL_PAINTING", len(keys) - 1)
    listed = await shared_app.http.get("/v1/jobs", headers=shared_app.bearer(shop))
    assert [job["job_type"] for job in listed.json()["jobs"]] == ["OIL_PAINTING"]


async def test_an_unfinished_job_ends_and_says_why(shared_app: RunningApp, shop: str) -> None:
    ref = await waiting_job(shared_app, shop=shop)
    await retire(shared_app, "jobs", ref.public_id)
    assert await run_job(ref, shared_app.worker_context) == Done()
    found = (await shared_app.detail(ref.public_id, shop=shop)).json()
    assert found["status"] == "FAILURE"
    assert found["latest_event"]["extra"]["error"]["code"] == "WORKFLOW_RETIRED"


async def test_a_batch_that_has_ended_is_shown_by_its_name_and_not_retried(
    shared_app: RunningApp, shop: str
) -> None:
    ref = await expanded_batch(shared_app, shop, {"product_ids": product_gids(2)})
    assert (await post_batch_action(shared_app, shop, ref, "cancel")).status_code == 202
    await retire(shared_app, "batches", ref.public_id)
    found = await get_batch(shared_app, shop, ref)
    assert (found["workflow"], found["status"]) == ("oil-painting", "CANCELLED")
    listed = await shared_app.http.get("/v1/batches", headers=shared_app.bearer(shop))
    assert [each["workflow"] for each in listed.json()["batches"]] == ["oil-painting"]
    assert refusal(await post_batch_action(shared_app, shop, ref, "retry")) == (
        403,
        "WORKFLOW_DISABLED",
    )


async def test_an_unfinished_batch_ends_and_says_why(shared_app: RunningApp, shop: str) -> None:
    ref = await create_batch(shared_app, shop, {"product_ids": product_gids(2)})
    await retire(shared_app, "batches", ref.public_id)
    assert await run_expansion_to_end(shared_app, ref) == []
    found = await get_batch(shared_app, shop, ref)
    assert (found["status"], found["error"]["code"]) == ("FAILURE", "WORKFLOW_RETIRED")
    assert {item["error"]["code"] for item in await get_items(shared_app, shop, ref)} == {
        "WORKFLOW_RETIRED"
    }
