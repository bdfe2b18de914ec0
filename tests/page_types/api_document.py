"""The API's description, of an app that is connected to nothing."""

import os
from typing import Any

from backend.openapi.document import completed_document
from backend.settings import Settings
from backend.shops.token_encryption import generate_key
from tests.source_tree import litestar_app


def api_document() -> dict[str, Any]:
    """The document. The values below are never used."""
    os.environ.setdefault("AWS_ACCESS_KEY_ID", "unused")
    os.environ.setdefault("AWS_SECRET_ACCESS_KEY", "unused")
    settings = Settings(
        database_url="postgresql://unused",
        s3_bucket="unused",
        shopify_api_key="unused",
        shopify_api_secret="unused",
        token_keys=generate_key(),
    )
    app = litestar_app(settings)
    return completed_document(app.openapi_schema.to_schema(), app)
