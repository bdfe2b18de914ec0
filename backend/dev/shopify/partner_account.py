"""The organization that owns the app: how it proves itself to the Partner API, and its plans."""

from collections.abc import Callable
from dataclasses import dataclass, field

from backend.dev.shopify.bucket import Bucket
from backend.dev.shopify.managed_pricing import ManagedPlan

CALLS_PER_SECOND = 4.0


@dataclass(slots=True)
class PartnerAccount:
    """The account. Without a token, no request is accepted."""

    clock: Callable[[], float]
    organization: str = "1000001"
    token: str = ""
    app_number: int = 70_000_001
    app_handle: str = "atelier"
    plans: list[ManagedPlan] = field(default_factory=list)
    hidden_shops: set[str] = field(default_factory=set)  # their own history is refused
    bucket: Bucket = field(init=False)

    def __post_init__(self) -> None:
        self.bucket = Bucket(self.clock, CALLS_PER_SECOND, CALLS_PER_SECOND)

    @property
    def app_gid(self) -> str:
        """The app's id as GraphQL has it."""
        return f"gid://shopify/App/{self.app_number}"

    def plan(self, handle: str) -> ManagedPlan | None:
        """The plan of that handle."""
        return next((plan for plan in self.plans if plan.handle == handle), None)
