"""What an adapter is given of the settings, and what adapters have in common."""

import hashlib
import math
import time
from base64 import b64encode
from typing import Literal

import msgspec

from backend.failures.codes import PROVIDER_INPUT_REFUSED
from backend.providers.client import safe_reason
from backend.providers.provider import (
    InputImage,
    ProviderCost,
    ProviderFailed,
    ProviderJob,
    ProviderLimits,
)
from backend.workflows.stages import StageName

MOST_LAG = 60.0  # seconds


class ProviderAccount(msgspec.Struct, frozen=True, kw_only=True):
    """One account at a provider: its key, and the models that were chosen for the stages.

    `prices` are for a unit, in millionths of a US dollar, by stage. Pictures go out as presigned
    URLs, or inline as data URIs.
    """

    key: str
    base_url: str
    models: dict[StageName, str]
    limits: ProviderLimits
    prices: dict[StageName, int] = {}
    sends_inline: bool = False

    def __repr__(self) -> str:
        """Without the key."""
        return f"ProviderAccount({self.base_url!r})"

    @property
    def fingerprint(self) -> str:
        """16 hex digits that tell this key from another one, and do not reveal it."""
        return hashlib.sha256(self.key.encode()).hexdigest()[:16]

    def send(self, image: InputImage) -> str:
        """How the picture goes out: its URL, or itself."""
        if self.sends_inline:
            return f"data:{image.content_type};base64,{b64encode(image.data).decode()}"
        return image.url

    def cost(
        self, stage: str, units: float | None, unit: str, *, is_counted: bool = True
    ) -> ProviderCost:
        """What so many units cost; None if the provider did not say.

        Unless `is_counted`, they are our own count, and only a price makes a cost of them.
        """
        price = {each.value: price for each, price in self.prices.items()}.get(stage)
        if units is None or (price is None and not is_counted):
            return ProviderCost(units=units, unit=unit)
        amount = None if price is None else round(units * price)
        source: Literal["answer", "price_list"] = "answer" if is_counted else "price_list"
        return ProviderCost(units=units, unit=unit, amount_micros=amount, source=source)


def accepted_now() -> dict[str, str]:
    """The handle that says when the provider accepted a request."""
    return {"accepted_at": f"{time.time():.0f}"}


def may_be_unknown_yet(job: ProviderJob) -> bool:
    """Whether a 404 may only say that the provider's status lags behind its acceptance.

    To take it for the end would have the request sent, and paid, again.
    """
    accepted_at = job.handles.get("accepted_at")
    return accepted_at is not None and time.time() - float(accepted_at) < MOST_LAG


def units_in(header: str | None) -> float | None:
    """The number in a header that counts units; None without one."""
    try:
        units = float(header or "")
    except ValueError:
        return None
    return units if math.isfinite(units) and 0 <= units < 1e6 else None


def input_refused(
    reason: str, provider_code: str, cost: ProviderCost | None = None
) -> ProviderFailed:
    """The photo was refused, in the provider's own words as far as they are safe to show."""
    words = safe_reason(reason)
    message = f"{PROVIDER_INPUT_REFUSED.message} {words}".strip()
    return ProviderFailed(
        PROVIDER_INPUT_REFUSED.with_message(message), cost=cost, provider_code=provider_code[:100]
    )
