"""Receiving webhooks: what is stored, deduplicated and queued."""

import asyncio
import uuid
from typing import Any

from backend import queue
from backend.worker.maintenance import requeue_overdue
from tests.running_app import RunningApp
from tests.scenarios import deliver, post_webhook, process_webhook, webhook_headers
from webhooks.receive import COUNTED

BODY = b'{"id": 1}'


async def inbox(shared_app: RunningApp, shop: str) -> list[dict[str, Any]]:
    """The shop's deliveries."""
    return await shared_app.rows(
        "SELECT topic, status, note, body FROM webhook_deliveries WHERE shop_domain = :d", d=shop
    )


async def entries(shared_app: RunningApp, shop: str) -> int:
    """How many of the shop's deliveries wait in the queue."""
    rows = await shared_app.rows(
        "SELECT 1 FROM queue.pgqueuer WHERE convert_from(payload, 'UTF8') LIKE :s", s=f'%"{shop}"%'
    )
    return len(rows)


async def test_a_delivery_is_stored_with_its_body_and_queue_entry(
    shared_app: RunningApp, shop: str
) -> None:
    assert (await deliver(shared_app, BODY, shop=shop)).status_code == 200
    assert await inbox(shared_app, shop) == [
        {"topic": "products/update", "status": "received", "note": None, "body": BODY}
    ]
    assert await entries(shared_app, shop) == 1


async def test_the_shop_domain_is_stored_in_lower_case(shared_app: RunningApp, shop: str) -> None:
    assert (await deliver(shared_app, BODY, shop=shop.upper())).status_code == 200
    assert len(await inbox(shared_app, shop)) == 1


async def test_duplicate_deliveries_are_acknowledged_and_stored_once(
    shared_app: RunningApp, shop: str
) -> None:
    headers = webhook_headers(BODY, shop=shop)
    copies = await asyncio.gather(*(post_webhook(shared_app, BODY, headers) for _ in range(5)))
    assert [copy.status_code for copy in copies] == [200] * 5
    assert len(await inbox(shared_app, shop)) == await entries(shared_app, shop) == 1


async def test_a_duplicate_of_a_settled_delivery_is_not_processed_again(
    shared_app: RunningApp, shop: str
) -> None:
    headers = webhook_headers(BODY, shop=shop)
    await post_webhook(shared_app, BODY, headers)
    await shared_app.drain(only_webhooks=True)
    before = await inbox(shared_app, shop)
    assert (await post_webhook(shared_app, BODY, headers)).status_code == 200
    assert await inbox(shared_app, shop) == before
    assert await entries(shared_app, shop) == 0


async def test_the_body_is_deleted_after_processing(shared_app: RunningApp, shop: str) -> None:
    await deliver(shared_app, BODY, shop=shop)
    await shared_app.drain(only_webhooks=True)
    assert [row["body"] for row in await inbox(shared_app, shop)] == [None]


async def test_one_webhook_id_under_two_topics_is_two_deliveries(
    shared_app: RunningApp, shop: str
) -> None:
    webhook_id = str(uuid.uuid4())
    for topic in ("products/create", "products/update"):
        await deliver(shared_app, BODY, topic=topic, shop=shop, webhook_id=webhook_id)
    assert len(await inbox(shared_app, shop)) == await entries(shared_app, shop) == 2


async def test_an_unknown_topic_is_recorded_without_its_body(
    shared_app: RunningApp, shop: str
) -> None:
    assert (await deliver(shared_app, BODY, topic="orders/paid", shop=shop)).status_code == 200
    assert await inbox(shared_app, shop) == [
        {"topic": "orders/paid", "status": "ignored", "note": "UNKNOWN_TOPIC", "body": None}
    ]
    assert await entries(shared_app, shop) == 0


