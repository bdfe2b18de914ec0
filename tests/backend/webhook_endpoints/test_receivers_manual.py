"""docs/webhooks.md: its code verifies what is really sent, and its tables are those of the code."""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any, get_args

import pytest

from backend.webhook_endpoints.events import WebhookEventType
from backend.webhook_endpoints.payloads import DATA_OF
from backend.webhook_endpoints.schedule import RETRY_PAUSES
from backend.webhook_endpoints.secrets import new_secret
from tests.backend.webhook_endpoints.receiver import Receiver, add, send_test
from tests.running_app import RunningApp
from tests.source_tree import ROOT

MANUAL = (ROOT / "docs" / "webhooks.md").read_text()
UNITS = {"s": "seconds", "min": "minutes", "h": "hours"}


def documented_verify() -> Callable[..., None]:
    """The function of the manual."""
    code = re.search(r"```python\n(.*?)```", MANUAL, re.DOTALL)
    assert code is not None
    names: dict[str, Any] = {}
    exec(code[1], names)
    found: Callable[..., None] = names["verify"]
    return found


async def test_the_manuals_code_verifies_a_delivery(
    shop_app: RunningApp, receiver: Receiver
) -> None:
    verify = documented_verify()
    endpoint = await add(shop_app, receiver.url)
    path = f"/v1/webhook-endpoints/{endpoint['id']}/secret/rotate"
    await shop_app.http.post(path, headers=shop_app.bearer())
    await send_test(shop_app, endpoint["id"])
    await shop_app.drain()
    [request] = receiver.requests
    verify(endpoint["secret"], request.headers, request.body)  # the second of two signatures
    with pytest.raises(ValueError, match="no signature"):
        verify(new_secret(), request.headers, request.body)
    with pytest.raises(ValueError, match="no signature"):
        verify(endpoint["secret"], request.headers, request.body + b" ")
    old = request.headers | {
        "webhook-timestamp": str(int(request.headers["webhook-timestamp"]) - 301)
    }
    with pytest.raises(ValueError, match="too old"):
        verify(endpoint["secret"], old, request.body)


def test_the_manual_has_every_type_of_event() -> None:
    table = MANUAL.partition("| type | when |")[2].partition("\n\n")[0]
    types = set(get_args(WebhookEventType))
    assert set(re.findall(r"`(\w+\.\w+)`", table)) == types == set(DATA_OF)


def test_the_manual_has_the_pauses_between_attempts() -> None:
    row = MANUAL.partition("| pause before it | – |")[2].partition("\n")[0]
    cells = [cell.split() for cell in row.strip("| ").split("|")]
    pauses = tuple(timedelta(**{UNITS[unit]: int(number)}) for number, unit in cells)
    assert pauses == RETRY_PAUSES
