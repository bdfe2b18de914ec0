"""After a restore from an older dump, later erasures are repeated."""

from datetime import UTC, datetime, timedelta

import pytest

from backend.jobs.service import JobRef
from backend.storage.erasures import ErasureNote, forget_old_notes, note_erasure, noted_erasures
from backend.storage.listing import stored_objects
from backend.worker.erasures import repeat_erasures, repeated
from tests.flows.processes import environment
from tests.running_app import OTHER_SHOP, RunningApp
from tests.scenarios import fingerprint, finished_job, missing_objects

CUSTOMER = "191167"


def note_of(shop: str, ref: JobRef, **changes: object) -> ErasureNote:
    """What the list says of the shop's erasure, or of its customer's."""
    facts: dict[str, object] = {
        "topic": "shop/redact",
        "webhook_id": f"of-{shop}",
        "shop_domain": shop,
        "shop_id": ref.shop_id,
        "requested_at": datetime.now(UTC),
    }
    return ErasureNote(**(facts | changes))  # type: ignore[arg-type]


async def test_a_customer_and_a_shop_restored_from_a_dump_are_erased_again(
    shared_app: RunningApp,
    shop: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    await shared_app.install(OTHER_SHOP)
    theirs, theirs_kept = await finished_job(shared_app, shop=OTHER_SHOP)
    _, theirs_gone = await finished_job(shared_app, shop=OTHER_SHOP, customer_id=CUSTOMER)
    ours, ours_gone = await finished_job(shared_app, shop=shop)
    for note in (
        note_of(OTHER_SHOP, theirs, topic="customers/redact", customer_id=CUSTOMER),
        note_of(shop, ours),
    ):
        await note_erasure(shared_app.handler_context.store, note)
        await note_erasure(shared_app.handler_context.store, note)  # as each try does
    for name, value in environment(shared_app.settings).items():
        monkeypatch.setenv(name, value)
    for _ in range(2):
        await repeat_erasures()
    told = capsys.readouterr().out
    assert f"customer {CUSTOMER} of {OTHER_SHOP}: 1 jobs erased" in told
    assert f"{shop}: 1 jobs and the shop erased" in told
    assert f"{shop}: no data found" in told
    gone = theirs_gone + ours_gone
    assert await missing_objects(shared_app, gone) == gone
    assert await missing_objects(shared_app, theirs_kept) == []
    assert await shared_app.rows("SELECT 1 FROM shops WHERE domain = :d", d=shop) == []


async def test_a_later_installation_is_not_erased_by_an_old_note(
    shared_app: RunningApp, shop: str
) -> None:
    ref, _ = await finished_job(shared_app, shop=shop)
    before = await fingerprint(shared_app, shop)
    assert (
        await repeated(shared_app.handler_context, note_of(shop, ref, shop_id=0)) == "no data found"
    )
    assert await fingerprint(shared_app, shop) == before


async def test_a_shop_reinstalled_after_the_restore_keeps_its_new_data(
    shared_app: RunningApp, shop: str
) -> None:
    old, _ = await finished_job(shared_app, shop=shop)
    since = datetime.now(UTC) + timedelta(milliseconds=1)
    await shared_app.install(shop)
    new, keys = await finished_job(shared_app, shop=shop)
    said = await repeated(shared_app.handler_context, note_of(shop, old, requested_at=since))
    assert said == "the shop has reinstalled; 1 jobs from before that erased"
    assert (await shared_app.detail(old.public_id, shop=shop)).status_code == 404
    assert (await shared_app.detail(new.public_id, shop=shop)).status_code == 200
    assert await missing_objects(shared_app, keys) == []


async def test_erasure_notes_are_invisible_to_the_sweep_and_expire(
    shared_app: RunningApp, shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref, _ = await finished_job(shared_app, shop=shop)
    await note_erasure(shared_app.handler_context.store, note_of(shop, ref))
    seen = [stored.key async for stored in stored_objects(shared_app.handler_context.store)]
    assert seen and not [key for key in seen if key.startswith("erasures/")]
    assert await forget_old_notes(shared_app.handler_context.store) == 0
    monkeypatch.setattr("backend.storage.erasures.MAX_DUMP_AGE", timedelta(days=-1))
    assert await forget_old_notes(shared_app.handler_context.store) > 0
    assert [note async for note in noted_erasures(shared_app.handler_context.store)] == []