async def test_an_unknown_shop_is_recorded_without_the_body(shared_app: RunningApp) -> None:
    stranger = f"stranger-{uuid.uuid4().hex}.myshopify.com"
    assert (await deliver(shared_app, BODY, shop=stranger)).status_code == 200
    assert await inbox(shared_app, stranger) == [
        {"topic": "products/update", "status": "ignored", "note": "UNKNOWN_SHOP", "body": None}
    ]
    assert await entries(shared_app, stranger) == 0


async def test_a_body_that_does_not_match_its_topic_is_ignored(
    shared_app: RunningApp, shop: str
) -> None:
    for payload in ({}, {"id": "x"}, {"id": None}, {"id": 1.5}):
        ended = await process_webhook(shared_app, "products/update", payload, shop=shop)
        assert ended == ("ignored", "BODY_MISMATCH"), payload
    assert {row["body"] for row in await inbox(shared_app, shop)} == {None}
    assert await entries(shared_app, shop) == 0


async def lines(shared_app: RunningApp, shop: str) -> list[tuple[str, str, int]]:
    """Each of the shop's entries: its topic, where it waits, and its priority, as they were put."""
    rows = await shared_app.rows(
        "SELECT split_part(dedupe_key, ':', 3) AS topic, entrypoint, priority FROM queue.pgqueuer "
        "WHERE dedupe_key LIKE :key ORDER BY id",
        key=f"handle_webhook:{shop}:%",
    )
    return [(row["topic"], row["entrypoint"], row["priority"]) for row in rows]


async def test_each_topic_of_a_shop_has_its_own_queue_position(
    shared_app: RunningApp, shop: str
) -> None:
    for topic in (*["products/update"] * 3, "customers/redact", "app/uninstalled"):
        await deliver(shared_app, BODY, topic=topic, shop=shop)
    assert await lines(shared_app, shop) == [
        ("products/update", queue.HANDLE_WEBHOOK, -1),
        ("products/update", queue.HANDLE_WEBHOOK, -2),
        ("products/update", queue.HANDLE_BACKLOG, -3),
        ("customers/redact", queue.HANDLE_WEBHOOK, -1),
        ("app/uninstalled", queue.HANDLE_WEBHOOK, 0),
    ]
    await shared_app.execute("DELETE FROM queue.pgqueuer WHERE dedupe_key LIKE :k", k=f"%:{shop}:%")


async def test_queue_positions_count_only_a_limited_number_of_unsettled_deliveries(
    shared_app: RunningApp, shop: str
) -> None:
    await shared_app.execute(
        "INSERT INTO webhook_deliveries (shop_domain, topic, webhook_id, status, settled_at) "
        "SELECT :d, 'products/update', n, CASE WHEN n % 2 = 0 THEN 'received' ELSE 'processed' END,"
        " now() FROM generate_series(1, :n) n",
        d=shop,
        n=2 * COUNTED - 2,
    )
    for _ in range(3):
        await deliver(shared_app, BODY, shop=shop)
    priorities = [priority for _, _, priority in await lines(shared_app, shop)]
    assert priorities == [-COUNTED, -COUNTED - 1, -COUNTED - 1]
    await shared_app.execute("DELETE FROM queue.pgqueuer WHERE dedupe_key LIKE :k", k=f"%:{shop}:%")
    await shared_app.execute("DELETE FROM webhook_deliveries WHERE shop_domain = :d", d=shop)


async def test_a_requeued_delivery_keeps_its_queue_position(
    shared_app: RunningApp, shop: str
) -> None:
    for _ in range(3):
        await deliver(shared_app, BODY, shop=shop)
    before = await lines(shared_app, shop)
    await shared_app.execute("DELETE FROM queue.pgqueuer WHERE dedupe_key LIKE :k", k=f"%:{shop}:%")
    await shared_app.execute(
        "UPDATE webhook_deliveries SET received_at = now() - interval '2 minutes' "
        "WHERE shop_domain = :d",
        d=shop,
    )
    await requeue_overdue(shared_app.database)
    assert await lines(shared_app, shop) == before
