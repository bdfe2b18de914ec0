"""The plans and packs that the operator sells, read from `PLANS_FILE` once and checked completely.

With `BILLING=manual`, a merchant keeps what they have bought: a purchase stores its price and
credits, so a change of the file applies to later purchases only. With `BILLING=app_pricing`, the
plans are in Shopify's Dev Dashboard; the file says by their handles how many credits each gives.
"""

import json
import re
import tomllib
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import msgspec
import structlog

from backend.errors import ConfigurationError
from backend.settings import Settings

log = structlog.get_logger(__name__)

MIN_PRICE = Decimal("0.50")  # Shopify refuses less
MAX_PRICE = Decimal("10000.00")
MAX_TRIAL_DAYS = 1000
MAX_PLANS_FILE_BYTES = 1_000_000
APP_HANDLE_FORMAT = re.compile("[a-z0-9][a-z0-9-]*")

Handle = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")]
Name = Annotated[str, msgspec.Meta(pattern=r"^\S[^\n\r\t]{0,58}\S$")]
Currency = Annotated[str, msgspec.Meta(pattern="^[A-Z]{3}$")]
Interval = Literal["EVERY_30_DAYS", "ANNUAL"]
PositiveCredits = Annotated[int, msgspec.Meta(ge=1, le=100_000_000)]
TrialCredits = Annotated[int, msgspec.Meta(ge=0, le=100_000_000)]
TrialDays = Annotated[int, msgspec.Meta(ge=0, le=MAX_TRIAL_DAYS)]


class Pack(msgspec.Struct, frozen=True, kw_only=True):
    """Credits that are bought once."""

    handle: Handle
    name: Name
    price: Decimal
    currency: Currency = "USD"
    credits: PositiveCredits


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """A subscription. `credits` are granted each month, also with an annual plan.

    With `trial_days`, the first charge comes that many days later, and `trial_credits` are granted
    until then. A shop has one trial, ever. Only a plan of App Pricing may be without a `price`.
    """

    handle: Handle
    name: Name
    price: Decimal | None = None
    currency: Currency = "USD"
    interval: Interval = "EVERY_30_DAYS"
    credits: PositiveCredits
    trial_days: TrialDays = 0
    trial_credits: TrialCredits = 0


class PriceList(msgspec.Struct, frozen=True, kw_only=True):
    """What a merchant can buy, in the order of the file, and the terms of it all.

    Nothing is bought or granted unless `is_sold`. With `is_managed`, Shopify itself sells the plans
    (App Pricing), and there are no packs. With `is_test`, charges are test charges, which cost
    nothing, and test charges grant credits. A plan's credits can be spent for `rollover_days` after
    their month.
    """

    plans: tuple[Plan, ...] = ()
    packs: tuple[Pack, ...] = ()
    is_sold: bool = False
    is_managed: bool = False
    is_test: bool = False
    rollover_days: int = 0

    def plan(self, handle: str) -> Plan | None:
        """The plan of that handle."""
        return next((plan for plan in self.plans if plan.handle == handle), None)

    def pack(self, handle: str) -> Pack | None:
        """The pack of that handle."""
        return next((pack for pack in self.packs if pack.handle == handle), None)


Offer = TypeVar("Offer", Plan, Pack)

EXPECTED = {
    "handle": "must be lower-case letters, digits and dashes, at most 40",
    "name": "must be a text of 2 to 60 characters on one line",
    "price": f"must be a number from {MIN_PRICE} to {MAX_PRICE} with at most two decimals",
    "currency": "must be three capital letters, such as USD",
    "interval": 'must be "EVERY_30_DAYS" or "ANNUAL"',
    "credits": "must be a whole number of at least 1",
    "trial_days": f"must be a whole number from 0 to {MAX_TRIAL_DAYS}",
    "trial_credits": "must be a whole number of at least 0",
}


def price_list(settings: Settings) -> PriceList:
    """What the settings say is sold. Raises `ConfigurationError`."""
    if settings.billing == "none":
        return PriceList()
    is_managed = settings.billing == "app_pricing"
    sold = PriceList()
    if settings.plans_file:
        sold = read_plans_file(Path(settings.plans_file), with_prices=not is_managed)
    return msgspec.structs.replace(
        sold,
        packs=() if is_managed else sold.packs,
        is_sold=True,
        is_managed=is_managed,
        is_test=settings.billing_test_charges,
        rollover_days=settings.rollover_days,
    )


def require_billing_settings(settings: Settings) -> None:
    """Refuse to start with credits that nobody can buy, or a wrong price list."""
    if settings.billing != "none" and not settings.plans_file:
        raise ConfigurationError(
            f"BILLING={settings.billing} needs PLANS_FILE, the file with your plans and packs. "
            "Copy deploy/plans.toml and set your own prices."
        )
    if settings.billing == "app_pricing":
        require_app_pricing(settings)
    price_list(settings)


def require_app_pricing(settings: Settings) -> None:
    """Raise `ConfigurationError` unless App Pricing can be read; say which packs are not sold."""
    needed = (
        "shopify_app_handle",
        "partner_organization_id",
        "partner_app_id",
        "partner_api_token",
    )
    missing = [name.upper() for name in needed if not getattr(settings, name)]
    if missing:
        raise ConfigurationError(
            f"BILLING=app_pricing needs {', '.join(missing)}. docs/operations.md, Billing, says "
            "where to find them."
        )
    if not APP_HANDLE_FORMAT.fullmatch(settings.shopify_app_handle):
        raise ConfigurationError(
            "SHOPIFY_APP_HANDLE must be lower-case letters, digits and dashes, as in the app's URL."
        )
    file = read_plans_file(Path(settings.plans_file), with_prices=False)
    if not file.plans:
        raise ConfigurationError(
            f"BILLING=app_pricing sells plans only, and PLANS_FILE {settings.plans_file} has none."
        )
    if file.packs:
        log.warning("packs_not_sold", packs=[pack.handle for pack in file.packs])


