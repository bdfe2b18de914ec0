"""What happens to contracts of App Pricing outside the app, and refunds by the partner."""

from datetime import timedelta
from decimal import Decimal

from backend.dev.shopify.managed_pricing import ContractBook, HistoryEntry
from backend.dev.shopify.state import Platform


class ContractActions:
    """Decisions of the merchant, of Shopify and of the partner. None of them sends a webhook."""

    platform: Platform

    def choose_plan(self, shop: str, handle: str) -> None:
        """Choose a plan on Shopify's page. Raises KeyError if the app has no such plan."""
        plan = self.platform.partner.plan(handle)
        if plan is None:
            raise KeyError(handle)
        self.contracts(shop).choose(plan, self.platform.now())

    def cancel_plan(self, shop: str) -> None:
        """Cancel the plan at the end of what is paid."""
        self.contracts(shop).cancel(self.platform.now())

    def freeze_plan(self, shop: str) -> None:
        """Freeze the contract: the merchant does not pay."""
        self.contracts(shop).freeze(self.platform.now())

    def unfreeze_plan(self, shop: str) -> None:
        """Let the frozen contract go on."""
        self.contracts(shop).unfreeze(self.platform.now())

    def refund_plan(self, shop: str, amount: str | None = None) -> None:
        """Give the last charge of the plan back, or part of it. Raises IndexError."""
        charge = self.contracts(shop).charges()[-1]
        self._refund(shop, charge, amount)

    def refund_purchase(self, shop: str, which: str, amount: str | None = None) -> None:
        """Give a one-time charge of the Billing API back, by its id. Raises KeyError."""
        found = {each.gid: each for each in self.platform.shops[shop].charges.charges}[which]
        book = self.contracts(shop)
        charge = book.note_purchase(found.number, found.price, found.updated_at)
        self._refund(shop, charge, amount)

    def contract_ages(self, shop: str, days: float) -> None:
        """Let so many days pass for the shop's contract, where the app's clock cannot move."""
        self.contracts(shop).grow_older(timedelta(days=days))

    def contracts(self, shop: str) -> ContractBook:
        """The shop's contract and history, as they are now."""
        book = self.platform.shops[shop].contracts
        book.pass_time(self.platform.now())
        return book

    def _refund(self, shop: str, charge: HistoryEntry, amount: str | None) -> None:
        money = charge.amount if amount is None else Decimal(amount)
        self.contracts(shop).refund(charge, money, self.platform.now())
