"""Which catalog entries a job may use."""

import pytest

from backend.catalog.models import CatalogKind
from backend.catalog.service import use_catalog
from backend.errors import InvalidRequest
from tests.backend.uploads.multipart_forms import shop_id_of
from tests.catalog_entries import archive_row, generated_entry
from tests.running_app import SHOP, RunningApp

MODELS, BACKGROUNDS = CatalogKind.MODELS, CatalogKind.BACKGROUNDS


async def keys_of(
    shared_app: RunningApp, shop: str, wanted: dict[str, tuple[CatalogKind, str]]
) -> dict[str, str]:
    """The object keys of these entries for a job of that shop."""
    shop_id = await shop_id_of(shared_app, shop)
    async with shared_app.database.transaction(shop_id) as connection:
        return await use_catalog(connection, shop_id=shop_id, wanted=wanted)


async def test_each_field_gets_the_object_of_its_entry(shared_app: RunningApp, shop: str) -> None:
    model, model_key = await generated_entry(shared_app, MODELS, shop=shop)
    background, background_key = await generated_entry(shared_app, BACKGROUNDS, shop=shop)
    wanted = {
        "model_id": (MODELS, model.public_id),
        "background_id": (BACKGROUNDS, background.public_id),
    }
    assert await keys_of(shared_app, shop, wanted) == {
        "model_id": model_key,
        "background_id": background_key,
    }
    assert await keys_of(shared_app, shop, {}) == {}


async def test_every_unusable_entry_is_named_and_none_is_told_apart(
    shared_app: RunningApp, shop: str
) -> None:
    good, _ = await generated_entry(shared_app, shop=shop)
    archived, _ = await generated_entry(shared_app, shop=shop)
    await archive_row(shared_app, archived.public_id)
    foreign, _ = await generated_entry(shared_app, shop=SHOP)
    other_kind, _ = await generated_entry(shared_app, BACKGROUNDS, shop=shop)
    ids = {
        "model_id": good.public_id,
        "archived_id": archived.public_id,
        "foreign_id": foreign.public_id,
        "background_id": other_kind.public_id,
        "unknown_id": "0" * 26,
    }
    with pytest.raises(InvalidRequest) as refused:
        await keys_of(shared_app, shop, {field: (MODELS, each) for field, each in ids.items()})
    assert [item["loc"] for item in refused.value.detail] == [
        ["body", field] for field in ids if field != "model_id"
    ]
    assert len({item["msg"] for item in refused.value.detail}) == 1


async def test_an_entry_with_too_few_pixels_is_refused_before_a_job_is_paid(
    shared_app: RunningApp, shop: str
) -> None:
    entry, _ = await generated_entry(shared_app, shop=shop)
    await shared_app.execute(
        "UPDATE catalog_entries SET width = 205, height = 256 WHERE id = :id", id=entry.public_id
    )
    with pytest.raises(InvalidRequest) as refused:
        await keys_of(shared_app, shop, {"model_id": (MODELS, entry.public_id)})
    [item] = refused.value.detail
    assert (item["loc"], "205 × 256 pixels" in item["msg"]) == (["body", "model_id"], True)
