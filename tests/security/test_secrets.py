"""No token and no key in logs, errors, reprs or the database, whatever goes wrong."""

import base64
import io
import logging
import re
from collections.abc import Callable, Iterator

import pytest
import structlog
from sqlalchemy.exc import IntegrityError

from backend.auth.guards import Merchant
from backend.dev.shopify.state import Call
from backend.logs import configure_logging
from backend.shops.answers import OfflineToken
from backend.shops.sealing import TokenKeys
from backend.shops.tokens import InstalledShop, NeedsReauth, installed_shop
from backend.worker.execute import run_job
from tests.conftest import OLDER_KEY
from tests.doors import end_token, handled, lock_out, waiting_job
from tests.world import SHOP, World

TOKEN = re.compile(r"shp(at|rt|ss)_\w+")
SESSION_TOKEN = re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]+")


@pytest.fixture
def everything_logged() -> Iterator[io.StringIO]:
    """All that our loggers and every library's say, down to DEBUG, as the processes log it."""
    root, configured = logging.getLogger(), structlog.get_config()
    chatty = [logging.getLogger(name) for name in ("httpx", "httpcore", "botocore")]
    before = root.handlers, [(each, each.level) for each in (root, *chatty)]
    written = io.StringIO()
    configure_logging(logging.DEBUG, written)
    for each in chatty:
        each.setLevel(logging.DEBUG)
    yield written
    root.handlers, levels = before
    for each, level in levels:
        each.setLevel(level)
    structlog.configure(**configured)


async def row_dump(world: World) -> str:
    """Every row of every table, as text."""
    tables = await world.rows(
        "SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables "
        "WHERE schemaname IN ('public', 'queue')"
    )
    lines = [
        row["line"]
        for table in tables
        for row in await world.rows(f"SELECT t::text AS line FROM {table['name']} t")
    ]
    return "\n".join(lines)


async def live_troubles(world: World) -> None:
    """A life of a shop in which most of what touches a token goes wrong once."""
    await world.install()
    product = world.product(b"a photo")
    faults: list[tuple[Call, int]] = [("exchange", 400), ("graphql", 503), ("exchange", 503)]
    for call, status in faults:
        world.shopify.fail_next(call, status)
        await world.http.post("/v1/installation", headers=world.bearer())
    troubles: list[Callable[[], None]] = [
        lambda: world.shopify.lose_next_answer("refresh"),
        lambda: world.shopify.fail_next("refresh", 500),
        lambda: world.shopify.revoke_access_tokens(SHOP),
    ]
    for trouble in troubles:
        ref = await waiting_job(world, request={"product_id": product.gid})
        await end_token(world, SHOP)
        trouble()
        await run_job(ref, world.workshop)
    await world.http.get("/v1/jobs/x", headers={"Authorization": "Bearer eyJhbGciOi.J9.x"})
    await handled(world, "app/scopes_update")
    with pytest.raises(IntegrityError, match="ck_shops_status") as caught:
        await world.execute("UPDATE shops SET status = 'sold'")
    logging.getLogger("test").error("Postgres shows the row", exc_info=caught.value)
    await lock_out(world)
    with pytest.raises(NeedsReauth):
        await installed_shop(world.database, world.desk.admin, SHOP)
    await world.install()
    await world.execute("UPDATE shops SET access_token = refresh_token")
    with pytest.raises(NeedsReauth):
        await installed_shop(world.database, world.desk.admin, SHOP)
    logging.getLogger("test").error("what a traceback shows", exc_info=TypeError(world.settings))


async def test_no_token_and_no_key_gets_into_logs_or_the_database(
    world: World, everything_logged: io.StringIO
) -> None:
    await live_troubles(world)
    logs, dump = everything_logged.getvalue(), await row_dump(world)
    assert "shop_parked" in logs, "what is searched is what was logged"
    assert "Failing row contains" in logs
    assert "v1." in dump, "what is searched is what was stored"
    for written in (logs, dump):
        assert TOKEN.findall(written) == []
        assert SESSION_TOKEN.findall(written) == []
        for secret in (world.settings.shopify_api_secret, *keys_of(world)):
            assert secret not in written


def keys_of(world: World) -> list[str]:
    """The keys, without their names."""
    return [entry.split(":")[1] for entry in world.settings.token_keys.split(",")]


def test_what_holds_a_token_does_not_print_it() -> None:
    holders = [
        OfflineToken(access_token="shpat_canary", refresh_token="shprt_canary"),
        InstalledShop(id=1, domain=SHOP, scopes="", access_token="shpat_canary"),
        Merchant(shop=SHOP, token="eyJcanary"),
        TokenKeys(OLDER_KEY),
    ]
    key = OLDER_KEY.split(":")[1]
    for holder in holders:
        assert "canary" not in f"{holder!r} {holder}"
        assert key not in repr(holder)
        assert repr(base64.b64decode(key)) not in repr(holder)
