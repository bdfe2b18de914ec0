"""What a job costs, in credits."""

from backend.errors import ConfigurationError
from backend.settings import Quotas
from backend.workflows import BY_NAME
from backend.workflows.registry import Workflow


def price_of(workflow: Workflow, quotas: Quotas) -> int:
    """The price of a job that is made now; `jobs.credits_cost` keeps it for the job's life."""
    return quotas.prices.get(workflow.name, workflow.credits_cost)


def kept_price(stored: int | None, workflow: Workflow) -> int:
    """The price of a job that is there; null was stored by a version without prices of its own."""
    return workflow.credits_cost if stored is None else stored


def require_known_prices(quotas: Quotas) -> None:
    """Refuse a misspelt name, whose workflow would keep the price that the operator changed.

    Raises `ConfigurationError`.
    """
    if unknown := quotas.prices.keys() - BY_NAME.keys():
        raise ConfigurationError(
            f"CREDITS_BY_WORKFLOW has unknown names: {', '.join(sorted(unknown))}. "
            f"Known names: {', '.join(sorted(BY_NAME))}."
        )
