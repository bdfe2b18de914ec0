"""`atelier endpoints` and `atelier keys reencrypt`: what an operator does with endpoints."""

import click
import pytest

from backend.shops.token_encryption import TokenKeys, generate_key
from backend.worker.endpoint_console import (
    add_app_endpoint,
    enable_app_endpoint,
    list_app_endpoints,
    remove_app_endpoint,
    rotate_app_secret,
)
from backend.worker.endpoint_secrets import reencrypt_secrets
from tests.backend.webhook_endpoints.receiver import Receiver, add, answer, make_due, send_test
from tests.flows.processes import environment
from tests.running_app import RunningApp
from tests.scenarios import waiting_job

END_JOBS = "UPDATE jobs SET status = 'FAILURE', finished_at = now() WHERE status = 'NOT_STARTED'"


@pytest.fixture(autouse=True)
def process_settings(shop_app: RunningApp, monkeypatch: pytest.MonkeyPatch) -> None:
    """The app's settings, as a command finds them."""
    for name, value in environment(shop_app.settings).items():
        monkeypatch.setenv(name, value)


async def test_an_operators_endpoint_gets_the_events_of_every_shop(
    shop_app: RunningApp, receiver: Receiver, capsys: pytest.CaptureFixture[str]
) -> None:
    shop = "third.myshopify.com"
    await shop_app.install(shop)
    await add_app_endpoint(receiver.url, ("job.failed",), "Ours")
    endpoint_id, secret = capsys.readouterr().out.splitlines()[-1].split()
    await waiting_job(shop_app)
    await waiting_job(shop_app, shop=shop)
    await shop_app.execute(END_JOBS)
    await shop_app.drain()
    events = [request.verified(secret) for request in receiver.requests]
    shops = {str(event["data"]["shop"]) for event in events}  # type: ignore[index]
    assert {"north.myshopify.com", shop} <= shops
    await rotate_app_secret(endpoint_id)
    new = capsys.readouterr().out.splitlines()[-1]
    await waiting_job(shop_app)
    await shop_app.execute(END_JOBS)
    await shop_app.drain()
    for valid in (secret, new):
        assert receiver.requests[-1].verified(valid)
    await list_app_endpoints()
    assert receiver.url in capsys.readouterr().out
    await remove_app_endpoint(endpoint_id)
    seen = len(receiver.requests)
    await waiting_job(shop_app)
    await shop_app.execute(END_JOBS)
    await shop_app.drain()
    assert len(receiver.requests) == seen
    with pytest.raises(click.ClickException, match="No endpoint"):
        await remove_app_endpoint(endpoint_id)


async def test_an_operators_endpoint_that_is_gone_can_be_enabled_again(
    shop_app: RunningApp, receiver: Receiver, capsys: pytest.CaptureFixture[str]
) -> None:
    receiver.answers = [answer(410), answer(200)]
    await add_app_endpoint(receiver.url, (), "")
    endpoint_id = capsys.readouterr().out.splitlines()[-1].split()[0]
    await waiting_job(shop_app)
    await shop_app.execute(END_JOBS)
    await shop_app.drain()
    await list_app_endpoints()
    assert "off (GONE)" in capsys.readouterr().out
    await enable_app_endpoint(endpoint_id)
    await waiting_job(shop_app)
    await shop_app.execute(END_JOBS)
    await make_due(shop_app)
    assert len(receiver.requests) == 2


async def test_a_url_that_leads_inside_and_an_unknown_type_are_refused(
    shop_app: RunningApp,
) -> None:
    with pytest.raises(click.ClickException, match="not on the public internet"):
        await add_app_endpoint("https://10.0.0.1/", (), "")
    with pytest.raises(click.ClickException, match=r"No event type job\.lost"):
        await add_app_endpoint("https://hooks.example.com/", ("job.lost",), "")


async def test_secrets_are_encrypted_with_a_new_key(
    shop_app: RunningApp, receiver: Receiver, capsys: pytest.CaptureFixture[str]
) -> None:
    endpoint = await add(shop_app, receiver.url)
    rotated = await shop_app.http.post(
        f"/v1/webhook-endpoints/{endpoint['id']}/secret/rotate", headers=shop_app.bearer()
    )
    await add_app_endpoint(receiver.url, ("batch.failed",), "")
    new_key = generate_key()
    both = TokenKeys(f"{new_key},{shop_app.settings.token_keys}")
    tally = await reencrypt_secrets(shop_app.database, both)
    assert (tally.encrypted, tally.unreadable, tally.left) == (2, 0, 0)
    stored = await shop_app.rows(
        "SELECT secret, previous_secret FROM webhook_endpoints "
        "UNION ALL SELECT secret, previous_secret FROM app_webhook_endpoints"
    )
    values = [value for row in stored for value in row.values() if value]
    assert len(values) == 3
    assert all(value.startswith(both.prefix) for value in values)
    back = await reencrypt_secrets(
        shop_app.database, TokenKeys(f"{shop_app.settings.token_keys},{new_key}")
    )
    assert back.encrypted == 2
    await send_test(shop_app, endpoint["id"])
    await shop_app.drain()
    assert receiver.requests[0].verified(rotated.json()["secret"])
    assert receiver.requests[0].verified(str(endpoint["secret"]))


async def test_a_secret_of_an_unknown_key_is_counted_as_left(shop_app: RunningApp) -> None:
    await add(shop_app, "https://hooks.example.com/")
    tally = await reencrypt_secrets(shop_app.database, TokenKeys(generate_key()))
    assert (tally.encrypted, tally.unreadable, tally.left) == (0, 1, 1)
