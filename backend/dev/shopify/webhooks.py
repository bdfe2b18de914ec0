"""Sends webhooks: single deliveries, storms, and an outbox with retries."""

import asyncio
import random
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import httpx
import msgspec

from backend.dev import signing
from backend.dev.shopify import payloads
from backend.dev.shopify.admin import API_VERSIONS
from backend.dev.shopify.deliveries import (
    RETRIES,
    RETRY_DELAYS,
    OutgoingWebhook,
    StormAnswer,
    is_success,
)
from backend.dev.shopify.state import Platform


class Webhooks:
    """Shopify's deliveries to the app, at `{app_url}/webhooks`."""

    platform: Platform
    app_url: str
    auto_webhooks: bool = False
    """Send products/update for what the app's own calls have changed."""
    outbox: list[OutgoingWebhook]
    """Every delivery that was queued, the oldest first."""
    _webhooks: httpx.AsyncClient
    _sending: "set[asyncio.Task[list[OutgoingWebhook]]]"

    # Single deliveries

    async def send_webhook(
        self,
        shop: str,
        topic: str,
        payload: Mapping[str, object] | None = None,
        *,
        webhook_id: str | None = None,
        event_id: str | None = None,
        triggered_at: datetime | None = None,
        secret: str | None = None,
    ) -> httpx.Response:
        """Deliver once, as Shopify would, to `{app_url}/webhooks`, and return the app's answer.

        Without a payload the topic's usual one is sent; `payloads` has the variants. The products'
        topics then tell of the product this shop created last.
        """
        body = msgspec.json.encode(self.payload(shop, topic) if payload is None else payload)
        headers = self._headers(
            shop,
            topic,
            body,
            webhook_id=webhook_id,
            event_id=event_id,
            triggered_at=triggered_at,
            secret=secret,
        )
        return await self._post(body, headers)

    def payload(self, shop: str, topic: str) -> payloads.Payload:
        """Return what Shopify would send now. Raises KeyError for a topic it does not know."""
        platform = self.platform
        return payloads.sample_payload(
            topic, platform.shops[shop], platform.catalogue, platform.now()
        )

    # Many at once

    async def send_storm(
        self,
        shop: str,
        topic: str,
        count: int,
        payload: Callable[[int], Mapping[str, object]] | None = None,
        *,
        duplicates: float = 0.0,
        forged: float = 0.0,
        seed: int = 0,
        concurrency: int = 20,
    ) -> list[StormAnswer]:
        """Deliver `count` webhooks out of order, `concurrency` at a time; the answers as they went.

        `duplicates` of them (a share) repeat an earlier one's id and body, `forged` have ids of
        their own and a wrong signature. `payload` gives the body of the n-th genuine one; without
        it, all tell the topic's usual. The same seed gives the same order.
        """
        dice = random.Random(seed)  # noqa: S311 — an order that can be repeated, not a secret
        repeated, false = round(count * duplicates), round(count * forged)
        genuine = max(1, count - repeated - false)
        usual = None if payload is not None else self.payload(shop, topic)
        bodies = [
            msgspec.json.encode(payload(n) if payload is not None else usual)
            for n in range(genuine)
        ]
        ids = [str(uuid.UUID(int=dice.getrandbits(128), version=4)) for _ in range(genuine)]
        plan = [(ids[n], bodies[n], False, False) for n in range(genuine)]
        for _ in range(repeated):
            n = dice.randrange(genuine)
            plan.append((ids[n], bodies[n], True, False))
        for _ in range(false):
            forged_id = str(uuid.UUID(int=dice.getrandbits(128), version=4))
            plan.append((forged_id, bodies[dice.randrange(genuine)], False, True))
        dice.shuffle(plan)
        lanes = asyncio.Semaphore(concurrency)

        async def deliver(
            webhook_id: str, body: bytes, is_duplicate: bool, is_forged: bool
        ) -> StormAnswer:
            secret = "not-the-secret" if is_forged else None
            headers = self._headers(shop, topic, body, webhook_id=webhook_id, secret=secret)
            async with lanes:
                status = await self._status(body, headers)
            return StormAnswer(
                webhook_id=webhook_id,
                is_duplicate=is_duplicate,
                is_forged=is_forged,
                status=status,
            )

        return list(await asyncio.gather(*(deliver(*each) for each in plan)))

    # The outbox

    def queue_webhook(
        self,
        shop: str,
        topic: str,
        payload: Mapping[str, object] | None = None,
        *,
        event_id: str | None = None,
    ) -> OutgoingWebhook:
        """Put a webhook into the outbox, due at once; `deliver_due` sends it."""
        body = msgspec.json.encode(self.payload(shop, topic) if payload is None else payload)
        delivery = OutgoingWebhook(
            topic=topic,
            body=body,
            headers=self._headers(shop, topic, body, event_id=event_id),
            due_at=self.platform.clock(),
        )
        self.outbox.append(delivery)
        return delivery

    async def deliver_due(self) -> list[OutgoingWebhook]:
        """Try each delivery whose time has come by the clock, once; those that were tried.

        One that fails is due again after a while that doubles, and given up after the ninth try.
        """
        now = self.platform.clock()
        due = [each for each in self.outbox if each.due_at is not None and each.due_at <= now]
        for delivery in due:
            delivery.due_at = None  # or a second caller would send it too
        await asyncio.gather(*(self._try(delivery) for delivery in due))
        return due

    async def settled(self) -> None:
        """Wait until what `auto_webhooks` has begun to send was answered."""
        while self._sending:
            await asyncio.gather(*self._sending)

    async def _try(self, delivery: OutgoingWebhook) -> None:
        status = await self._status(delivery.body, delivery.headers)
        delivery.statuses.append(status)
        tries = len(delivery.statuses)
        if not is_success(status) and tries <= RETRIES:
            delivery.due_at = self.platform.clock() + RETRY_DELAYS[tries - 1]

    def _tell(self) -> None:
        """Send what has changed, if that is wanted; else forget it."""
        news = list(dict.fromkeys(self.platform.events))
        self.platform.events.clear()
        if not (self.auto_webhooks and self.app_url and news):
            return
        for event in news:
            payload = payloads.event_payload(event, self.platform)
            if payload is not None:
                self.queue_webhook(event.shop, event.topic, payload)
        sending = asyncio.create_task(self.deliver_due())
        self._sending.add(sending)
        sending.add_done_callback(self._sending.discard)

    # One delivery

    def _headers(
        self,
        shop: str,
        topic: str,
        body: bytes,
        *,
        webhook_id: str | None = None,
        event_id: str | None = None,
        triggered_at: datetime | None = None,
        secret: str | None = None,
    ) -> dict[str, str]:
        at = triggered_at or self.platform.now()
        return {
            "Content-Type": "application/json",
            "User-Agent": "Shopify-Captain-Hook",
            "X-Shopify-Topic": topic,
            "X-Shopify-Hmac-Sha256": signing.webhook_signature(
                body, self.platform.secret if secret is None else secret
            ),
            "X-Shopify-Shop-Domain": shop,
            "X-Shopify-API-Version": API_VERSIONS[-1],
            "X-Shopify-Webhook-Id": webhook_id or str(uuid.uuid4()),
            "X-Shopify-Event-Id": event_id or str(uuid.uuid4()),
            "X-Shopify-Triggered-At": at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        }

    async def _status(self, body: bytes, headers: dict[str, str]) -> int | None:
        """What the app answered; None when it did not in time."""
        try:
            return (await self._post(body, headers)).status_code
        except httpx.HTTPError:
            return None

    async def _post(self, body: bytes, headers: dict[str, str]) -> httpx.Response:
        return await self._webhooks.post(f"{self.app_url}/webhooks", content=body, headers=headers)
