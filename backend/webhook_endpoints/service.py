"""What a shop does with its endpoints: add, read, change, remove them, and rotate their secrets."""

from typing import Any

import msgspec
from sqlalchemy import Select, case, func, insert, select, update
from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from backend.errors import (
    InvalidRequest,
    TooManyWebhookEndpoints,
    WebhookEndpointDisabled,
    WebhookEndpointNotFound,
)
from backend.jobs.idempotency import Repeatable, answered_before
from backend.jobs.ids import lookup_id, new_public_id
from backend.shops.service import installed_id
from backend.shops.token_encryption import TokenKeys
from backend.webhook_endpoints.events import append_events
from backend.webhook_endpoints.models import NOT_FAILING, EndpointColumns, WebhookEndpoint
from backend.webhook_endpoints.schemas import (
    MOST_ENDPOINTS,
    EndpointChange,
    EndpointCreatedResponse,
    EndpointListResponse,
    EndpointRequest,
    EndpointResponse,
    EndpointSecretResponse,
)
from backend.webhook_endpoints.secrets import (
    ROTATION_OVERLAP,
    decrypted_secret,
    encrypted_secret,
    new_secret,
)
from backend.webhook_endpoints.urls import url_problem

ENDPOINTS_LOCK = 7_205_760_000_000_000  # plus the shop's id: of `pg_advisory_xact_lock`


class EndpointSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What the routes need to know: the keys of the secrets, and the ports a URL may have."""

    keys: TokenKeys
    ports: frozenset[int]


class EndpointKey(msgspec.Struct, frozen=True, kw_only=True):
    """What is stored for an Idempotency-Key: which endpoint its request made, and no secret."""

    id: str


class AddedEndpoint(msgspec.Struct, frozen=True, kw_only=True):
    """The response, and whether an earlier request made the endpoint."""

    answer: EndpointCreatedResponse
    is_replay: bool


async def add_endpoint(
    connection: AsyncConnection,
    wanted: EndpointRequest,
    *,
    shop_domain: str,
    of: EndpointSettings,
    repeatable: Repeatable | None = None,
) -> AddedEndpoint:
    """Store a new endpoint with a new secret; a repeated request gets the one that it has made.

    That is the endpoint as it is now, with its secret of now: the row has it encrypted, and it is
    stored nowhere else. Raises `ShopNotInstalled`, `InvalidRequest`, `TooManyWebhookEndpoints`,
    `IdempotencyKeyReused`, `RequestInProgress`, and `WebhookEndpointNotFound` if the endpoint was
    removed.
    """
    require_url(wanted.url, of)
    shop_id = await installed_id(connection, shop_domain)
    made = EndpointKey(id=new_public_id())
    earlier = repeatable and await answered_before(
        connection, repeatable, shop_id=shop_id, answer=made
    )
    if not earlier:
        await insert_endpoint(connection, wanted, made.id, shop_id=shop_id, of=of)
    row = await endpoint_row(connection, shop_id, (earlier or made).id)
    secret = decrypted_secret(of.keys, row["id"], row["secret"])
    answer = EndpointCreatedResponse(**endpoint_facts(row), secret=secret)
    return AddedEndpoint(answer=answer, is_replay=bool(earlier))


async def insert_endpoint(
    connection: AsyncConnection,
    wanted: EndpointRequest,
    endpoint_id: str,
    *,
    shop_id: int,
    of: EndpointSettings,
) -> None:
    """Store it with a new secret. Raises `TooManyWebhookEndpoints`."""
    await connection.execute(select(func.pg_advisory_xact_lock(ENDPOINTS_LOCK + shop_id)))
    if len(await endpoint_rows(connection, shop_id)) >= MOST_ENDPOINTS:
        raise TooManyWebhookEndpoints
    await connection.execute(
        insert(WebhookEndpoint).values(
            shop_id=shop_id,
            id=endpoint_id,
            secret=encrypted_secret(of.keys, endpoint_id, new_secret()),
            **msgspec.structs.asdict(wanted),
        )
    )


async def list_of_endpoints(
    connection: AsyncConnection, *, shop_domain: str
) -> EndpointListResponse:
    """The shop's endpoints, oldest first. Raises `ShopNotInstalled`."""
    shop_id = await installed_id(connection, shop_domain)
    rows = await endpoint_rows(connection, shop_id)
    return EndpointListResponse(endpoints=[endpoint_response(row) for row in rows])


