"""`/v1/settings`: what holds, what is refused and by which name, and that it is the shop's own."""

import asyncio
import json
from typing import Any

import httpx
import msgspec
import pytest

from backend.workflows.catalog_image import CatalogImage
from tests.backend.rules.settings_api import CATALOG_RULE, PATH, get_settings, put_settings
from tests.backend.uploads.multipart_forms import upload_picture
from tests.catalog_entries import generated_entry
from tests.hosted_engines import WITH_ENGINES, app_with
from tests.running_app import OTHER_SHOP, RunningApp
from tests.scenarios import process_webhook, refusal

pytestmark = pytest.mark.usefixtures("same_day")

ANY_PRODUCT: dict[str, Any] = {"statuses": [], "vendors": [], "product_types": [], "tags": []}
DRESS_RULE = {"workflow": "product-to-model-direct", "publish": {"position": 1}}


async def test_the_default_rule_makes_a_catalog_image_of_every_image(
    shared_app: RunningApp, shop: str
) -> None:
    parameters = msgspec.json.decode(msgspec.json.encode(CatalogImage()))
    assert await get_settings(shared_app, shop) == {
        "rules": [
            {
                "workflow": "catalog-image",
                "on": ["product_created", "image_changed"],
                "filter": ANY_PRODUCT,
                "publish": None,
                "parameters": parameters,
            }
        ],
        "retired_rules": [],
        "daily_credit_cap": 1000,
        "credits_spent_today": 0,
    }


async def test_put_replaces_all_settings(shared_app: RunningApp, shop: str) -> None:
    await put_settings(shared_app, shop, CATALOG_RULE, CATALOG_RULE, daily_credit_cap=5)
    swap = {
        "workflow": "background-swap-with-spec",
        "on": ["image_changed"],
        "filter": {"tags": ["summer"]},
        "parameters": {"scene_type": "wall"},
        "publish": {"position": 1},
    }
    answer = await put_settings(shared_app, shop, swap)
    assert answer.status_code == 200
    assert answer.json() == await get_settings(shared_app, shop)
    (rule,) = answer.json()["rules"]
    assert rule["filter"] == {**ANY_PRODUCT, "tags": ["summer"]}
    assert rule["parameters"].items() >= {"scene_type": "wall", "mood": "neutral"}.items()
    assert rule["publish"] == {"position": 1}
    assert answer.json()["daily_credit_cap"] == 1000


async def test_an_empty_list_of_rules_is_valid(shared_app: RunningApp, shop: str) -> None:
    assert (await put_settings(shared_app, shop)).json()["rules"] == []


async def test_settings_belong_to_one_shop(shared_app: RunningApp, shop: str) -> None:
    await shared_app.install(OTHER_SHOP)
    before = await get_settings(shared_app, OTHER_SHOP)
    await put_settings(shared_app, shop, daily_credit_cap=1)
    assert await get_settings(shared_app, OTHER_SHOP) == before


WRONG: dict[str, tuple[list[dict[str, Any]], list[str | int]]] = {
    "a workflow that there is not": ([{"workflow": "paint"}], ["rules", 0, "workflow"]),
    "no workflow": ([{}], ["rules", 0, "workflow"]),
    "another workflow's parameter": (
        [CATALOG_RULE, CATALOG_RULE | {"parameters": {"scene_type": "wall"}}],
        ["rules", 1, "parameters", "scene_type"],
    ),
    "a photo": (
        [CATALOG_RULE | {"parameters": {"product_id": "gid://shopify/Product/1"}}],
        ["rules", 0, "parameters", "product_id"],
    ),
    "no scene": (
        [{"workflow": "background-swap-with-spec", "parameters": {}}],
        ["rules", 0, "parameters", "scene_type"],
    ),
    "a margin that cannot be": (
        [CATALOG_RULE | {"parameters": {"margin": 0.9}}],
        ["rules", 0, "parameters", "margin"],
    ),
    "the same output twice": (
        [CATALOG_RULE | {"parameters": {"outputs": [{"size": 512, "format": "jpeg"}] * 2}}],
        ["rules", 0, "parameters", "outputs"],
    ),
    "an upload that there is not": (
        [
            {
                "workflow": "background-swap-with-image",
                "parameters": {"background_upload_key": "upl_" + "0" * 32},
            }
        ],
        ["rules", 0, "parameters", "background_upload_key"],
    ),
    "a preview to publish": (
        [
            {
                "workflow": "product-to-model-direct",
                "parameters": {"category": "top"},
                "publish": {},
            }
        ],
        ["rules", 0, "publish"],
    ),
    "a trigger that there is not": ([CATALOG_RULE | {"on": ["sold"]}], ["rules", 0, "on", 0]),
    "no trigger": ([CATALOG_RULE | {"on": []}], ["rules", 0, "on"]),
    "a status that there is not": (
        [CATALOG_RULE | {"filter": {"statuses": ["active"]}}],
        ["rules", 0, "filter", "statuses", 0],
    ),
    "more rules than anybody needs": ([CATALOG_RULE] * 21, ["rules"]),
}


