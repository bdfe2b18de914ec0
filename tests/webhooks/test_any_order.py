"""Late, repeated and reordered webhooks have the same result as ordered ones (T-10).

What happens at Shopify happens; its tellings are shuffled, put off and repeated. The suite tries
the same few orders every time; `ORDER_EXAMPLES=500` tries as many, chosen anew.
"""

import os
import uuid
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from backend.dev.shopify.payloads import Payload, product_deleted_payload
from backend.leased_task import Done
from backend.worker.webhook_dispatch import handle_delivery
from tests.running_app import RunningApp
from tests.scenarios import new_shop, open_shared_app
from webhooks.receive import DeliveryRef

pytestmark = pytest.mark.slow

shared_app = pytest.fixture(open_shared_app, scope="module")

EXAMPLES = int(os.environ.get("ORDER_EXAMPLES", "0"))  # 0: the few of the suite
MANY = settings(
    max_examples=EXAMPLES or 12,
    derandomize=not EXAMPLES,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
)
ACTS = 4  # in a life
LAST = ACTS - 1

Event = tuple[str, Payload]  # topic, and the body as it was when it happened
Act = Callable[[str], Awaitable[Event | None]]


class Telling(NamedTuple):
    """One delivery: of the event of that act, after another act, with the event's own id or not."""

    event: int
    moment: int
    is_resent: bool = True


IN_ORDER = [Telling(number, number) for number in range(ACTS)]


@st.composite
def tellings(draw: st.DrawFn, *, first_moment: int = 0) -> list[Telling]:
    """Each event at least once and some again, in any order."""
    again = draw(st.lists(st.integers(0, LAST), max_size=ACTS))
    order = draw(st.permutations([*range(ACTS), *again]))
    moments = st.integers(first_moment, LAST)
    return [Telling(number, draw(moments), draw(st.booleans())) for number in order]


async def live(
    running_app: RunningApp, shop: str, life: Sequence[str], act: Act, told: Sequence[Telling]
) -> None:
    """Have all of a life happen, and Shopify tell of it like that."""
    events: list[Event | None] = []
    ids = [str(uuid.uuid4()) for _ in life]
    for now, what in enumerate(life):
        events.append(await act(what))
        for telling in told:
            event = events[telling.event] if max(telling.event, telling.moment) == now else None
            if event is not None:
                webhook_id = ids[telling.event] if telling.is_resent else str(uuid.uuid4())
                await tell(running_app, shop, event, webhook_id)


async def tell(running_app: RunningApp, shop: str, event: Event, webhook_id: str) -> None:
    """Deliver it, and have it acted on before anything else is."""
    topic, payload = event
    answer = await running_app.send(topic, shop=shop, payload=payload, webhook_id=webhook_id)
    assert answer.status_code == 200
    ref = DeliveryRef(shop_domain=shop, topic=topic, webhook_id=webhook_id)
    assert await handle_delivery(ref, running_app.handler_context, 0) == Done()


# A product. What is told early is another matter: a picture that was there for a while has its job.


@MANY
@given(
    birth=st.sampled_from(["born", "born without a picture"]),
    life=st.lists(st.sampled_from(["picture", "saved", "deleted"]), min_size=LAST, max_size=LAST),
    told=tellings(first_moment=LAST),
)
async def test_product_events_in_any_order_create_the_same_jobs(
    shared_app: RunningApp, birth: str, life: list[str], told: list[Telling]
) -> None:
    in_order = [Telling(number, LAST) for number in range(ACTS)]
    expected, found = [
        await product_of(shared_app, [birth, *life], each) for each in (in_order, told)
    ]
    assert found == expected


async def product_of(shared_app: RunningApp, life: list[str], told: Sequence[Telling]) -> Any:
    """What we hold of a product after such a life."""
    shopify, shop = shared_app.shopify, await new_shop(shared_app)
    products = []

    async def act(what: str) -> Event | None:
        if what.startswith("born"):
            picture = b"the first" if what == "born" else None
            products.append(shopify.create_product(shop, "Tee", picture))
            return "products/create", shopify.payload(shop, "products/create")
        if not products:  # it is gone
            return None
        if what == "deleted":
            gone = products.pop()
            shopify.delete_product(gone)
            return "products/delete", product_deleted_payload(gone.id)
        if what == "picture":
            products[0] = shopify.replace_image(products[0], uuid.uuid4().bytes)
        return "products/update", shopify.payload(shop, "products/update")

    await live(shared_app, shop, life, act, told)
    newest = products[0].media_gid if products and products[0].media else None
    return await shared_app.rows(
        "SELECT job_type, j.status, origin, last_seq, request->>'media_id' = :newest AS is_newest, "
        "(SELECT trigger FROM seen_pictures p WHERE p.shop_id = s.id) AS counted_as "
        "FROM shops s LEFT JOIN jobs j ON j.shop_id = s.id WHERE s.domain = :shop "
        "ORDER BY job_type, is_newest",
        shop=shop,
        newest=newest,
    )


# The app

BACK_AGAIN = ["removed or put back"] * 2 + ["write_products"] * 2


@MANY
@given(
    life=st.lists(
        st.sampled_from(["removed or put back", "write_products", "write_products,write_files"]),
        min_size=ACTS,
        max_size=ACTS,
    ),
    told=tellings(),
)
@example(life=BACK_AGAIN, told=[Telling(0, LAST), Telling(2, LAST), Telling(3, LAST)])
async def test_app_events_in_any_order_leave_the_same_shop(
    shared_app: RunningApp, life: list[str], told: list[Telling]
) -> None:
    expected, found = [await app_of(shared_app, life, each) for each in (IN_ORDER, told)]
    assert found == expected


async def app_of(shared_app: RunningApp, life: list[str], told: Sequence[Telling]) -> Any:
    """What we hold of a shop after such a life of the app in it."""
    shopify, shop = shared_app.shopify, await new_shop(shared_app)
    record = shopify.platform.shops[shop]

    async def act(what: str) -> Event | None:
        if what != "removed or put back":
            shopify.set_scopes(shop, what.split(","))
            topic = "app/scopes_update"
        elif record.installed:
            shopify.uninstall(shop)
            topic = "app/uninstalled"
        else:
            shopify.reinstall(shop)
            await shared_app.install(shop)  # the merchant opens the app
            return None
        return topic, shopify.payload(shop, topic)

    await live(shared_app, shop, life, act, told)
    row = (
        await shared_app.rows(
            "SELECT status, CASE status WHEN 'installed' THEN scopes END AS scopes, "
            "access_token IS NULL AS is_without_token, refresh_token IS NULL AS is_locked, "
            "uninstalled_at IS NULL AS is_here, reauth_needed_at IS NULL AS is_open "
            "FROM shops WHERE domain = :shop",
            shop=shop,
        )
    )[0]
    assert (row["status"] == "installed") == record.installed, "and as Shopify has it"
    return row