async def one_endpoint(
    connection: AsyncConnection, *, shop_domain: str, endpoint_id: str
) -> EndpointResponse:
    """Raises `ShopNotInstalled` or `WebhookEndpointNotFound`."""
    shop_id = await installed_id(connection, shop_domain)
    return endpoint_response(await endpoint_row(connection, shop_id, endpoint_id))


async def change_endpoint(
    connection: AsyncConnection,
    change: EndpointChange,
    *,
    shop_domain: str,
    endpoint_id: str,
    of: EndpointSettings,
) -> EndpointResponse:
    """Change what the request names. Raises as `add_endpoint`, or `WebhookEndpointNotFound`."""
    given = {
        name: value
        for name, value in msgspec.structs.asdict(change).items()
        if value is not msgspec.UNSET
    }
    if "url" in given:
        require_url(given["url"], of)
    shop_id = await installed_id(connection, shop_domain)
    enabled = given.pop("enabled", None)
    if enabled is True:
        given |= {"disabled_at": None, "disabled_reason": None, **NOT_FAILING}
    elif enabled is False:
        given |= disabled_values("REQUESTED")
    if given:
        await connection.execute(
            update(WebhookEndpoint).where(*this_endpoint(shop_id, endpoint_id)).values(**given)
        )
    return endpoint_response(await endpoint_row(connection, shop_id, endpoint_id))


def disabled_values(reason: str) -> dict[str, Any]:
    """What switches an endpoint off; one that is off keeps its first reason."""
    is_on = WebhookEndpoint.disabled_at.is_(None)
    return {
        "disabled_at": func.coalesce(WebhookEndpoint.disabled_at, func.now()),
        "disabled_reason": case((is_on, reason), else_=WebhookEndpoint.disabled_reason),
    }


async def remove_endpoint(
    connection: AsyncConnection, *, shop_domain: str, endpoint_id: str
) -> None:
    """Send nothing to it any more, and forget its secrets. Workers delete its deliveries later.

    Raises `ShopNotInstalled` or `WebhookEndpointNotFound`.
    """
    shop_id = await installed_id(connection, shop_domain)
    removed = await connection.execute(
        update(WebhookEndpoint)
        .where(*this_endpoint(shop_id, endpoint_id))
        .values(**removed_values())
    )
    if not removed.rowcount:
        raise WebhookEndpointNotFound


def removed_values() -> dict[str, Any]:
    """What removes an endpoint and forgets its secrets."""
    return {"deleted_at": func.now(), "secret": "", "previous_secret": None}


async def secret_of(
    connection: AsyncConnection, *, shop_domain: str, endpoint_id: str, of: EndpointSettings
) -> EndpointSecretResponse:
    """The endpoint's secret. Raises `ShopNotInstalled` or `WebhookEndpointNotFound`."""
    shop_id = await installed_id(connection, shop_domain)
    row = await endpoint_row(connection, shop_id, endpoint_id)
    return EndpointSecretResponse(
        secret=decrypted_secret(of.keys, row["id"], row["secret"]),
        previous_valid_until=row["previous_valid_until"],
    )


async def rotate_secret(
    connection: AsyncConnection, *, shop_domain: str, endpoint_id: str, of: EndpointSettings
) -> EndpointSecretResponse:
    """Give it a new secret. The one before is valid for another day, and an older one no longer.

    Raises `ShopNotInstalled` or `WebhookEndpointNotFound`.
    """
    shop_id = await installed_id(connection, shop_domain)
    secret = new_secret()
    await connection.execute(
        update(WebhookEndpoint)
        .where(*this_endpoint(shop_id, endpoint_id))
        .values(**rotated_values(WebhookEndpoint, of.keys, lookup_id(endpoint_id), secret))
    )
    row = await endpoint_row(connection, shop_id, endpoint_id)
    return EndpointSecretResponse(secret=secret, previous_valid_until=row["previous_valid_until"])