@pytest.mark.parametrize("wrong", WRONG)
async def test_an_invalid_rule_is_reported_by_field_and_changes_nothing(
    shared_app: RunningApp, shop: str, wrong: str
) -> None:
    rules, place = WRONG[wrong]
    before = await get_settings(shared_app, shop)
    answer = await put_settings(shared_app, shop, *rules)
    assert refusal(answer) == (422, "INVALID_REQUEST")
    assert [problem["loc"] for problem in answer.json()["detail"]] == [["body", *place]]
    assert await get_settings(shared_app, shop) == before


async def test_a_negative_cap_is_refused(shared_app: RunningApp, shop: str) -> None:
    answer = await put_settings(shared_app, shop, daily_credit_cap=-1)
    assert answer.json()["detail"][0]["loc"] == ["body", "daily_credit_cap"]


@pytest.mark.parametrize(("cap", "status"), [(0, 200), (4, 422), (5, 200)])
async def test_a_cap_below_the_price_of_one_rule_is_refused(
    shared_app: RunningApp, shop: str, cap: int, status: int
) -> None:
    swap = {"workflow": "background-swap-with-spec", "parameters": {"scene_type": "wall"}}
    answer = await put_settings(shared_app, shop, CATALOG_RULE, swap, daily_credit_cap=cap)
    assert answer.status_code == status
    if status == 422:
        assert answer.json()["detail"][0]["loc"] == ["body", "daily_credit_cap"]
        assert "5 credits" in answer.json()["detail"][0]["msg"]


async def test_a_retired_rule_is_shown_and_does_not_stop_others(
    shared_app: RunningApp, shop: str
) -> None:
    await put_settings(shared_app, shop, CATALOG_RULE)
    painting = {"on": ["image_changed"], "workflow": "paint", "parameters": {"colour": "red"}}
    older = CATALOG_RULE | {"parameters": {"glow": True}}
    await shared_app.execute(
        "UPDATE shop_settings SET rules = rules || CAST(:rules AS jsonb) FROM shops s "
        "WHERE s.id = shop_id AND s.domain = :d",
        rules=json.dumps([painting, older]),
        d=shop,
    )
    found = await get_settings(shared_app, shop)
    assert [rule["workflow"] for rule in found["rules"]] == ["catalog-image"]
    assert found["retired_rules"] == [painting, older]
    assert refusal(await put_settings(shared_app, shop, painting)) == (422, "INVALID_REQUEST")
    shared_app.product(b"x", shop=shop)
    assert (await process_webhook(shared_app, "products/create", shop=shop))[0] == "processed"
    await put_settings(shared_app, shop, CATALOG_RULE)
    assert (await get_settings(shared_app, shop))["retired_rules"] == []


async def put_if(shared_app: RunningApp, shop: str, if_match: str, cap: int) -> httpx.Response:
    """Set that cap if the settings are still those that the header names."""
    body = {"rules": [], "daily_credit_cap": cap}
    headers = {**shared_app.bearer(shop), "If-Match": if_match}
    return await shared_app.http.put(PATH, json=body, headers=headers)


async def tag_of(shared_app: RunningApp, shop: str) -> str:
    """The version that there is."""
    return (await shared_app.http.get(PATH, headers=shared_app.bearer(shop))).headers["etag"]


async def test_the_second_of_two_conflicting_updates_is_refused(
    shared_app: RunningApp, shop: str
) -> None:
    for first, second in ((1, 2), (3, 4)):  # when nothing was set yet, and later
        tag = await tag_of(shared_app, shop)
        changed = await put_if(shared_app, shop, tag, first)
        assert (changed.status_code, changed.json()["daily_credit_cap"]) == (200, first)
        assert refusal(await put_if(shared_app, shop, tag, second)) == (412, "PRECONDITION_FAILED")
        assert (await get_settings(shared_app, shop))["daily_credit_cap"] == first
        assert changed.headers["etag"] == await tag_of(shared_app, shop) != tag


async def test_of_many_concurrent_updates_one_succeeds(shared_app: RunningApp, shop: str) -> None:
    for _ in range(2):
        tag = await tag_of(shared_app, shop)
        crowd = await asyncio.gather(*(put_if(shared_app, shop, tag, cap) for cap in range(6)))
        assert sorted(answer.status_code for answer in crowd) == [200] + [412] * 5


