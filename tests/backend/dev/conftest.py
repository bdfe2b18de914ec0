"""One stand-in Shopify for all the tests of it, with two new shops for each."""

from collections import deque

import httpx
import pytest

from backend.dev.shopify import StandInShopify
from backend.dev.transport import LoopbackShopify
from tests.backend.dev.calls import API_KEY, NOW, OTHER_SHOP, SECRET, SHOP, App, Clock, exchange


@pytest.fixture(scope="session")
def clock():
    return Clock()


@pytest.fixture(scope="session")
def deliveries():
    return []


@pytest.fixture(scope="session")
def statuses():
    """What the app answers to the next webhooks; then, and without any, 200."""
    return deque()


@pytest.fixture(scope="session")
def internet():
    """What external URLs give to Shopify; all others cannot be reached."""
    return {}


@pytest.fixture(scope="session")
async def stand_in(clock, deliveries, statuses, internet):
    def receive(request):
        deliveries.append(request)
        return httpx.Response(statuses.popleft() if statuses else 200)

    def fetch(request):
        if str(request.url) not in internet:
            raise httpx.ConnectError("nobody there", request=request)
        return internet[str(request.url)]

    async with StandInShopify(
        api_key=API_KEY,
        secret=SECRET,
        app_url="https://app.example",
        app_transport=httpx.MockTransport(receive),
        source_transport=httpx.MockTransport(fetch),
        clock=clock,
    ) as stand_in:
        yield stand_in


@pytest.fixture
def shopify(stand_in, clock, deliveries, statuses, internet):
    """One server for all tests (it takes 0.2 s to stop) with two new shops for each."""
    clock.now = NOW
    for leftover in (deliveries, statuses, internet, stand_in.calls, stand_in.outbox):
        leftover.clear()
    stand_in.platform.access_token_lifetime = 3600
    stand_in.create_shop(SHOP)
    stand_in.create_shop(OTHER_SHOP)
    return stand_in


@pytest.fixture(scope="session")
async def wire(stand_in):
    async with httpx.AsyncClient(
        transport=LoopbackShopify(stand_in.origin), headers={"Accept": "application/json"}
    ) as client:
        yield client


@pytest.fixture
def client(shopify, wire):
    return wire


@pytest.fixture
async def token(shopify, client):
    granted = await exchange(client, SHOP, shopify.id_token(SHOP))
    return granted.json()["access_token"]


@pytest.fixture
def app(client, token):
    return App(client, token)
