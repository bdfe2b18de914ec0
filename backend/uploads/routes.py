"""`POST /v1/uploads`: an input image for jobs."""

from dataclasses import dataclass
from typing import Any

from litestar import Request, Router, post
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.spec import (
    OpenAPIFormat,
    OpenAPIMediaType,
    OpenAPIType,
    Operation,
    RequestBody,
    Schema,
)
from litestar.types import Guard

from backend.auth.merchant import Merchant
from backend.db import Database
from backend.errors import (
    BadRequest,
    BodyTooLarge,
    ImageAnimated,
    ImageCorrupt,
    ImageTooComplex,
    ImageTooLarge,
    ImageTooSmall,
    ImageTypeUnsupported,
    InvalidRequest,
    StorageQuotaReached,
    StorageUnavailable,
    UnsupportedMedia,
    UploadsUnavailable,
)
from backend.openapi_responses import OF_A_SHOP, documented
from backend.settings import Quotas
from backend.storage.keys import content_type_of
from backend.storage.objects import ObjectStore
from backend.storage.presign import Presigner
from backend.uploads.client_disconnect import while_connected
from backend.uploads.form import MAX_UPLOAD_BODY_BYTES, PART_NAME, sent_file
from backend.uploads.image_sanitizer import ImageSanitizer
from backend.uploads.schemas import UploadResponse
from backend.uploads.service import receiving_shop, store_upload

UPLOADING = documented(
    UploadResponse,
    *OF_A_SHOP,
    BadRequest,
    BodyTooLarge,
    ImageTooLarge,
    UnsupportedMedia,
    ImageTypeUnsupported,
    InvalidRequest,
    ImageTooSmall,
    ImageAnimated,
    ImageCorrupt,
    ImageTooComplex,
    StorageQuotaReached,
    StorageUnavailable,
    UploadsUnavailable,
    status=201,
)


@dataclass
class Uploading(Operation):
    """Documents the form, which the route parses itself as a stream."""

    def __post_init__(self) -> None:
        picture = Schema(
            type=OpenAPIType.STRING,
            format=OpenAPIFormat.BINARY,  # of OpenAPI 3.0; most generators still need it
            content_media_type="image/*",
            description="JPEG, PNG, WebP, AVIF, a still GIF, or a TIFF of one page, up to 25 MB; "
            "HEIC if the server has a decoder for it.",
        )
        form = Schema(
            type=OpenAPIType.OBJECT,
            properties={PART_NAME: picture},
            required=[PART_NAME],
            additional_properties=False,
        )
        self.request_body = RequestBody(
            {"multipart/form-data": OpenAPIMediaType(form)}, required=True
        )


def uploading_route(quotas: Quotas) -> HTTPRouteHandler:
    """The route that receives images."""

    @post(
        "/",
        request_max_body_size=MAX_UPLOAD_BODY_BYTES,
        operation_class=Uploading,
        responses=UPLOADING,
        spooled_body=True,
    )
    async def post_upload(
        *,
        request: Request[Merchant, Any, Any],
        database: NamedDependency[Database],
        store: NamedDependency[ObjectStore],
        presigner: NamedDependency[Presigner],
        image_sanitizer: NamedDependency[ImageSanitizer],
    ) -> UploadResponse:
        """Upload an image for later jobs."""
        shop = request.auth.shop
        shop_id = await receiving_shop(database, shop, quotas)
        with image_sanitizer.counted(shop):
            async with sent_file(request) as file:
                with image_sanitizer.slot():
                    picture = await while_connected(request, image_sanitizer.sanitize(file))
                    upload = await store_upload(
                        database, store, shop=shop, shop_id=shop_id, picture=picture
                    )
        signed = presigner.sign(upload.key, content_type_of(upload.key))
        return UploadResponse(upload_key=upload.upload_key, image_url=signed.url)

    return post_upload


def uploads_router(guard: Guard, quotas: Quotas) -> Router:
    """The route, protected by `guard`."""
    handlers = [uploading_route(quotas)]
    return Router("/v1/uploads", route_handlers=handlers, guards=[guard], tags=["Uploads"])