@pytest.mark.parametrize("names", ['"9"', 'W/"1"', "1", "x", '"0", W/"1"', ""])
async def test_a_wrong_etag_changes_nothing(shared_app: RunningApp, shop: str, names: str) -> None:
    await put_settings(shared_app, shop, daily_credit_cap=7)
    assert refusal(await put_if(shared_app, shop, names, 8)) == (412, "PRECONDITION_FAILED")
    assert (await get_settings(shared_app, shop))["daily_credit_cap"] == 7


@pytest.mark.parametrize("names", ['"1"', '"0", "1"', "*"])
async def test_if_match_accepts_a_list_and_a_star(
    shared_app: RunningApp, shop: str, names: str
) -> None:
    await put_settings(shared_app, shop, daily_credit_cap=7)
    assert (await put_if(shared_app, shop, names, 8)).status_code == 200


async def test_an_upload_used_by_a_rule_is_kept(shared_app: RunningApp, shop: str) -> None:
    upload_key = await upload_picture(shared_app, shop=shop)
    swap = {
        "workflow": "background-swap-with-image",
        "parameters": {"background_upload_key": upload_key},
    }
    answer = await put_settings(shared_app, shop, swap)
    parameters = answer.json()["rules"][0]["parameters"]
    assert parameters["background_upload_key"] == upload_key
    used = "SELECT used_at FROM uploads WHERE upload_key = :key"
    assert (await shared_app.rows(used, key=upload_key))[0]["used_at"] is not None


async def test_another_shops_upload_is_unknown(shared_app: RunningApp, shop: str) -> None:
    await shared_app.install(OTHER_SHOP)
    upload_key = await upload_picture(shared_app, shop=OTHER_SHOP)
    swap = {
        "workflow": "background-swap-with-image",
        "parameters": {"background_upload_key": upload_key},
    }
    assert refusal(await put_settings(shared_app, shop, swap)) == (422, "INVALID_REQUEST")


async def test_a_new_rule_for_a_workflow_without_an_engine_is_refused(
    shared_app: RunningApp, shop: str
) -> None:
    before = await get_settings(shared_app, shop)
    extract = {"workflow": "extract"}
    answer = await put_settings(shared_app, shop, CATALOG_RULE, extract)
    assert refusal(answer) == (409, "NO_ENGINE")
    assert await get_settings(shared_app, shop) == before
    async with app_with(shared_app, **WITH_ENGINES) as engines:
        assert (await put_settings(engines, shop, extract)).status_code == 200
    kept = await put_settings(shared_app, shop, CATALOG_RULE, extract)
    assert kept.status_code == 200, "the engine was removed; the other settings can be changed"


async def test_a_rule_names_a_person_by_the_catalog_alone(
    shared_app: RunningApp, shop: str
) -> None:
    entry, _ = await generated_entry(shared_app, shop=shop)
    by_photo = {"workflow": "try-on", "parameters": {"person_upload_key": "upl_" + "0" * 32}}
    by_entry = {"workflow": "try-on", "parameters": {"model_id": entry.public_id}}
    async with app_with(shared_app, **WITH_ENGINES) as engines:
        refused = await put_settings(engines, shop, by_photo)
        assert refused.json()["detail"][0]["loc"] == [
            "body", "rules", 0, "parameters", "person_upload_key",
        ]  # fmt: skip
        assert (await put_settings(engines, shop, by_entry)).status_code == 200


async def test_a_price_that_the_operator_has_set_counts_against_the_cap(
    shared_app: RunningApp, shop: str
) -> None:
    async with app_with(shared_app, credits_by_workflow="catalog-image=50") as dearer:
        refused = await put_settings(dearer, shop, CATALOG_RULE, daily_credit_cap=49)
        assert "costs 50 credits" in refused.json()["detail"][0]["msg"]
        accepted = await put_settings(dearer, shop, CATALOG_RULE, daily_credit_cap=50)
        assert accepted.status_code == 200


async def test_a_rule_publishes_what_a_hosted_engine_makes_and_no_preview(
    shared_app: RunningApp, shop: str
) -> None:
    refused = await put_settings(shared_app, shop, DRESS_RULE)
    assert refusal(refused) == (422, "INVALID_REQUEST")
    assert refused.json()["detail"][0]["loc"] == ["body", "rules", 0, "publish"]
    async with app_with(shared_app, engines="dress=fashn", fashn_api_key="none") as hosted:
        accepted = await put_settings(hosted, shop, DRESS_RULE)
    assert accepted.json()["rules"][0]["publish"] == {"position": 1}
    stays = await put_settings(shared_app, shop, DRESS_RULE, CATALOG_RULE)
    assert stays.status_code == 200, "without the engine the other settings can still be changed"
