"""A card of the review with real pictures, from a product webhook and from a request."""

from typing import Any

import httpx
import pyvips

from tests.running_app import RunningApp


async def only_card(running_app: RunningApp, public_id: str) -> dict[str, Any]:
    """The job's card."""
    answer = await running_app.http.get("/v1/review", headers=running_app.bearer())
    card: dict[str, Any]
    [card] = [card for card in answer.json()["cards"] if card["public_id"] == public_id]
    return card


async def test_a_card_shows_small_copies_of_the_photo_and_of_its_result(
    running_app: RunningApp,
) -> None:
    await running_app.install()
    public_id = await running_app.finished_job()
    product = {"product_id": running_app.product().gid}
    asked = await running_app.http.post(
        "/v1/catalog-image", json=product, headers=running_app.bearer()
    )
    await running_app.drain()

    for job in (public_id, asked.json()["job_id"]):
        card = await only_card(running_app, job)
        assert card["product"]["title"] == "Tee"
        assert card["verdict"] in {"pass", "needs_review"}
        async with httpx.AsyncClient() as anyone:
            for name, sides in (("original", (410, 512)), ("preview", (512, 512))):
                item = card[name]
                picture = (await anyone.get(item["image_url"])).raise_for_status()
                assert picture.headers["content-type"] == "image/webp"
                image = pyvips.Image.webpload_buffer(picture.content)
                assert (image.width, image.height) == sides
                assert (item["meta"]["width"], item["meta"]["height"]) == sides
                assert 1_000 < len(picture.content) < 40_000
    detail = (await running_app.detail(public_id)).json()
    assert {item["role"] for item in detail["result"]} == {"final"}
