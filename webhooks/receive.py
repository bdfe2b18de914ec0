"""Store a delivery and its queue entry in one statement; settle it once it was acted on."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

import asyncpg
import msgspec
from sqlalchemy import (
    BindParameter,
    Boolean,
    LargeBinary,
    Row,
    ScalarSelect,
    Select,
    Text,
    bindparam,
    case,
    func,
    literal_column,
    select,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.orm import aliased
from sqlalchemy.sql.expression import CTE

from backend import queue
from backend.db import Database, Query
from backend.hints import HINTS_SETTING
from backend.tenancy import DOMAIN_SETTING, OFFSET_ZERO, SHOPS, setting
from webhooks.models import WebhookDelivery
from webhooks.outcome import Outcome
from webhooks.payloads import Delivery, UnsettledDelivery, delivery_from
from webhooks.topics import TOPICS

UNINSTALLED = "app/uninstalled"
COUNTED = 50  # deliveries of one shop and topic; whatever waits beyond has the same number
DELIVERY_SHOP_DOMAIN: BindParameter[str] = bindparam("shop_domain", type_=Text)
TOPIC: BindParameter[str] = bindparam("topic", type_=Text)


def receiving() -> Any:
    """Store the delivery unless it is here, and put it on the queue if it is to be acted on.

    Then it has no note, and a body. It is one statement, and so one transaction: in a storm of
    deliveries each round trip counts.
    """
    entered = select(
        setting(DOMAIN_SETTING, DELIVERY_SHOP_DOMAIN).label("domain"),
        setting(HINTS_SETTING, literal_column(f"'{queue.QUEUE_CHANNEL}'")),
    )
    context = entered.offset(OFFSET_ZERO).subquery("context")
    shop = select(SHOPS.c.id).where(SHOPS.c.domain == context.c.domain)
    is_known = shop.correlate(context).exists()
    note = case(
        (~bindparam("has_handler", type_=Boolean), "UNKNOWN_TOPIC"), (~is_known, "UNKNOWN_SHOP")
    )
    noted = select(note.label("note")).offset(OFFSET_ZERO).lateral("noted")
    is_wanted = noted.c.note.is_(None)
    values: dict[Any, Any] = {
        WebhookDelivery.shop_domain: DELIVERY_SHOP_DOMAIN,
        WebhookDelivery.topic: TOPIC,
        WebhookDelivery.webhook_id: bindparam("webhook_id", type_=Text),
        WebhookDelivery.event_id: bindparam("event_id", type_=Text),
        WebhookDelivery.api_version: bindparam("api_version", type_=Text),
        WebhookDelivery.body: case((is_wanted, bindparam("body", type_=LargeBinary))),
        WebhookDelivery.status: case((is_wanted, "received"), else_="ignored"),
        WebhookDelivery.note: noted.c.note,
    }
    stored = (
        insert(WebhookDelivery)
        .from_select(
            list(values), select(*values.values()).select_from(context.join(noted, true()))
        )
        .on_conflict_do_nothing()
        .returning(WebhookDelivery.status)
        .cte("stored")
    )
    return select(stored.c.status).add_cte(
        queue.insert_entry(queue.HANDLE_WEBHOOK, entry_of(stored))
    )


def entry_of(stored: CTE) -> Select[Any]:
    """The row of the queue's entry (`entry`), if the delivery was stored to be acted on."""
    number = case(
        (TOPIC == UNINSTALLED, queue.URGENT), else_=waiting(DELIVERY_SHOP_DOMAIN, TOPIC) + 1
    )
    return (
        select(
            number.label("number"),
            bindparam("payload", type_=LargeBinary).label("payload"),
            bindparam("dedupe_key", type_=Text).label("dedupe_key"),
            bindparam("headers", type_=JSONB).label("headers"),
        )
        .where(stored.c.status == "received")
        .offset(OFFSET_ZERO)
    )


def waiting(shop_domain: Any, topic: Any) -> ScalarSelect[int]:
    """How many of the shop's deliveries of that topic are unsettled, as far as we count.

    By an index that leads with the two. The status is spelled out, for a plan that is made once for
    all values can only use the index of the unsettled when it sees that they are meant.
    """
    others = aliased(WebhookDelivery)
    found: Select[Any] = (
        select(literal_column("1"))
        .where(
            others.shop_domain == shop_domain,
            others.topic == topic,
            others.status == literal_column("'received'"),
        )
        .limit(literal_column(str(COUNTED)))
    )
    return select(func.count()).select_from(found.subquery()).scalar_subquery()


RECEIVE = Query(receiving)


