"""The main path: a webhook comes in, a worker makes pictures, the shop downloads them."""

import hashlib

import httpx

from tests.running_app import RunningApp


async def test_a_signed_webhook_becomes_downloadable_images(running_app: RunningApp) -> None:
    await running_app.install()
    public_id = await running_app.finished_job()

    detail = (await running_app.detail(public_id)).json()
    assert detail["status"] == "SUCCESS"
    assert [item["label"] for item in detail["result"]] == ["2048 × 2048 JPEG", "1024 × 1024 WebP"]
    async with httpx.AsyncClient() as anyone:
        for item in detail["result"]:
            picture = await anyone.get(item["image_url"])
            assert picture.status_code == 200
            assert picture.headers["content-type"] == item["meta"]["content_type"]
            assert hashlib.sha256(picture.content).hexdigest() == item["meta"]["sha256"]
            assert len(picture.content) == item["meta"]["bytes"]
