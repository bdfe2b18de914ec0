"""Fault injection: at the HTTP edge, in the Admin API, and in asynchronous work."""

from collections import Counter

from backend.dev.shopify.connections import PageFault
from backend.dev.shopify.refusals import Refusal, throttled
from backend.dev.shopify.state import Call, Fault, HttpResponse, Platform


class FaultControls:
    """Injects Shopify's faults, which occur in the order in which they were injected.

    With `field`, only a GraphQL request with this root field has the fault.
    """

    platform: Platform

    @property
    def calls(self) -> Counter[Call]:
        """How many requests of each kind came in, failed ones included."""
        return self.platform.calls

    # At the edge

    def fail_next(
        self,
        call: Call,
        status: int,
        times: int = 1,
        *,
        retry_after: str = "2.0",
        field: str | None = None,
    ) -> None:
        """Answer the next requests of this kind with a bare status, without doing their work.

        A 429 says Retry-After: `retry_after`, in seconds and with a fraction, as Shopify does.
        """
        headers = {"Retry-After": retry_after} if status == 429 else {}
        answer = HttpResponse(status, {"errors": "Stand-in failure"}, headers)
        self._order(call, Fault(answer, field=field), times)

    def answer_next_with_a_page(self, call: Call, status: int, times: int = 1) -> None:
        """Answer the next requests of this kind with a page for people, as a shop that is gone."""
        page = HttpResponse(status, b"<!DOCTYPE html><title>404</title>", content_type="text/html")
        self._order(call, Fault(page), times)

    def lose_next_answer(self, call: Call, times: int = 1, *, field: str | None = None) -> None:
        """Do the work of the next requests of this kind, and answer them 502."""
        answer = HttpResponse(502, {"errors": "Bad Gateway"})
        self._order(call, Fault(answer, processed=True, field=field), times)

    def cut_next_answer(self, call: Call, times: int = 1, *, field: str | None = None) -> None:
        """Do the work of the next requests of this kind, and end the connection in the answer."""
        self._order(call, Fault(is_cut=True, field=field), times)

    def slow_next(
        self, call: Call, seconds: float, times: int = 1, *, field: str | None = None
    ) -> None:
        """Let the next requests of this kind wait before their work is done and answered."""
        self._order(call, Fault(delay=seconds, field=field), times)

    # In the Admin API

    def throttle_next(self, times: int = 1, *, field: str | None = None) -> None:
        """Answer the next GraphQL queries THROTTLED, with a tenth of a second to wait.

        Apart from the shop's bucket, which `empty_bucket` would empty.
        """
        status = {"maximumAvailable": 2000.0, "currentlyAvailable": 2.0, "restoreRate": 100.0}
        cost = {"requestedQueryCost": 12, "actualQueryCost": None, "throttleStatus": status}
        body = {"errors": [throttled()], "extensions": {"cost": cost}}
        self._order("graphql", Fault(HttpResponse(200, body), field=field), times)

    def empty_bucket(self, shop: str) -> None:
        """Spend the shop's points; they come back with the clock."""
        self.platform.shops[shop].bucket.empty()

    def refuse_next(
        self,
        mutation: str,
        code: str,
        message: str = "Stand-in refusal",
        times: int = 1,
        *,
        at: list[str] | None = None,
    ) -> None:
        """Refuse the next calls of a mutation in `userErrors`, and do nothing of them.

        `code` is one of the payload's own, such as FILE_LOCKED of `fileUpdate`; `at` is the path
        that `field` tells.
        """
        self.platform.refusals[mutation].extend([Refusal(code, at, message)] * times)

    def fault_next_pages(self, connection: str, *faults: PageFault) -> None:
        """Answer the next pages of a connection, such as `Product.media`, with these faults.

        "empty" is a page without nodes that is not the last; a page after a "stuck" one can never
        be reached, because its cursor leads to the same page again.
        """
        self.platform.page_faults[connection].extend(faults)

    # In what is asynchronous

    def fail_next_file(self, code: str, times: int = 1) -> None:
        """Have the next files that would be ready fail with this FileErrorCode."""
        self.platform.file_failures.extend([code] * times)

    # Of tokens and shops

    def revoke_access_tokens(self, shop: str) -> None:
        """Kill the shop's access tokens before their time; its refresh token lives."""
        self.platform.shops[shop].grants.revoke_access()

    def expire_next_id_token(self, times: int = 1) -> None:
        """Hand out an expired session token in the admin, as a page that was asleep gets it."""
        self.platform.stale_id_tokens += times

    def grant_lasting_token(self, shop: str) -> str:
        """Give the app a token of the old kind, as it may still have from before 2026-04."""
        return self.platform.shops[shop].grants.issue_lasting()

    def lock_shop(self, shop: str, status: int = 402) -> None:
        """Answer everything of this shop with 402 (frozen), 403 (unavailable) or 423 (locked).

        With 200, GraphQL answers SHOP_INACTIVE. The shop's tokens live.
        """
        self.platform.shops[shop].locked_with = status

    def unlock_shop(self, shop: str) -> None:
        """Let the shop answer again."""
        self.platform.shops[shop].locked_with = None

    def _order(self, call: Call, fault: Fault, times: int) -> None:
        self.platform.faults[call].extend([fault] * times)