def read_plans_file(path: Path, *, with_prices: bool = True) -> PriceList:
    """The plans and packs in a TOML or JSON file; plans may lack a price unless `with_prices`.

    Raises `ConfigurationError` with one line for each problem.
    """
    document = plans_document(path)
    problems = [
        f"{name}: is not known; the file has [[plans]] and [[packs]]"
        for name in document
        if name not in {"plans", "packs"}
    ]
    plans = offers_in(document.get("plans", []), Plan, "plans", problems)
    packs = offers_in(document.get("packs", []), Pack, "packs", problems)
    problems += trial_problems(plans)
    if with_prices:
        problems += price_problems(document.get("plans", []))
    if not (document.get("plans") or document.get("packs")):
        problems.append("the file has neither plans nor packs; add at least one")
    if problems:
        lines = "".join(f"\n  {problem}." for problem in problems)
        raise ConfigurationError(f"PLANS_FILE {path} has problems:{lines}")
    return PriceList(plans=tuple(plans), packs=tuple(packs))


def plans_document(path: Path) -> dict[str, Any]:
    """The file's content, with prices as exact decimals. Raises `ConfigurationError`."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_PLANS_FILE_BYTES + 1)
    except OSError as error:
        raise ConfigurationError(f"PLANS_FILE {path} cannot be read: {error.strerror}.") from error
    if len(content) > MAX_PLANS_FILE_BYTES:
        raise ConfigurationError(f"PLANS_FILE {path} is larger than {MAX_PLANS_FILE_BYTES} bytes.")
    try:
        text = content.decode()
        document = (
            json.loads(text, parse_float=Decimal)
            if path.suffix == ".json"
            else tomllib.loads(text, parse_float=Decimal)
        )
    except (ValueError, RecursionError) as error:
        kind = "JSON" if path.suffix == ".json" else "TOML"
        raise ConfigurationError(f"PLANS_FILE {path} is not valid {kind}: {error}.") from error
    if not isinstance(document, dict):
        raise ConfigurationError(f"PLANS_FILE {path} must be an object with plans and packs.")
    return document


def offers_in(listed: object, kind: type[Offer], where: str, problems: list[str]) -> list[Offer]:
    """The valid entries of a list; what is wrong with the others is added to `problems`."""
    if not isinstance(listed, list):
        problems.append(f"{where}: must be a list; write [[{where}]] above each entry")
        return []
    found: list[Offer] = []
    for index, raw in enumerate(listed):
        at = f"{where}[{index}]"
        mine = entry_problems(raw, kind, at)
        if not mine:
            price = {"price": exact_price(raw["price"])} if "price" in raw else {}
            item = msgspec.convert(raw | price, kind)
            same = {"handle", "name"} & {
                field
                for other in found
                for field in ("handle", "name")
                if getattr(other, field) == getattr(item, field)
            }
            mine += [f"{at}.{field}: is used twice; each needs its own" for field in sorted(same)]
            found.append(item)
        problems += mine
    return found


def entry_problems(raw: object, kind: type[Plan] | type[Pack], at: str) -> list[str]:
    """What is wrong with one entry, field by field."""
    if not isinstance(raw, dict):
        return [f"{at}: must have fields such as handle, name and price"]
    fields = {field.name: field for field in msgspec.structs.fields(kind)}
    problems = [
        f"{at}.{name}: is not known; use {', '.join(fields)}" for name in raw if name not in fields
    ]
    for name, field in fields.items():
        if name in raw:
            if not is_valid(raw[name], name, field.type):
                problems.append(f"{at}.{name}: {EXPECTED[name]}")
        elif field.required:
            problems.append(f"{at}.{name}: is missing; it {EXPECTED[name]}")
    return problems


def price_problems(listed: object) -> list[str]:
    """Plans without a price, which only Shopify's own page can sell."""
    plans = listed if isinstance(listed, list) else []
    return [
        f"plans[{index}].price: is missing; it {EXPECTED['price']}"
        for index, raw in enumerate(plans)
        if isinstance(raw, dict) and "price" not in raw
    ]


def is_valid(value: object, name: str, kind: Any) -> bool:
    """Whether a field can have that value."""
    if name == "price":
        return exact_price(value) is not None
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return False
    return True


def exact_price(value: object) -> Decimal | None:
    """The price with two decimals; None if it is none that Shopify accepts."""
    if isinstance(value, bool) or not isinstance(value, (int, str, Decimal)):
        return None
    try:
        price = Decimal(value)
        if not MIN_PRICE <= price <= MAX_PRICE:
            return None
        exact = price.quantize(Decimal("0.01"))
    except ArithmeticError:  # not a number
        return None
    return exact if exact == price else None


def trial_problems(plans: Iterable[Plan]) -> list[str]:
    """Trials that would give nothing, or would never begin."""
    return [
        f"plan {plan.handle}: set both trial_days and trial_credits, or neither"
        for plan in plans
        if bool(plan.trial_days) != bool(plan.trial_credits)
    ]
