"""One webhook delivery, and Shopify's retry schedule.

Source: shopify.dev, "Webhooks", 2026-10: five seconds for an answer, anything but 2xx fails, eight
more tries in four hours, with the same body and the same address.
"""

from dataclasses import dataclass, field

WEBHOOK_TIMEOUT = 5.0  # seconds that Shopify waits for an answer
RETRIES = 8
RETRY_PERIOD = 4 * 3600  # seconds from the first try to the last
RETRY_DELAYS = tuple(RETRY_PERIOD / (2**RETRIES - 1) * 2**n for n in range(RETRIES))
"""Seconds from one try to the next; that they double is a reading of "exponential"."""


@dataclass(slots=True, kw_only=True)
class OutgoingWebhook:
    """One webhook delivery: signed once, and identical at every attempt."""

    topic: str
    body: bytes
    headers: dict[str, str]
    due_at: float | None
    """By the stand-in's clock; None when it has arrived or was given up."""
    statuses: list[int | None] = field(default_factory=list)
    """What each try was answered; None for no answer."""

    @property
    def webhook_id(self) -> str:
        """The id that tells a repetition from news."""
        return self.headers["X-Shopify-Webhook-Id"]

    @property
    def has_arrived(self) -> bool:
        """Whether the last try was answered 2xx."""
        return bool(self.statuses) and is_success(self.statuses[-1])

    @property
    def is_lost(self) -> bool:
        """Whether Shopify has given it up."""
        return self.due_at is None and not self.has_arrived


@dataclass(frozen=True, slots=True, kw_only=True)
class StormAnswer:
    """One delivery of a storm, and what the app said."""

    webhook_id: str
    is_duplicate: bool
    is_forged: bool
    status: int | None
    """None when it did not answer in time."""


def is_success(status: int | None) -> bool:
    """Whether Shopify takes this for delivered."""
    return status is not None and 200 <= status < 300
