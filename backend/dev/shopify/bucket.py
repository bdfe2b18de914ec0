"""The leaky bucket of one app in one shop.

Source: shopify.dev, "GraphQL Admin API rate limits", 2026-10. The size of the bucket is 20 times
the restore rate in Shopify's published samples.
"""

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(slots=True)
class Bucket:
    """Points to spend, which come back with the time of `clock` (seconds)."""

    clock: Callable[[], float]
    maximum: float = 2000.0
    restore_rate: float = 100.0
    """Points a second."""
    _points: float = field(default=0.0, init=False)
    _at: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        self._points, self._at = self.maximum, self.clock()

    @property
    def available(self) -> float:
        """The points that can be spent now."""
        now = self.clock()
        # A test may set its clock back: nothing is lost by that, and nothing won.
        self._points += max(0.0, now - self._at) * self.restore_rate
        self._points, self._at = min(self._points, self.maximum), now
        return self._points

    def take(self, points: float) -> bool:
        """Spend the points, or none and say False when there are too few."""
        enough = self.available >= points
        if enough:
            self._points -= points
        return enough

    def give_back(self, points: float) -> None:
        """Return what was asked for and not used."""
        self._points = min(self._points + points, self.maximum)

    def empty(self) -> None:
        """Spend all there is."""
        self.take(self.available)

    def cost(self, requested: int, actual: int | None) -> dict[str, object]:
        """The `extensions.cost` of an answer, in points."""
        return {
            "requestedQueryCost": requested,
            "actualQueryCost": actual,
            "throttleStatus": {
                "maximumAvailable": self.maximum,
                "currentlyAvailable": float(int(self.available)),
                "restoreRate": self.restore_rate,
            },
        }
