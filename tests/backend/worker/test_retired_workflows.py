"""Jobs and batches of a workflow that is no longer registered."""

from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from backend.app import create_app
from backend.errors import ConfigurationError
from backend.leased_task import Done
from backend.worker.execute import run_job
from backend.workflows import RETIRED
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
JOB = {"product_id": "gid://shopify/Product/1"}
RULES = {"rules": [{"workflow": "paint-in-oil"}]}


@pytest.fixture(autouse=True)
def _retired(monkeypatch: pytest.MonkeyPatch) -> None:
    """There was a workflow paint-in-oil once."""
    monkeypatch.setitem(RETIRED, "OIL_PAINTING", "paint-in-oil")


async def retire(shared_app: RunningApp, table: str, public_id: str) -> None:
    """Let the row be of the retired workflow."""
    await shared_app.execute(
        f"UPDATE {table} SET job_type = 'OIL_PAINTING' WHERE public_id = :id", id=public_id
    )


async def test_a_finished_job_of_a_retired_workflow_is_still_shown(
    shared_app: RunningApp, shop: str
) -> None:
    ref, keys = await finished_job(shared_app, shop=shop)
    await retire(shared_app, "jobs", ref.public_id)
    found = (await shared_app.detail(ref.public_id, shop=shop)).json()
    assert (found["job_type"], len(found["result"])) == ("OIL_PAINTING", len(keys) - 1)
    listed = await shared_app.http.get("/v1/jobs", headers=shared_app.bearer(shop))
    assert [job["job_type"] for job in listed.json()["jobs"]] == ["OIL_PAINTING"]
    path = "/v1/jobs?job_type=OIL_PAINTING"
    listed = await shared_app.http.get(path, headers=shared_app.bearer(shop))
    assert [job["public_id"] for job in listed.json()["jobs"]] == [ref.public_id]


async def test_an_unfinished_job_of_a_retired_workflow_fails_with_a_reason(
    shared_app: RunningApp, shop: str
) -> None:
    ref = await waiting_job(shared_app, shop=shop)
    await retire(shared_app, "jobs", ref.public_id)
    assert await run_job(ref, shared_app.worker_context) == Done()
    found = (await shared_app.detail(ref.public_id, shop=shop)).json()
    assert found["status"] == "FAILURE"
    assert found["latest_event"]["extra"]["error"]["code"] == "WORKFLOW_RETIRED"


async def test_an_ended_batch_of_a_retired_workflow_is_shown_but_not_retried(
    shared_app: RunningApp, shop: str
) -> None:
    ref = await expanded_batch(shared_app, shop, {"product_ids": product_gids(2)})
    assert (await post_batch_action(shared_app, shop, ref, "cancel")).status_code == 202
    await retire(shared_app, "batches", ref.public_id)
    found = await get_batch(shared_app, shop, ref)
    assert (found["workflow"], found["status"]) == ("paint-in-oil", "CANCELLED")
    listed = await shared_app.http.get("/v1/batches", headers=shared_app.bearer(shop))
    assert [each["workflow"] for each in listed.json()["batches"]] == ["paint-in-oil"]
    assert refusal(await post_batch_action(shared_app, shop, ref, "retry")) == (
        403,
        "WORKFLOW_DISABLED",
    )


async def test_an_unfinished_batch_of_a_retired_workflow_fails_with_a_reason(
    shared_app: RunningApp, shop: str
) -> None:
    ref = await create_batch(shared_app, shop, {"product_ids": product_gids(2)})
    await retire(shared_app, "batches", ref.public_id)
    assert await run_expansion_to_end(shared_app, ref) == []
    found = await get_batch(shared_app, shop, ref)
    assert (found["status"], found["error"]["code"]) == ("FAILURE", "WORKFLOW_RETIRED")
    assert {item["error"]["code"] for item in await get_items(shared_app, shop, ref)} == {
        "WORKFLOW_RETIRED"
    }


async def test_a_stored_rule_is_shown_as_retired(shared_app: RunningApp, shop: str) -> None:
    await shared_app.http.put(
        "/v1/settings",
        json={"rules": [{"workflow": "catalog-image"}]},
        headers=shared_app.bearer(shop),
    )
    await shared_app.execute(
        "UPDATE shop_settings SET rules = jsonb_set(rules, '{0,workflow}', '\"paint-in-oil\"') "
        "FROM shops WHERE id = shop_id AND domain = :shop",
        shop=shop,
    )
    found = (await shared_app.http.get("/v1/settings", headers=shared_app.bearer(shop))).json()
    assert found["rules"] == []
    assert [rule["workflow"] for rule in found["retired_rules"]] == ["paint-in-oil"]


@pytest.mark.parametrize(
    ("method", "path", "body", "answer"),
    [
        ("POST", "/v1/paint-in-oil", JOB, (404, "NOT_FOUND")),
        (
            "POST",
            "/v1/batches",
            {"workflow": "paint-in-oil", "product_ids": product_gids(1)},
            (422, "INVALID_REQUEST"),
        ),
        ("PUT", "/v1/settings", RULES, (422, "INVALID_REQUEST")),
    ],
)
async def test_it_cannot_be_asked_for(
    shared_app: RunningApp, shop: str, method: str, path: str, body: Any, answer: tuple[int, str]
) -> None:
    found = await shared_app.http.request(method, path, json=body, headers=shared_app.bearer(shop))
    assert refusal(found) == answer


async def test_it_is_not_among_the_operations(shared_app: RunningApp, shop: str) -> None:
    listed = await shared_app.http.get("/v1/operations", headers=shared_app.bearer(shop))
    names = {each["name"] for each in listed.json()["operations"]}
    assert "catalog-image" in names
    assert "paint-in-oil" not in names


def test_disabling_it_is_a_warning_and_not_an_error(shared_app: RunningApp) -> None:
    names = "paint-in-oil,catalog-image"
    with capture_logs() as logs:
        create_app(msgspec.structs.replace(shared_app.settings, disabled_workflows=names))
    assert [each["workflows"] for each in logs if "workflows" in each] == [["paint-in-oil"]]
    misspelt = msgspec.structs.replace(shared_app.settings, disabled_workflows="paint-in-oils")
    with pytest.raises(ConfigurationError, match="paint-in-oils"):
        create_app(misspelt)
