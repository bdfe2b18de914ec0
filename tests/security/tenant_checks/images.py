"""Images: uploads, renders, the catalog, the review and publications."""

from typing import Any

import pytest

from backend.errors import InvalidRequest
from backend.jobs.service import JobRef
from backend.uploads.service import use_uploads
from tests.backend.uploads.multipart_forms import picture
from tests.catalog_entries import generated_entry
from tests.running_app import OTHER_SHOP, SHOP, RunningApp
from tests.scenarios import (
    finished_job,
    refusal,
)
from tests.security.tenant_checks.callers import NAMES_OF_THE_OTHER, NOT_FOUND, PRODUCT, RouteCase

OF_AN_ENTRY: tuple[tuple[str, str, Any], ...] = (
    ("GET", "", None),
    ("PATCH", "", {"name": "Ada"}),
    ("POST", "/archive", None),
    ("POST", "/restore", None),
)


async def a_publication_is_its_shops_alone(
    shared_app: RunningApp, others: list[JobRef], ask: RouteCase
) -> None:
    """To make, to see and to take back, whether there is one or not."""
    body = {"artifacts": [{"sha256": "0" * 64}], **PRODUCT}
    for ref in others:
        path = f"/v1/jobs/{ref.public_id}/publication"
        for method, each in (("POST", body), ("GET", None), ("DELETE", None)):
            assert refusal(await ask(shared_app, method, path, each)) == NOT_FOUND
    theirs = f"/v1/jobs/{others[0].public_id}/publication"
    answer = await shared_app.http.get(theirs, headers=shared_app.bearer(OTHER_SHOP))
    assert answer.json()["status"] == "PENDING"


async def a_dismissal_is_its_shops_alone(
    shared_app: RunningApp, others: list[JobRef], ask: RouteCase
) -> None:
    """To make and to take back, whatever state the job is in."""
    for ref in others:
        for method in ("POST", "DELETE"):
            answer = await ask(shared_app, method, f"/v1/jobs/{ref.public_id}/dismissal")
            assert refusal(answer) == NOT_FOUND


async def a_product_is_its_shops_alone(
    shared_app: RunningApp, others: list[JobRef], ask: RouteCase
) -> None:
    """Shopify is not asked for what another shop's job is about."""
    for ref in others:
        answer = await ask(shared_app, "GET", f"/v1/jobs/{ref.public_id}/product")
        assert refusal(answer) == NOT_FOUND


async def a_review_is_its_shops_alone(
    shared_app: RunningApp, others: list[JobRef], ask: RouteCase
) -> None:
    """Each of its lists, from its own start and from a cursor that is the other's."""
    own, _ = await finished_job(shared_app)
    foreign = {ref.public_id for ref in others}
    for query in ("", "&state=published", "&state=dismissed", f"&cursor={max(foreign)}"):
        answer = await ask(shared_app, "GET", f"/v1/review?limit=100{query}")
        found = {card["public_id"] for card in answer.json()["cards"]}
        assert foreign.isdisjoint(found)
        assert query or own.public_id in found


async def a_render_is_its_shops_alone(
    shared_app: RunningApp, others: list[JobRef], ask: RouteCase
) -> None:
    """To list, also from a cursor that is the other's, and to read, whatever state it is in."""
    own, _ = await finished_job(shared_app)
    foreign = {ref.public_id for ref in others}
    for query in ("", "&workflow=catalog-image", f"&cursor={max(foreign)}"):
        answer = await ask(shared_app, "GET", f"/v1/renders?limit=100{query}")
        found = {render["public_id"] for render in answer.json()["renders"]}
        assert foreign.isdisjoint(found)
        assert query or own.public_id in found
    for public_id in foreign:
        answer = await ask(shared_app, "GET", f"/v1/renders/{public_id}")
        assert refusal(answer) == (404, "RESOURCE_NOT_FOUND")


async def a_catalog_is_its_shops_alone(
    shared_app: RunningApp, _others: list[JobRef], ask: RouteCase
) -> None:
    """To list, to read and to change."""
    [theirs] = await entries_of(shared_app, OTHER_SHOP)
    own, _ = await generated_entry(shared_app)
    for query in ("", f"&cursor={max(theirs, own.public_id)}", "&archived=true"):
        answer = await ask(shared_app, "GET", f"/v1/catalog/models?limit=100{query}")
        found = {entry["public_id"] for entry in answer.json()["entries"]}
        assert theirs not in found
        assert query or own.public_id in found
    path = f"/v1/catalog/models/{theirs}"
    for method, end, body in OF_AN_ENTRY:
        answer = await ask(shared_app, method, f"{path}{end}", body)
        assert refusal(answer) == (404, "RESOURCE_NOT_FOUND")


async def entries_of(shared_app: RunningApp, shop: str) -> list[str]:
    """The ids of the shop's catalog entries."""
    rows = await shared_app.rows(
        "SELECT c.id FROM catalog_entries c JOIN shops s ON s.id = c.shop_id WHERE s.domain = :d",
        d=shop,
    )
    return [row["id"] for row in rows]


async def an_upload_is_its_shops_alone(
    shared_app: RunningApp, others: list[JobRef], _ask: RouteCase
) -> None:
    """The other shop cannot name it in a job of its own."""
    headers = {**shared_app.bearer(SHOP), **NAMES_OF_THE_OTHER}
    answer = await shared_app.http.post(
        f"/v1/uploads?shop={OTHER_SHOP}", files={"file": picture()}, headers=headers
    )
    wanted = {"upload_key": answer.json()["upload_key"]}
    async with shared_app.database.transaction() as connection:
        with pytest.raises(InvalidRequest):
            await use_uploads(connection, shop_id=others[0].shop_id, wanted=wanted)


async def foreign_upload(shared_app: RunningApp) -> str:
    """A good upload of the other shop's."""
    key = "upl_" + "f" * 32
    await shared_app.execute(
        "INSERT INTO uploads (shop_id, upload_key, key, stored_at) SELECT id, :k, "
        "'uploads/f.jpg', now() FROM shops WHERE domain = :d ON CONFLICT DO NOTHING",
        k=key,
        d=OTHER_SHOP,
    )
    return key


async def foreign_entry(shared_app: RunningApp) -> str:
    """An entry of the other shop's catalog."""
    found = await shared_app.rows(
        "SELECT c.id FROM catalog_entries c JOIN shops s ON s.id = c.shop_id WHERE s.domain = :d",
        d=OTHER_SHOP,
    )
    if found:
        return str(found[0]["id"])
    ref, _ = await generated_entry(shared_app, shop=OTHER_SHOP)
    return ref.public_id


async def foreign_publication(shared_app: RunningApp, ref: JobRef) -> None:
    """A publication of the other shop's job, not yet worked on."""
    await shared_app.execute(
        "INSERT INTO publications (shop_id, job_id, round, product_id) VALUES (:s, :j, 1, :p)",
        s=ref.shop_id,
        j=ref.public_id,
        p=PRODUCT["product_id"],
    )
