"""`/v1/catalog/{kind}`: generated models, backgrounds and garments that jobs use by their ID."""

from typing import Annotated, Any, Literal

from litestar import Response, Router, get, patch, post
from litestar.di import NamedDependency
from litestar.params import JSONBody, PathParameter, QueryParameter
from litestar.types import Guard

from backend.catalog.models import CatalogKind
from backend.db import Database
from backend.errors import InvalidRequest, ResourceNotFound, RouteNotFound
from backend.gallery.catalog_entries import (
    CatalogListRequest,
    archive_entry,
    catalog_entry,
    catalog_page,
    rename_entry,
    restore_entry,
)
from backend.gallery.catalog_schemas import (
    CatalogEntryChange,
    CatalogEntryResponse,
    CatalogListResponse,
)
from backend.jobs.creation_routes import OF_A_BODY
from backend.jobs.ids import PATTERN
from backend.jobs.paging import link, require_given
from backend.jobs.routes import MerchantRequest
from backend.openapi_responses import OF_A_SHOP, documented
from backend.storage.presign import Presigner

# Documented but not enforced, like every ID: another word answers like any unknown path.
KindOfEntry = Annotated[
    str,
    PathParameter(description="What it shows.", schema_extra={"enum": list(CatalogKind)}),
]
EntryId = Annotated[
    str, PathParameter(description="The entry's ID, a ULID.", schema_extra={"pattern": PATTERN})
]
Archived = Annotated[
    Literal["true", "false"], QueryParameter(description="`true`: only archived entries.")
]
EntryLimit = Annotated[int, QueryParameter(ge=1, le=100)]
EntryCursor = Annotated[str | None, QueryParameter(pattern=PATTERN, description="From `Link`.")]

OF_AN_ENTRY = (*OF_A_SHOP, RouteNotFound, ResourceNotFound)
ENTRY_LIST_RESPONSES = documented(
    CatalogListResponse, *OF_A_SHOP, RouteNotFound, InvalidRequest, sometimes=("Link",)
)
ENTRY_RESPONSES = documented(CatalogEntryResponse, *OF_AN_ENTRY)
ENTRY_CHANGE_RESPONSES = documented(CatalogEntryResponse, *OF_AN_ENTRY, *OF_A_BODY)


@get("/{kind:str}", summary="List catalog entries", responses=ENTRY_LIST_RESPONSES)
async def list_catalog(
    *,
    request: MerchantRequest,
    kind: KindOfEntry,
    database: NamedDependency[Database],
    presigner: NamedDependency[Presigner],
    archived: Archived = "false",
    limit: EntryLimit = 24,
    cursor: EntryCursor = None,
) -> Response[CatalogListResponse]:
    """The shop's entries of that kind, newest first."""
    wanted = CatalogListRequest(archived=archived, limit=limit, cursor=cursor)
    require_given(request.query_params, wanted)
    async with database.reading(request.auth.shop) as connection:
        following, body = await catalog_page(
            connection,
            presigner,
            kind_named(kind),
            shop_domain=request.auth.shop,
            wanted=wanted,
        )
    return Response(body, headers=link(request.url.path, following))


@get("/{kind:str}/{public_id:str}", summary="Get catalog entry", responses=ENTRY_RESPONSES)
async def get_catalog_entry(
    request: MerchantRequest,
    kind: KindOfEntry,
    public_id: EntryId,
    database: NamedDependency[Database],
    presigner: NamedDependency[Presigner],
) -> CatalogEntryResponse:
    """One entry, archived or not."""
    entry: dict[str, Any] = {"shop_domain": request.auth.shop, "public_id": public_id}
    async with database.reading(request.auth.shop) as connection:
        return await catalog_entry(connection, presigner, kind_named(kind), **entry)


@patch(
    "/{kind:str}/{public_id:str}", summary="Rename catalog entry", responses=ENTRY_CHANGE_RESPONSES
)
async def patch_catalog_entry(
    *,
    request: MerchantRequest,
    kind: KindOfEntry,
    public_id: EntryId,
    data: JSONBody[CatalogEntryChange],
    database: NamedDependency[Database],
    presigner: NamedDependency[Presigner],
) -> CatalogEntryResponse:
    """Change the entry's name."""
    entry: dict[str, Any] = {"shop_domain": request.auth.shop, "public_id": public_id}
    async with database.transaction(request.auth.shop) as connection:
        await rename_entry(connection, kind_named(kind), **entry, name=data.name)
        return await catalog_entry(connection, presigner, kind_named(kind), **entry)


@post(
    "/{kind:str}/{public_id:str}/archive",
    status_code=200,
    summary="Archive catalog entry",
    responses=ENTRY_RESPONSES,
)
async def post_catalog_archive(
    request: MerchantRequest,
    kind: KindOfEntry,
    public_id: EntryId,
    database: NamedDependency[Database],
    presigner: NamedDependency[Presigner],
) -> CatalogEntryResponse:
    """Hide the entry; no job can use it any more. Safe to repeat.

    Retention may then delete it with its job.
    """
    entry: dict[str, Any] = {"shop_domain": request.auth.shop, "public_id": public_id}
    async with database.transaction(request.auth.shop) as connection:
        await archive_entry(connection, kind_named(kind), **entry)
        return await catalog_entry(connection, presigner, kind_named(kind), **entry)


@post(
    "/{kind:str}/{public_id:str}/restore",
    status_code=200,
    summary="Restore catalog entry",
    responses=ENTRY_RESPONSES,
)
async def post_catalog_restore(
    request: MerchantRequest,
    kind: KindOfEntry,
    public_id: EntryId,
    database: NamedDependency[Database],
    presigner: NamedDependency[Presigner],
) -> CatalogEntryResponse:
    """Make an archived entry usable again. Safe to repeat."""
    entry: dict[str, Any] = {"shop_domain": request.auth.shop, "public_id": public_id}
    async with database.transaction(request.auth.shop) as connection:
        await restore_entry(connection, kind_named(kind), **entry)
        return await catalog_entry(connection, presigner, kind_named(kind), **entry)


def kind_named(text: str) -> CatalogKind:
    """The kind of that name. Raises `RouteNotFound`."""
    if text not in set(CatalogKind):
        raise RouteNotFound
    return CatalogKind(text)


def catalog_router(guard: Guard) -> Router:
    """The routes, protected by `guard`."""
    handlers: list[Any] = [
        list_catalog,
        get_catalog_entry,
        patch_catalog_entry,
        post_catalog_archive,
        post_catalog_restore,
    ]
    return Router("/v1/catalog", route_handlers=handlers, guards=[guard], tags=["Catalog"])
