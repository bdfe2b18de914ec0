"""Writes `.page/api.d.ts`, the API's types for the page's code."""

import os
from pathlib import Path

from backend.openapi.document import completed_document
from backend.settings import Settings
from backend.shops.token_encryption import generate_key
from tests.page_types.api_types import api_types
from tests.source_tree import ROOT, litestar_app

TARGET = ROOT / ".page" / "api.d.ts"


def main(target: Path = TARGET) -> None:
    """Write the types. Nothing is connected to: the values below are never used."""
    os.environ.update(AWS_ACCESS_KEY_ID="unused", AWS_SECRET_ACCESS_KEY="unused")
    settings = Settings(
        database_url="postgresql://unused",
        s3_bucket="unused",
        shopify_api_key="unused",
        shopify_api_secret="unused",
        token_keys=generate_key(),
    )
    app = litestar_app(settings)
    document = completed_document(app.openapi_schema.to_schema(), app)
    target.parent.mkdir(exist_ok=True)
    target.write_text(api_types(document))


if __name__ == "__main__":
    main()
