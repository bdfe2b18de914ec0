"""`atelier reconcile` runs every sweep and reports by kind."""

import pytest

from backend.worker.reconcile import reconcile_all, show_report
from tests.backend.uploads.multipart_forms import row_of, upload_picture
from tests.commands import repairs_by_kind, run_reconcile
from tests.flows.processes import environment
from tests.running_app import RunningApp
from tests.scenarios import finished_job


@pytest.fixture
def env(isolated_app: RunningApp, monkeypatch: pytest.MonkeyPatch) -> None:
    """The app's settings as environment variables."""
    for name, value in environment(isolated_app.settings).items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("env")
async def test_reconcile_repairs_prints_and_records_everything(
    isolated_app: RunningApp, capsys: pytest.CaptureFixture[str]
) -> None:
    await isolated_app.request_job()
    await isolated_app.execute("DELETE FROM queue.pgqueuer")
    await isolated_app.execute("UPDATE jobs SET created_at = now() - interval '2 minutes'")
    await isolated_app.worker_context.store.delete(
        [(await row_of(isolated_app, await upload_picture(isolated_app)))["key"]]
    )
    capsys.readouterr()
    assert await reconcile_all()
    printed = capsys.readouterr()
    assert repairs_by_kind(printed.out)["job_without_queue_entry"] == (1, 1)
    assert "The bucket …" in printed.err
    await show_report()
    assert repairs_by_kind(capsys.readouterr().out) == {
        "job_without_queue_entry": (1, 1),
        "row_without_object": (1, 1),
    }


@pytest.mark.slow
@pytest.mark.usefixtures("env")
async def test_the_exit_code_reports_what_could_not_be_repaired(
    isolated_app: RunningApp,
) -> None:
    _, keys = await finished_job(isolated_app)  # whose pictures nothing can make
    await isolated_app.worker_context.store.delete(keys[:1])
    code, out, err = await run_reconcile()
    assert (code, "Traceback" in err) == (1, False), err
    assert repairs_by_kind(out) == {
        "job_without_queue_entry": (0, 0),
        "delivery_without_queue_entry": (0, 0),
        "publication_without_queue_entry": (0, 0),
        "batch_without_queue_entry": (0, 0),
        "product_without_webhook": (0, 0),
        "unused_upload": (0, 0),
        "object_without_row": (0, 0),
        "row_without_object": (1, 0),
        "expired_intermediate": (0, 0),
        "expired_upload": (0, 0),
        "expired_job": (0, 0),
        "credit_difference": (0, 0),
    }
    assert ("object_lost" in err, keys[0] in err) == (True, False)


async def test_help_explains_the_options() -> None:
    code, out, _ = await run_reconcile("--help")
    assert (code, "--report" in out, "--force" in out) == (0, True, True)
