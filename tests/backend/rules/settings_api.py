"""Calls of `/v1/settings`, and what a delivery then leads to."""

from typing import Any

import httpx

from tests.running_app import RunningApp
from tests.scenarios import UPDATE, process_webhook

PATH = "/v1/settings"


CATALOG_RULE = {"workflow": "catalog-image"}


async def put_settings(
    shared_app: RunningApp, shop: str, *rules: dict[str, Any], **settings: Any
) -> httpx.Response:
    """Set these rules."""
    body = {"rules": rules, **settings}
    return await shared_app.http.put(PATH, json=body, headers=shared_app.bearer(shop))


async def get_settings(shared_app: RunningApp, shop: str) -> dict[str, Any]:
    """What is set."""
    answer = await shared_app.http.get(PATH, headers=shared_app.bearer(shop))
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


async def delivery_outcome(
    shared_app: RunningApp, shop: str, topic: str = UPDATE
) -> tuple[str, str]:
    """How a delivery about the shop's newest product ends, with the ids of its jobs left out."""
    status, note = await process_webhook(shared_app, topic, shop=shop)
    return status, str(note).split(" ", maxsplit=1)[0]
