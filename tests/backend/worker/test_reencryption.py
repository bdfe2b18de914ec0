"""`atelier keys`: re-encrypt every token under a new key while the service runs."""

import asyncio
import os
import sys
from typing import Any

import msgspec
import pytest

from backend.dev.transport import LoopbackShopify
from backend.shops.admin_api import AdminApi
from backend.shops.token_encryption import TokenKeys, generate_key
from backend.shops.tokens import installed_shop
from backend.worker import reencryption
from backend.worker.reencryption import ReencryptionTally, reencrypt_all
from tests.running_app import RunningApp
from tests.scenarios import expire_token, new_shop, open_shared_app

shared_app = pytest.fixture(open_shared_app, scope="module")
shop = pytest.fixture(new_shop)


async def key_ids(shared_app: RunningApp, shop: str) -> set[str]:
    """The ids of the keys that the shop's tokens need; "" is none."""
    rows = await shared_app.rows(
        "SELECT access_token, refresh_token FROM shops WHERE domain = :d", d=shop
    )
    return {value.split(".")[1] if value.startswith("v1.") else "" for value in rows[0].values()}


async def opens(shared_app: RunningApp, shop: str, keys: str) -> bool:
    """Whether a process with these keys can work for the shop, and renew its tokens."""
    settings = msgspec.structs.replace(shared_app.settings, token_keys=keys)
    admin = AdminApi(settings, LoopbackShopify(shared_app.shopify.origin))
    try:
        found = await installed_shop(shared_app.database, admin, shop)
        return found is not None and bool(await admin.installation(shop, found.access_token))
    finally:
        await admin.close()


async def keys_command(shared_app: RunningApp, *arguments: str, keys: str = "") -> tuple[int, str]:
    """`atelier keys …`, as a process of its own: its exit code and what it said."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "backend.cli", "keys", *arguments),
        env={**os.environ, "DATABASE_URL": shared_app.settings.database_url, "TOKEN_KEYS": keys},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode()


async def test_a_rotation_leaves_no_token_under_the_old_key(
    shared_app: RunningApp, shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reencryption, "SHOPS_PER_TRANSACTION", 2)
    shops = [shop, *[await new_shop(shared_app) for _ in range(4)]]
    new = generate_key()
    both = TokenKeys(f"{new},{shared_app.settings.token_keys}")
    reports: list[tuple[int, int]] = []
    tally = await reencrypt_all(
        shared_app.database, both, lambda so_far: reports.append(numbers(so_far))
    )
    assert (tally.encrypted, tally.unreadable, tally.left) == (tally.total, 0, 0)
    assert tally.total >= len(shops)
    assert reports[0] == (2, tally.total)
    assert reports[-1] == (tally.total, tally.total)
    for each in shops:
        assert await key_ids(shared_app, each) == {both.primary}
        await expire_token(shared_app, each)
        assert await opens(shared_app, each, new)
    again = await reencrypt_all(shared_app.database, both, lambda _: None)
    assert again.total == 0, "there is nothing left to do"
    await reencrypt_all(
        shared_app.database, TokenKeys(f"{shared_app.settings.token_keys},{new}"), lambda _: None
    )


def numbers(tally: ReencryptionTally) -> tuple[int, int]:
    """How many were looked at, of how many."""
    return tally.seen, tally.total


async def test_plain_tokens_are_encrypted(shared_app: RunningApp, shop: str) -> None:
    keys = TokenKeys(shared_app.settings.token_keys)
    for name in ("access_token", "refresh_token"):
        rows = await shared_app.rows(f"SELECT {name} AS t FROM shops WHERE domain = :d", d=shop)
        plain = keys.decrypt(rows[0]["t"], shop=shop, column=name)
        await shared_app.execute(f"UPDATE shops SET {name} = :t WHERE domain = :d", t=plain, d=shop)
    assert await key_ids(shared_app, shop) == {""}
    assert (await reencrypt_all(shared_app.database, keys, lambda _: None)).encrypted == 1
    assert await key_ids(shared_app, shop) == {keys.primary}
    assert await opens(shared_app, shop, shared_app.settings.token_keys)


async def test_tokens_refreshed_during_reencryption_are_kept(
    shared_app: RunningApp, shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The refresh comes between the reading of a row and its writing."""
    new = generate_key()
    both = TokenKeys(f"{new},{shared_app.settings.token_keys}")
    reencrypt_row = reencryption.reencrypt_row
    renewals: list[object] = []

    async def after_a_renewal(connection: Any, keys: Any, row: Any, tally: Any) -> None:
        if row.domain == shop and not renewals:
            await expire_token(shared_app, shop)
            renewals.append(
                await installed_shop(shared_app.database, shared_app.handler_context.admin, shop)
            )
        await reencrypt_row(connection, keys, row, tally)

    monkeypatch.setattr(reencryption, "reencrypt_row", after_a_renewal)
    tally = await reencrypt_all(shared_app.database, both, lambda _: None)
    assert len(renewals) == 1
    assert tally.left == 1, "it was sealed anew, by a process that does not know the new key yet"
    assert await opens(shared_app, shop, shared_app.settings.token_keys)
    assert (await reencrypt_all(shared_app.database, both, lambda _: None)).left == 0
    assert await opens(shared_app, shop, new)
    await reencrypt_all(
        shared_app.database, TokenKeys(f"{shared_app.settings.token_keys},{new}"), lambda _: None
    )


@pytest.mark.slow
async def test_the_keys_commands_create_a_key_and_reencrypt(
    shared_app: RunningApp, shop: str
) -> None:
    code, made = await keys_command(shared_app, "new")
    assert code == 0
    code, out = await keys_command(
        shared_app, "reencrypt", keys=f"{made.strip()},{shared_app.settings.token_keys}"
    )
    assert code == 0
    assert "Sealed the tokens of" in out
    assert await key_ids(shared_app, shop) == {made.split(":")[0]}
    assert made.split(":")[1].strip() not in out
    code, out = await keys_command(shared_app, "reencrypt", keys=shared_app.settings.token_keys)
    assert code == 1, "the key that they need is not among these"
    assert "cannot be decrypted" in out
    back = f"{shared_app.settings.token_keys},{made.strip()}"
    assert (await keys_command(shared_app, "reencrypt", keys=back))[0] == 0


@pytest.mark.slow
async def test_reencrypt_without_keys_explains_how_to_create_one(shared_app: RunningApp) -> None:
    code, out = await keys_command(shared_app, "reencrypt", keys="a:b")
    assert code == 1
    assert "atelier keys new" in out
    assert "Traceback" not in out


@pytest.mark.parametrize("command", ["serve", "worker"])
async def test_no_server_starts_without_token_keys(shared_app: RunningApp, command: str) -> None:
    env = {
        "DATABASE_URL": shared_app.settings.database_url,
        "S3_BUCKET": "b",
        "SHOPIFY_API_KEY": "k",
        "SHOPIFY_API_SECRET": "shpss_0123456789abcdef0123456789abcdef",
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "backend.cli", command),
        env={**os.environ, **env},
        stdin=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    _, err = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 1
    assert b"atelier keys new" in err
    assert b"Traceback" not in err
