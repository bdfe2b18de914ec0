"""The stand-in's state and its injected faults, without HTTP."""

import itertools
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from backend.dev.shopify.bucket import Bucket
from backend.dev.shopify.catalogue import Catalogue
from backend.dev.shopify.charges import ChargeBook
from backend.dev.shopify.connections import PageFault
from backend.dev.shopify.grants import Grants
from backend.dev.shopify.managed_pricing import ContractBook
from backend.dev.shopify.partner_account import PartnerAccount
from backend.dev.shopify.refusals import Refusal
from backend.dev.shopify.staging import Staging

Call = Literal["exchange", "refresh", "graphql", "partner", "image", "upload", "id_token"]
"""The kinds of request that are counted and can be made to fail."""

AppKind = Literal["new", "old", "custom"]
"""Public since 2026-04-01 (expiring tokens only), public before that, or made for one merchant."""


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """An HTTP answer: JSON, or bytes when `content_type` says so."""

    status: int
    body: object
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class Fault:
    """One injected fault. Without a response of its own, the request is executed as usual."""

    answer: HttpResponse | None = None
    processed: bool = False
    """The work is done, and only its answer replaced."""
    delay: float = 0.0
    """Seconds to wait first."""
    is_cut: bool = False
    """The connection ends in the middle of the answer."""
    field: str | None = None
    """Only for a GraphQL request that asks this of the root."""


@dataclass(slots=True, kw_only=True)
class ShopRecord:
    """A store, with or without the app."""

    domain: str
    number: int
    scopes: frozenset[str]
    created_at: datetime
    bucket: Bucket
    previous_scopes: frozenset[str] = frozenset()
    installed: bool = True
    locked_with: int | None = None
    """The status that answers everything while the shop is inactive: 402, 403, 423 or 200."""
    grants: Grants = field(default_factory=Grants)
    billing_currency: str = "USD"
    """In which Shopify bills the merchant."""
    charges: ChargeBook = field(default_factory=ChargeBook)
    contracts: ContractBook = field(init=False)
    work: "list[AsyncOperation]" = field(default_factory=list)
    """What goes on asynchronously besides files, the oldest first."""

    def __post_init__(self) -> None:
        self.contracts = ContractBook(self.number)

    @property
    def gid(self) -> str:
        """The id as GraphQL has it."""
        return f"gid://shopify/Shop/{self.number}"


@dataclass(slots=True, kw_only=True)
class AsyncOperation:
    """A Job: something asynchronous."""

    gid: str
    finish: Callable[[], None]
    """Does the work. Runs with the last step."""
    steps: int = 0
    is_done: bool = False


@dataclass(frozen=True, slots=True)
class Event:
    """A change of a product that a webhook reports."""

    shop: str
    topic: str
    product_id: int


@dataclass(frozen=True, slots=True)
class ChargeEvent:
    """A change of a charge's status that a webhook reports."""

    shop: str
    topic: str
    number: int


@dataclass(slots=True, kw_only=True)
class Platform:
    """The whole of the stand-in's memory."""

    api_key: str
    secret: str
    clock: Callable[[], float]
    """Seconds since the epoch."""
    access_token_lifetime: int
    """In seconds."""
    latency: float = 0.0
    """Seconds to wait before each answer."""
    app_kind: AppKind = "new"
    has_app_pricing: bool = False
    """The app's plans are in the Dev Dashboard: the Billing API creates no charges."""
    partner: PartnerAccount = field(init=False)
    origin: str = ""
    """Where the server listens, once it does."""
    bucket_size: float = 2000.0
    """Points; like the next, of shops that are created from now on."""
    restore_rate: float = 100.0
    """Points a second."""
    upload_lifetime: int = 604_800
    """Seconds that a staged upload's target is good for."""
    steps_to_finish: int = 2
    """GraphQL requests of the shop until a file is ready, or a job done."""
    is_held: bool = False
    """Asynchronous work goes on only by `step_files` and `step_jobs`."""
    shops: dict[str, ShopRecord] = field(default_factory=dict)
    shop_numbers: Iterator[int] = field(default_factory=lambda: itertools.count(60_000_000_001))
    work_numbers: Iterator[int] = field(default_factory=lambda: itertools.count(700_000_000_001))
    charge_numbers: Iterator[int] = field(default_factory=lambda: itertools.count(30_000_000_001))
    catalogue: Catalogue = field(default_factory=Catalogue)
    staging: Staging = field(default_factory=Staging)
    calls: Counter[Call] = field(default_factory=Counter)
    faults: defaultdict[Call, deque[Fault]] = field(default_factory=lambda: defaultdict(deque))
    refusals: defaultdict[str, deque[Refusal]] = field(default_factory=lambda: defaultdict(deque))
    """The userErrors to come, by mutation."""
    page_faults: "defaultdict[str, deque[PageFault]]" = field(
        default_factory=lambda: defaultdict(deque)
    )
    """The faults of the next pages, by connection, such as `products` or `Product.media`."""
    stale_id_tokens: int = 0
    """How many of the next session tokens that the admin hands out are expired."""
    file_failures: deque[str] = field(default_factory=deque)
    """The FileErrorCodes with which the next files end."""
    events: "list[Event | ChargeEvent]" = field(default_factory=list)
    """What the app's own calls have changed and no webhook has told yet."""

    def __post_init__(self) -> None:
        self.partner = PartnerAccount(self.seconds)

    def next_fault(self, call: Call, fields: Collection[str] = ()) -> Fault | None:
        """Take the next trouble that is due for this kind of request, and these root fields."""
        due = self.faults[call]
        found = next((each for each in due if each.field is None or each.field in fields), None)
        if found is not None:
            due.remove(found)
        return found

    def next_refusal(self, mutation: str) -> Refusal | None:
        """Take the next userError that is due for this mutation."""
        due = self.refusals[mutation]
        return due.popleft() if due else None

    def seconds(self) -> float:
        """The clock's time in seconds since the epoch, also after the clock was exchanged."""
        return self.clock()

    def now(self) -> datetime:
        """The clock's time, in UTC."""
        return datetime.fromtimestamp(self.clock(), UTC)
