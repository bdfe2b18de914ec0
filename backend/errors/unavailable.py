"""Temporary failures: 503, with the time after which to retry."""

from collections.abc import Mapping
from http import HTTPStatus

from backend.errors.base import AtelierError


class Unavailable(AtelierError):
    """Retry later. Nothing was stored."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    code = "UNAVAILABLE"
    message = "Temporarily unavailable. Retry shortly."
    headers: Mapping[str, str] = {"Retry-After": "2"}


class DatabaseUnavailable(Unavailable):
    """Postgres does not respond or refuses connections."""

    code = "DATABASE_UNAVAILABLE"
    message = "The database is unavailable; nothing was stored. Retry shortly."


class ShopifyUnavailable(Unavailable):
    """Shopify does not respond, or is throttling us; `wait` is for how long, in seconds.

    `answered` is the HTTP status of Shopify's response, if there was one.
    """

    code = "SHOPIFY_UNAVAILABLE"
    message = "Shopify is not responding. Retry shortly."

    def __init__(
        self, message: str | None = None, *, wait: float | None = None, answered: int | None = None
    ) -> None:
        super().__init__(message)
        self.wait = wait
        self.answered = answered


class ShopifyBusy(ShopifyUnavailable):
    """Shopify throttled the request and did not carry it out."""


class ShopInactive(ShopifyUnavailable):
    """Shopify answers nothing for this shop: it has not paid, is locked, or is closed for now."""


class StorageUnavailable(Unavailable):
    """S3 does not respond or refuses the request."""

    code = "STORAGE_UNAVAILABLE"
    message = "The image storage is not responding. Retry shortly."


class UploadsUnavailable(Unavailable):
    """This process is checking its maximum number of uploads, or the check itself failed."""

    code = "UPLOADS_UNAVAILABLE"
    message = "Too many uploads at the moment. Retry shortly."


class ServerBusy(Unavailable):
    """This process holds its maximum of request body bytes. The body was not read to its end."""

    code = "SERVER_BUSY"
    message = "Too many request bodies are being received at the moment. Retry shortly."
