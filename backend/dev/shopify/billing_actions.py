"""What happens to a shop's charges outside the app: approvals, missed payments, time."""

from collections.abc import Iterable
from datetime import timedelta

from backend.dev.shopify.charges import Charge
from backend.dev.shopify.state import ChargeEvent, Platform


class BillingActions:
    """Decisions of the merchant, and of Shopify. The webhooks are queued by `auto_webhooks` only.

    Each returns the charges that changed, in the order in which they did. A charge is named by its
    global id, or its name.
    """

    platform: Platform

    def charge(self, shop: str, which: str) -> Charge:
        """The charge of that id or name. Raises KeyError."""
        found = self.platform.shops[shop].charges.charges
        matching = [each for each in found if which in {each.gid, each.name}]
        if not matching:
            raise KeyError(which)
        return matching[-1]

    def latest_charge(self, shop: str) -> Charge:
        """The charge that was asked for last. Raises IndexError."""
        return self.platform.shops[shop].charges.charges[-1]

    def approve_charge(self, shop: str, which: str) -> list[Charge]:
        """Approve a pending charge; a subscription takes the place of the shop's current one."""
        charge = self.charge(shop, which)
        book = self.platform.shops[shop].charges
        return self._changed(shop, book.approve(charge.number, self.platform.now()))

    def decline_charge(self, shop: str, which: str) -> list[Charge]:
        """Decline a pending charge."""
        charge = self.charge(shop, which)
        book = self.platform.shops[shop].charges
        return self._changed(shop, book.decline(charge.number, self.platform.now()))

    def cancel_subscription(self, shop: str) -> list[Charge]:
        """Cancel the active subscription, as a merchant or Shopify's support does."""
        book = self.platform.shops[shop].charges
        return self._changed(shop, book.end("CANCELLED", self.platform.now()))

    def freeze_subscription(self, shop: str) -> list[Charge]:
        """Freeze the active subscription: the merchant does not pay."""
        book = self.platform.shops[shop].charges
        return self._changed(shop, book.end("FROZEN", self.platform.now()))

    def thaw_subscription(self, shop: str) -> list[Charge]:
        """Let the frozen subscription be active again."""
        return self._changed(shop, self.platform.shops[shop].charges.thaw(self.platform.now()))

    def charges_age(self, shop: str, days: int) -> None:
        """Let so many days pass for the shop's charges alone, where the app's clock cannot move."""
        for charge in self.platform.shops[shop].charges.charges:
            charge.grow_older(timedelta(days=days))

    def _changed(self, shop: str, charges: Iterable[Charge]) -> list[Charge]:
        changed = list(charges)
        self.platform.events += [ChargeEvent(shop, each.topic, each.number) for each in changed]
        return changed
