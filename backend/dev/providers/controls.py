"""What a developer says to a stand-in provider in another process, at `/stand-in/…`."""

import msgspec

from backend.dev.providers.exchange import Exchange
from backend.dev.providers.faults import ProviderFaultName
from backend.dev.providers.requests import AcceptedRequest
from backend.dev.shopify.state import HttpResponse


class FaultOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of `POST /stand-in/faults`; see `backend.dev.providers.faults`."""

    name: ProviderFaultName
    times: int = 1
    seconds: float = 2.0


def order_faults(exchange: Exchange) -> HttpResponse:
    """Have the next requests meet a fault."""
    try:
        order = msgspec.json.decode(exchange.body, type=FaultOrder)
    except msgspec.MsgspecError as error:
        return HttpResponse(400, {"detail": str(error)})
    exchange.state.faults.order(order.name, order.times, seconds=order.seconds)
    return HttpResponse(200, {"ordered": order.name, "times": order.times})


def hold_or_release(exchange: Exchange, word: str) -> HttpResponse:
    """Let requests wait in the queue, or let them be worked on again."""
    if word == "hold":
        exchange.state.released.clear()
    else:
        exchange.state.released.set()
    return HttpResponse(200, {"is_held": word == "hold"})


def list_predictions(exchange: Exchange) -> HttpResponse:
    """What has been accepted, the oldest first."""
    found = [_told(each) for each in exchange.state.predictions.values()]
    return HttpResponse(200, {"requests": found})


def _told(prediction: AcceptedRequest) -> dict[str, object]:
    return {
        "id": prediction.id,
        "api": prediction.api,
        "model": prediction.model.name,
        "status": prediction.status,
        "seed": prediction.seed,
        "units": prediction.units,
        "callback_url": prediction.callback_url,
        "callback_statuses": prediction.callback_statuses,
        "error": prediction.error and prediction.error.message,
    }
