"""No token or key appears in logs, errors, reprs or the database."""

import base64
import io
import logging
import re
from collections.abc import Callable, Iterator

import pytest
import structlog
from sqlalchemy.exc import IntegrityError

from backend.auth.merchant import Merchant
from backend.dev.shopify.state import Call
from backend.logs import configure_logging
from backend.shops.shopify_responses import OfflineToken
from backend.shops.token_encryption import TokenKeys
from backend.shops.tokens import InstalledShop, NeedsReauth, installed_shop
from backend.worker.execute import run_job
from tests.conftest import OLDER_KEY
from tests.running_app import SHOP, RunningApp
from tests.scenarios import expire_token, lock_out, process_webhook, waiting_job
from tests.security.database_dump import dump_rows

TOKEN = re.compile(r"shp(at|rt|ss)_\w+")
SESSION_TOKEN = re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]+")


@pytest.fixture
def log_output() -> Iterator[io.StringIO]:
    """All that our loggers and every library's say, down to DEBUG, as the processes log it."""
    root, configured = logging.getLogger(), structlog.get_config()
    chatty = [logging.getLogger(name) for name in ("httpx", "httpcore", "botocore")]
    before = root.handlers, [(each, each.level) for each in (root, *chatty)]
    written = io.StringIO()
    configure_logging(logging.DEBUG, written)
    structlog.configure(cache_logger_on_first_use=False)  # else they write here in later tests too
    for each in chatty:
        each.setLevel(logging.DEBUG)
    yield written
    root.handlers, levels = before
    for each, level in levels:
        each.setLevel(level)
    structlog.configure(**configured)


async def live_troubles(running_app: RunningApp) -> None:
    """A life of a shop in which most of what touches a token goes wrong once."""
    await running_app.install()
    product = running_app.product(b"a photo")
    faults: list[tuple[Call, int]] = [("exchange", 400), ("graphql", 503), ("exchange", 503)]
    for call, status in faults:
        running_app.shopify.fail_next(call, status)
        await running_app.http.post("/v1/installation", headers=running_app.bearer())
    troubles: list[Callable[[], None]] = [
        lambda: running_app.shopify.lose_next_answer("refresh"),
        lambda: running_app.shopify.fail_next("refresh", 500),
        lambda: running_app.shopify.revoke_access_tokens(SHOP),
    ]
    for trouble in troubles:
        ref = await waiting_job(running_app, request={"product_id": product.gid})
        await expire_token(running_app, SHOP)
        trouble()
        await run_job(ref, running_app.worker_context)
    await running_app.http.get("/v1/jobs/x", headers={"Authorization": "Bearer eyJhbGciOi.J9.x"})
    await process_webhook(running_app, "app/scopes_update")
    with pytest.raises(IntegrityError, match="ck_shops_status") as caught:
        await running_app.execute("UPDATE shops SET status = 'sold'")
    logging.getLogger("test").error("Postgres shows the row", exc_info=caught.value)
    await lock_out(running_app)
    with pytest.raises(NeedsReauth):
        await installed_shop(running_app.database, running_app.handler_context.admin, SHOP)
    await running_app.install()
    await running_app.execute("UPDATE shops SET access_token = refresh_token")
    with pytest.raises(NeedsReauth):
        await installed_shop(running_app.database, running_app.handler_context.admin, SHOP)
    logging.getLogger("test").error(
        "what a traceback shows", exc_info=TypeError(running_app.settings)
    )


async def test_no_token_or_key_reaches_logs_or_the_database(
    running_app: RunningApp, log_output: io.StringIO
) -> None:
    await live_troubles(running_app)
    logs, dump = log_output.getvalue(), await dump_rows(running_app)
    assert "shop_parked" in logs, "what is searched is what was logged"
    assert "Failing row contains" in logs
    assert "v1." in dump, "what is searched is what was stored"
    for written in (logs, dump):
        assert TOKEN.findall(written) == []
        assert SESSION_TOKEN.findall(written) == []
        for secret in (running_app.settings.shopify_api_secret, *keys_of(running_app)):
            assert secret not in written


def keys_of(running_app: RunningApp) -> list[str]:
    """The keys, without their names."""
    return [entry.split(":")[1] for entry in running_app.settings.token_keys.split(",")]


def test_objects_that_hold_tokens_do_not_print_them() -> None:
    holders = [
        OfflineToken(access_token="shpat_canary", refresh_token="shprt_canary"),
        InstalledShop(id=1, domain=SHOP, scopes="", access_token="shpat_canary"),
        Merchant(shop=SHOP, authorization=b"Bearer eyJcanary"),
        TokenKeys(OLDER_KEY),
    ]
    key = OLDER_KEY.split(":")[1]
    for holder in holders:
        assert "canary" not in f"{holder!r} {holder}"
        assert key not in repr(holder)
        assert repr(base64.b64decode(key)) not in repr(holder)