class DeliveryRef(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery's key, as the queue carries it."""

    shop_domain: str
    topic: str
    webhook_id: str


async def receive_delivery(
    database: Database, headers: Iterable[tuple[bytes, bytes]], body: bytes
) -> None:
    """Take in the delivery of a verified request. Raises `BadRequest`."""
    await receive(database, delivery_from(headers, body))


async def receive(database: Database, delivery: Delivery) -> None:
    """Take the delivery in, and then tell the workers of its queue entry."""
    if await database.run(lambda connection: store_delivery(connection, delivery)):
        database.hints.send(queue.QUEUE_CHANNEL, queue.new_entry_hint())


async def store_delivery(connection: asyncpg.Connection, delivery: Delivery) -> bool:
    """Store the delivery, unless it is here already; False if nobody is to act on it.

    Doing it twice does no harm. Of one that is here already nobody may have been told, as after a
    connection that broke between the commit and its answer. What nobody will act on, an unknown
    topic or a shop that was never here, is recorded as ignored, without its body.
    """
    ref = DeliveryRef(
        shop_domain=delivery.shop_domain, topic=delivery.topic, webhook_id=delivery.webhook_id
    )
    queued = entry(ref, queue.URGENT)  # the statement counts its number
    arguments = RECEIVE.arguments(
        {
            **msgspec.structs.asdict(ref),
            "event_id": delivery.event_id,
            "api_version": delivery.api_version,
            "body": delivery.body,
            "has_handler": delivery.topic in TOPICS,
            "payload": queued.payload,
            "dedupe_key": queued.dedupe_key,
            "headers": queue.trace_headers(queued.entrypoint),
        }
    )
    return bool(await connection.fetchval(RECEIVE.sql, *arguments) != "ignored")


async def enqueue_delivery(connection: AsyncConnection, ref: DeliveryRef) -> None:
    """Put an unsettled delivery on the queue, once, behind the shop's others of that topic."""
    await enqueue_deliveries(connection, [ref])


async def enqueue_deliveries(connection: AsyncConnection, refs: Sequence[DeliveryRef]) -> None:
    """Put unsettled deliveries on the queue, each once, the last of each shop's and topic's line.

    They are counted once for each line.
    """
    lines = defaultdict(list)
    for ref in refs:
        lines[ref.shop_domain, ref.topic].append(ref)
    entries: list[queue.Entry] = []
    for line, members in lines.items():
        count = await connection.scalar(select(waiting(*line))) or 0
        first = max(count - len(members), 0) + 1
        entries += [entry(ref, number) for number, ref in enumerate(members, first)]
    await queue.enqueue(connection, *entries)


def entry(ref: DeliveryRef, number: int) -> queue.Entry:
    """The queue's entry of the shop's delivery of that number in its topic.

    Topics stand in lines of their own: what the law asks for does not wait behind ten thousand
    products. An uninstall waits behind nothing.
    """
    return queue.Entry(
        entrypoint=queue.HANDLE_WEBHOOK,
        dedupe_key=f"{queue.HANDLE_WEBHOOK}:{ref.shop_domain}:{ref.topic}:{ref.webhook_id}",
        payload=msgspec.json.encode(ref),
        number=queue.URGENT if ref.topic == UNINSTALLED else number,
    )


UNSETTLED: tuple[Any, ...] = (
    WebhookDelivery.event_id,
    WebhookDelivery.api_version,
    WebhookDelivery.body,
    WebhookDelivery.received_at,
    WebhookDelivery.tries,
    WebhookDelivery.done,
    WebhookDelivery.crashes,
)


async def claim_delivery(connection: AsyncConnection, ref: DeliveryRef) -> UnsettledDelivery | None:
    """The delivery, while nobody has settled it; until `survive` its run counts as a crash."""
    claimed = (
        update(WebhookDelivery)
        .where(*is_delivery(ref), WebhookDelivery.status == "received")
        .values(crashes=WebhookDelivery.crashes + 1)
        .returning(*UNSETTLED)
    )
    return delivery_of(ref, (await connection.execute(claimed)).one_or_none())


async def survive(connection: AsyncConnection, ref: DeliveryRef, *, is_fault: bool) -> int:
    """Say that whoever acted on it came back, and whether by our own fault; how many were."""
    survived = (
        update(WebhookDelivery)
        .where(*is_delivery(ref))
        .values(crashes=0, tries=WebhookDelivery.tries + int(is_fault))
        .returning(WebhookDelivery.tries)
    )
    return await connection.scalar(survived) or 0


async def unsettled(connection: AsyncConnection, ref: DeliveryRef) -> UnsettledDelivery | None:
    """The delivery, while nobody has settled it."""
    found = select(*UNSETTLED).where(*is_delivery(ref), WebhookDelivery.status == "received")
    return delivery_of(ref, (await connection.execute(found)).one_or_none())


def delivery_of(ref: DeliveryRef, row: Row[Any] | None) -> UnsettledDelivery | None:
    """The delivery out of its row, if there is one."""
    if row is None:
        return None
    return UnsettledDelivery(**msgspec.structs.asdict(ref), **row._mapping)


async def settle(connection: AsyncConnection, ref: DeliveryRef, outcome: Outcome) -> None:
    """Record the outcome and drop the body, which may hold personal data; a failed one stays."""
    kept = {} if outcome.status == "failed" else {"body": None}
    await connection.execute(
        update(WebhookDelivery)
        .where(*is_delivery(ref), WebhookDelivery.status == "received")
        .values(status=outcome.status, note=outcome.note, settled_at=func.now(), crashes=0, **kept)
    )


async def go_on(connection: AsyncConnection, ref: DeliveryRef, done: int) -> None:
    """Count what a turn has done of it; the tries before were worth it."""
    await connection.execute(
        update(WebhookDelivery)
        .where(*is_delivery(ref))
        .values(done=WebhookDelivery.done + done, tries=0, crashes=0, next_try_at=None)
    )


async def put_off(
    connection: AsyncConnection, ref: DeliveryRef, *, tries: int, pause: timedelta, note: str
) -> None:
    """Note a failed try, and when the next one is due; nobody puts it on the queue before."""
    await connection.execute(
        update(WebhookDelivery)
        .where(*is_delivery(ref), WebhookDelivery.status == "received")
        .values(tries=tries, crashes=0, next_try_at=func.now() + pause, note=note)
    )


def is_delivery(ref: DeliveryRef) -> tuple[Any, ...]:
    """The row of that delivery."""
    return (
        WebhookDelivery.shop_domain == ref.shop_domain,
        WebhookDelivery.topic == ref.topic,
        WebhookDelivery.webhook_id == ref.webhook_id,
    )
