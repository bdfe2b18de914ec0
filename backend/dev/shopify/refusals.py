"""The Admin API's errors: top-level errors, and userErrors in a payload."""

from graphql import GraphQLError


class Refusal(Exception):
    """A mutation that is not done, as its payload's `userErrors` tell. Nothing has changed."""

    def __init__(self, code: str, field: list[str] | None, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.field = field
        self.message = message

    @property
    def user_error(self) -> dict[str, object]:
        """One entry of `userErrors`; where the type has no code, none is asked for."""
        return {"code": self.code, "field": self.field, "message": self.message}


def error(message: str, code: str, **extensions: object) -> GraphQLError:
    """A top-level error with Shopify's code."""
    return GraphQLError(message, extensions={"code": code, **extensions})


def access_denied(field: str, scopes: tuple[str, ...]) -> GraphQLError:
    """The error for a field that the granted scopes do not open."""
    required = " or ".join(f"`{scope}` access scope" for scope in scopes) + "."
    return error(
        f"Access denied for {field} field. Required access: {required}",
        "ACCESS_DENIED",
        documentation="https://shopify.dev/api/usage/access-scopes",
        requiredAccess=required,
    )


def max_cost_exceeded(cost: int, limit: int) -> dict[str, object]:
    """The error for a document that costs more than any may."""
    return {
        "message": (
            f"Query cost is {cost}, which exceeds the single query max cost limit ({limit})."
        ),
        "extensions": {
            "code": "MAX_COST_EXCEEDED",
            "cost": cost,
            "maxCost": limit,
            "documentation": "https://shopify.dev/api/usage/rate-limits",
        },
    }


def shop_inactive() -> dict[str, object]:
    """The error for every document while the shop is not active."""
    return {
        "message": "The shop is not active.",
        "extensions": {
            "code": "SHOP_INACTIVE",
            "documentation": "https://shopify.dev/docs/api/usage/response-codes",
        },
    }


def throttled() -> dict[str, object]:
    """The error for a document that has to wait until the bucket has filled again."""
    return {
        "message": "Throttled",
        "extensions": {
            "code": "THROTTLED",
            "documentation": "https://shopify.dev/api/usage/rate-limits",
        },
    }