def rotated_values(
    model: type[EndpointColumns], keys: TokenKeys, endpoint_id: str, secret: str
) -> dict[str, Any]:
    """What gives an endpoint this secret, and keeps the one before for `ROTATION_OVERLAP`."""
    return {
        "secret": encrypted_secret(keys, endpoint_id, secret),
        "previous_secret": model.secret,
        "previous_secret_until": func.now() + ROTATION_OVERLAP,
    }


async def send_test_event(
    connection: AsyncConnection, *, shop_domain: str, endpoint_id: str
) -> str:
    """Send it an `endpoint.test`, whatever types it wants; return the event's ID.

    Raises `ShopNotInstalled`, `WebhookEndpointNotFound` or `WebhookEndpointDisabled`.
    """
    shop_id = await installed_id(connection, shop_domain)
    row = await endpoint_row(connection, shop_id, endpoint_id)
    if row["disabled_at"] is not None:
        raise WebhookEndpointDisabled
    await end_endpoint_pause(connection, shop_id, row["id"])
    data = {"endpoint_id": row["id"], "path": f"/v1/webhook-endpoints/{row['id']}"}
    event_id = await append_events(
        connection, shop_id, "endpoint.test", data, only_endpoint=row["id"]
    )
    assert event_id is not None
    return event_id


async def end_endpoint_pause(connection: AsyncConnection, shop_id: int, endpoint_id: str) -> None:
    """Try an endpoint that fails at once: somebody asks for it. It still fails since then."""
    await connection.execute(
        update(WebhookEndpoint)
        .where(*this_endpoint(shop_id, endpoint_id), WebhookEndpoint.failures > 0)
        .values(failures=0)
    )


def require_url(url: str, of: EndpointSettings) -> None:
    """Raise `InvalidRequest` unless an endpoint may have that URL."""
    if problem := url_problem(url, of.ports):
        raise InvalidRequest([{"loc": ["body", "url"], "msg": problem, "type": "value_error"}])


def shown_endpoints(shop_id: int) -> Select[Any]:
    """The shop's endpoints, with what the API tells of them and the stored secret."""
    overlaps = WebhookEndpoint.previous_secret_until > func.now()
    until = case((overlaps, WebhookEndpoint.previous_secret_until))
    statement: Select[Any] = (
        select(WebhookEndpoint, until.label("previous_valid_until"))
        .where(WebhookEndpoint.shop_id == shop_id, WebhookEndpoint.deleted_at.is_(None))
        .order_by(WebhookEndpoint.created_at, WebhookEndpoint.id)
    )
    return statement


async def endpoint_rows(connection: AsyncConnection, shop_id: int) -> list[RowMapping]:
    """All of the shop's endpoints."""
    return list((await connection.execute(shown_endpoints(shop_id))).mappings())


async def endpoint_row(connection: AsyncConnection, shop_id: int, endpoint_id: str) -> RowMapping:
    """One of the shop's endpoints. Raises `WebhookEndpointNotFound`."""
    found = shown_endpoints(shop_id).where(WebhookEndpoint.id == lookup_id(endpoint_id))
    row: RowMapping | None = (await connection.execute(found)).mappings().one_or_none()
    if row is None:
        raise WebhookEndpointNotFound
    return row


def this_endpoint(shop_id: int, endpoint_id: str) -> tuple[Any, ...]:
    """The shop's endpoint of that ID, unless it was removed."""
    return (
        WebhookEndpoint.shop_id == shop_id,
        WebhookEndpoint.id == lookup_id(endpoint_id),
        WebhookEndpoint.deleted_at.is_(None),
    )


def endpoint_response(row: RowMapping) -> EndpointResponse:
    """The endpoint as the API shows it."""
    return EndpointResponse(**endpoint_facts(row))


def endpoint_facts(row: RowMapping) -> dict[str, Any]:
    """The fields of every response about it."""
    fields = EndpointResponse.__struct_fields__
    return {name: row[name] for name in fields if name != "enabled"} | {
        "enabled": row["disabled_at"] is None
    }
