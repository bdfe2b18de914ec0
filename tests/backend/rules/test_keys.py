"""A rule creates each image once, even if a workflow's defaults change."""

import json
from typing import Any

import msgspec
import pytest

from backend.jobs.service import natural_key
from backend.rules import schemas
from backend.rules import settings as rules_settings
from backend.rules.keys import DEFAULTS_THEN
from backend.rules.schemas import SettingsRequest, rule_for
from backend.workflows import BY_NAME, WORKFLOWS
from backend.workflows.catalog_image import CATALOG_IMAGE, CatalogImage
from tests.backend.rules.settings_api import delivery_outcome, put_settings
from tests.running_app import RunningApp
from tests.scenarios import UPDATE, jobs_of, process_webhook

pytestmark = pytest.mark.usefixtures("same_day")

RULE = {"workflow": "catalog-image", "parameters": {"shadow": "contact"}}
ALREADY_MADE = ("ignored", "ALREADY_MADE")


class Roomier(CatalogImage, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The same with another default, and a parameter more."""

    margin: float = 0.2
    grain: float = 0.0


def install(monkeypatch: pytest.MonkeyPatch, **changes: Any) -> None:
    """Let the catalog image be another from now on."""
    workflow = msgspec.structs.replace(CATALOG_IMAGE, **changes)
    rule = rule_for(workflow)
    monkeypatch.setitem(WORKFLOWS, workflow.job_type, workflow)
    monkeypatch.setitem(BY_NAME, workflow.name, workflow)
    monkeypatch.setattr(rules_settings, "AnyRule", rule)
    monkeypatch.setattr(schemas, "DEFAULTS", SettingsRequest(rules=()))
    unset = rules_settings.StoredRule(rule=rule(), parameters={})
    monkeypatch.setattr(
        rules_settings,
        "UNSET",
        rules_settings.StoredSettings(rules=(unset,), daily_credit_cap=1000),
    )


@pytest.mark.parametrize("rules", [[], [RULE]], ids=["unset", "set"])
async def test_a_new_default_or_parameter_creates_no_second_job(
    shared_app: RunningApp, shop: str, monkeypatch: pytest.MonkeyPatch, rules: list[Any]
) -> None:
    if rules:
        await put_settings(shared_app, shop, *rules)
    shared_app.product(b"x", shop=shop)
    assert await delivery_outcome(shared_app, shop) == ("processed", "JOB")
    install(monkeypatch, parameters=Roomier)
    assert await delivery_outcome(shared_app, shop) == ALREADY_MADE
    shared_app.product(b"y", shop=shop)
    await process_webhook(shared_app, UPDATE, shop=shop)
    assert [job["request"]["margin"] for job in await jobs_of(shared_app, shop)] == [0.08, 0.2]


async def test_a_new_version_or_another_choice_creates_a_second_job(
    shared_app: RunningApp, shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared_app.product(b"x", shop=shop)
    assert await delivery_outcome(shared_app, shop) == ("processed", "JOB")
    await put_settings(shared_app, shop, RULE)
    assert await delivery_outcome(shared_app, shop) == ("processed", "JOB")
    install(monkeypatch, version=2)
    assert await delivery_outcome(shared_app, shop) == ("processed", "JOB")
    assert await delivery_outcome(shared_app, shop) == ALREADY_MADE


@pytest.mark.parametrize("parameters", [{}, {"margin": 0.25, "shadow": "contact"}])
async def test_a_job_of_an_older_release_is_not_created_again(
    shared_app: RunningApp, shop: str, monkeypatch: pytest.MonkeyPatch, parameters: dict[str, Any]
) -> None:
    """The key as 0014 wrote it, and the rule's row with every parameter in it."""
    await put_settings(shared_app, shop, RULE | {"parameters": parameters})
    product = shared_app.product(b"x", shop=shop)
    assert await delivery_outcome(shared_app, shop) == ("processed", "JOB")
    request = (await jobs_of(shared_app, shop))[0]["request"]
    all_of_them = {name: request[name] for name in ("background", "margin", "shadow", "outputs")}
    key = natural_key(
        "CATALOG_IMAGE",
        product.gid,
        natural_key(request["media_id"], request["source_url"]),
        msgspec.json.encode(all_of_them, order="deterministic").decode(),
    )
    await shared_app.execute(
        "UPDATE jobs SET natural_key = :key FROM shops s WHERE s.id = shop_id AND domain = :d",
        key=key,
        d=shop,
    )
    assert await delivery_outcome(shared_app, shop) == ALREADY_MADE
    await shared_app.execute(
        "UPDATE shop_settings SET rules = jsonb_set(rules, '{0,parameters}', CAST(:p AS jsonb)) "
        "FROM shops s WHERE s.id = shop_id AND domain = :d",
        p=json.dumps(all_of_them),
        d=shop,
    )
    assert await delivery_outcome(shared_app, shop) == ALREADY_MADE
    install(monkeypatch, parameters=Roomier)
    assert await delivery_outcome(shared_app, shop) == ALREADY_MADE


async def test_a_deleted_job_is_not_created_again(shared_app: RunningApp, shop: str) -> None:
    shared_app.product(b"x", shop=shop)
    assert await delivery_outcome(shared_app, shop) == ("processed", "JOB")
    await shared_app.execute(
        "WITH gone AS (DELETE FROM jobs USING shops s WHERE s.id = shop_id AND domain = :d "
        "RETURNING shop_id, natural_key) INSERT INTO past_jobs SELECT * FROM gone",
        d=shop,
    )
    assert await delivery_outcome(shared_app, shop) == ALREADY_MADE


@pytest.mark.parametrize("job_type", DEFAULTS_THEN)
def test_the_frozen_defaults_are_those_of_the_first_version(job_type: str) -> None:
    """Until a default changes: then take that workflow out of here, and leave them frozen."""
    fields = msgspec.structs.fields(WORKFLOWS[job_type].parameters)
    defaults = {each.name: each.default for each in fields if each.name in DEFAULTS_THEN[job_type]}
    assert msgspec.json.decode(msgspec.json.encode(defaults)) == DEFAULTS_THEN[job_type]


async def test_a_key_is_made_of_the_merchants_file_not_of_its_conversion(
    shared_app: RunningApp, shop: str
) -> None:
    product = shared_app.shopify.create_product(shop, "Tee", b"x", "image/heic", "Tee.heic")
    assert await delivery_outcome(shared_app, shop) == ("processed", "JOB")
    [job] = await jobs_of(shared_app, shop)
    picture = natural_key(product.media_gid, product.image_url)
    version = f"v{CATALOG_IMAGE.version}"
    assert job["natural_key"] == natural_key(
        CATALOG_IMAGE.job_type, version, product.gid, picture, "{}"
    )
    assert ".webp?" in job["request"]["source_url"] and ".webp" not in product.image_url
    assert await delivery_outcome(shared_app, shop) == ALREADY_MADE
