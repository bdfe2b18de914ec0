"""Sweeps of the bucket in which every object is old, and unreferenced objects."""

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from backend.storage.listing import StoredObject, stored_objects
from backend.worker import bucket_sweep
from backend.worker.bucket_sweep import SweepLimits, sweep_bucket
from tests.running_app import RunningApp

HOUR_AHEAD = timedelta(hours=-1)  # whatever is in the bucket now is older than that


async def put_unreferenced_object(running_app: RunningApp, key: str | None = None) -> str:
    """An object that no row names; its key."""
    key = key or f"artifacts/{secrets.token_hex(16)}"
    await running_app.worker_context.store.put(key, b"stray", content_type="image/png")
    return key


async def run_sweep(
    running_app: RunningApp, **terms: Any
) -> tuple[tuple[int, int], tuple[int, int]]:
    """A pass over a bucket in which all is old: objects and rows, found and repaired."""
    terms = {"settled": HOUR_AHEAD, **terms}
    tallies = await sweep_bucket(
        running_app.settings, running_app.worker_context, terms=SweepLimits(**terms)
    )
    objects, rows = tallies["object_without_row"], tallies["row_without_object"]
    return (objects.found, objects.repaired), (rows.found, rows.repaired)


def during_listing(
    monkeypatch: pytest.MonkeyPatch, happening: Callable[[int], Awaitable[None]]
) -> None:
    """Have something happen, told how many have been listed, before each object of a listing."""

    async def listing(*arguments: Any, **how: Any) -> AsyncIterator[StoredObject]:
        listed = 0
        await happening(listed)
        async for each in stored_objects(*arguments, **how):
            yield each
            listed += 1
            await happening(listed)

    monkeypatch.setattr(bucket_sweep, "stored_objects", listing)
