"""A workflow that the registry does not have any more: shown, ended, and never asked for again."""

import pytest

from backend.worker.execute import Done, run_job
from tests.backend.batches.studio import act, expand, expanded, gids, items, look, made
from tests.doors import finished_job, new_shop, refusal, shared_world, waiting_job
from tests.world import World

house = pytest.fixture(shared_world, scope="module")
shop = pytest.fixture(new_shop)


async def retire(house: World, table: str, public_id: str) -> None:
    """Let the row be of a workflow that there was once."""
    await house.execute(
        f"UPDATE {table} SET job_type = 'OIL_PAINTING' WHERE public_id = :id", id=public_id
    )


async def test_a_finished_job_is_shown_as_ever(house: World, shop: str) -> None:
    ref, keys = await finished_job(house, shop=shop)
    await retire(house, "jobs", ref.public_id)
    found = (await house.detail(ref.public_id, shop=shop)).json()
    assert (found["job_type"], len(found["result"])) == ("OIL_PAINTING", len(keys) - 1)
    listed = await house.http.get("/v1/jobs", headers=house.bearer(shop))
    assert [job["job_type"] for job in listed.json()["jobs"]] == ["OIL_PAINTING"]


async def test_an_unfinished_job_ends_and_says_why(house: World, shop: str) -> None:
    ref = await waiting_job(house, shop=shop)
    await retire(house, "jobs", ref.public_id)
    assert await run_job(ref, house.workshop) == Done()
    found = (await house.detail(ref.public_id, shop=shop)).json()
    assert found["status"] == "FAILURE"
    assert found["latest_event"]["extra"]["error"]["code"] == "WORKFLOW_RETIRED"


async def test_a_batch_that_has_ended_is_shown_by_its_name_and_not_retried(
    house: World, shop: str
) -> None:
    ref = await expanded(house, shop, {"product_ids": gids(2)})
    assert (await act(house, shop, ref, "cancel")).status_code == 202
    await retire(house, "batches", ref.public_id)
    found = await look(house, shop, ref)
    assert (found["workflow"], found["status"]) == ("oil-painting", "CANCELLED")
    listed = await house.http.get("/v1/batches", headers=house.bearer(shop))
    assert [each["workflow"] for each in listed.json()["batches"]] == ["oil-painting"]
    assert refusal(await act(house, shop, ref, "retry")) == (403, "WORKFLOW_DISABLED")


async def test_an_unfinished_batch_ends_and_says_why(house: World, shop: str) -> None:
    ref = await made(house, shop, {"product_ids": gids(2)})
    await retire(house, "batches", ref.public_id)
    assert await expand(house, ref) == []
    found = await look(house, shop, ref)
    assert (found["status"], found["error"]["code"]) == ("FAILURE", "WORKFLOW_RETIRED")
    assert {item["error"]["code"] for item in await items(house, shop, ref)} == {"WORKFLOW_RETIRED"}
