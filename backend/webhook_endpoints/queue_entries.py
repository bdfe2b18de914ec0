"""The queue entries of outbound webhooks: one wakes a worker for an endpoint, not for a delivery.

So thousands of deliveries that are due do not fill the queue, and one endpoint has one worker.
"""

import msgspec

from backend import queue


class EndpointRef(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint's key, as the queue carries it; without a shop it is the operator's."""

    shop_id: int | None
    endpoint_id: str


def wake_endpoint(ref: EndpointRef, cause: str = "") -> queue.Entry:
    """The entry that has a worker deliver what is due; one for each cause waits at a time.

    The triggers' entries have their transaction as the cause (migration `0027_webhook_endpoints`).
    """
    key = ":".join(filter(None, (queue.DELIVER_EVENTS, ref.endpoint_id, cause)))
    return queue.Entry(
        entrypoint=queue.DELIVER_EVENTS,
        dedupe_key=key,
        payload=msgspec.json.encode(ref),
        number=1,
    )
