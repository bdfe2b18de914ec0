"""What a handler works with, and what it may say when it is done."""

from typing import Literal

import msgspec

from backend.db import Database
from backend.settings import UNLIMITED, Quotas
from backend.shops.admin_api import AdminApi
from backend.storage.objects import ObjectStore

HANDLER_SECONDS = 5.0  # that a handler keeps a worker's place before others have their turn


class HandlerContext(msgspec.Struct, frozen=True, kw_only=True):
    """The services that handlers may use."""

    database: Database
    admin: AdminApi
    store: ObjectStore
    disabled: frozenset[str]  # the workflows that are switched off
    quotas: Quotas = UNLIMITED


class Outcome(msgspec.Struct, frozen=True):
    """How a delivery ended; `note` is kept beside it in the inbox."""

    status: Literal["processed", "ignored", "failed"]
    note: str


def processed(note: str) -> Outcome:
    """It did something, or there was nothing left to do."""
    return Outcome("processed", note)


def ignored(note: str) -> Outcome:
    """It did nothing, for a good reason."""
    return Outcome("ignored", note)
