"""The bodies of `/v1/plans`, `/v1/subscription` and `/v1/purchases`."""

from decimal import Decimal
from typing import Annotated

import msgspec

from backend.billing.plans import Interval

OfferedPrice = Annotated[
    Decimal, msgspec.Meta(description="With two decimals, as a text.", examples=["9.00"])
]
AskedHandle = Annotated[str, msgspec.Meta(min_length=1, max_length=40)]


class PlanResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A plan; `credits` come each month, also with an annual one."""

    handle: str
    name: str
    price: Annotated[
        OfferedPrice | None, msgspec.Meta(description="Null if only Shopify's page tells it.")
    ]
    currency: str
    interval: Interval
    credits: int
    trial_days: Annotated[
        int, msgspec.Meta(description="0 if there is none, or the shop has had its trial.")
    ]
    trial_credits: int
    current: Annotated[bool, msgspec.Meta(description="Whether the shop has this plan now.")]


class PackResponse(msgspec.Struct, frozen=True, kw_only=True):
    """Credits that are bought once."""

    handle: str
    name: str
    price: OfferedPrice
    currency: str
    credits: int


class PlansResponse(msgspec.Struct, frozen=True, kw_only=True):
    """Response of `GET /v1/plans`; both lists are empty if the app charges nothing."""

    plans: list[PlanResponse]
    packs: list[PackResponse]


class SubscriptionRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of `POST /v1/subscription`."""

    plan: AskedHandle


class PurchaseRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of `POST /v1/purchases`."""

    pack: AskedHandle


class ConfirmationResponse(msgspec.Struct, frozen=True, kw_only=True):
    """Where the merchant approves the charge, within two days; open it in the top window.

    With `BILLING=app_pricing` it is Shopify's page of all plans.
    """

    confirmation_url: str
