"""Jobs, publications and batches that end are counted, by how they ended."""

from prometheus_client import REGISTRY

from backend.dev.shopify import ProductRecord
from backend.failures.registry import Failure
from tests.backend.batches.scenarios import expanded_batch, product_gids
from tests.backend.publications.scenarios import publication_request, publish, publishable_job
from tests.running_app import RunningApp
from tests.scenarios import claimed_job, failed_job


def ended(what: str, **labels: str) -> float:
    """How many have ended like that so far."""
    return REGISTRY.get_sample_value(f"atelier_{what}_total", labels) or 0


async def test_a_failed_job_is_counted_by_its_code(shared_app: RunningApp) -> None:
    labels = {"workflow": "CATALOG_IMAGE", "outcome": "failed", "code": "RENDER_CRASHED"}
    before = ended("jobs_ended", **labels)
    await failed_job(shared_app, Failure(code="RENDER_CRASHED", message="It crashed."))
    assert ended("jobs_ended", **labels) == before + 1


async def test_a_cancelled_job_is_counted_as_such(shared_app: RunningApp) -> None:
    labels = {"workflow": "CATALOG_IMAGE", "outcome": "failed", "code": "CANCELLED"}
    before = ended("jobs_ended", **labels)
    job = await claimed_job(shared_app)
    answer = await shared_app.http.post(
        f"/v1/jobs/{job.ref.public_id}/cancel", headers=shared_app.bearer()
    )
    assert answer.status_code == 202, answer.text
    assert ended("jobs_ended", **labels) == before + 1


async def test_a_publication_is_counted(
    shared_app: RunningApp, shop: str, product: ProductRecord
) -> None:
    before = ended("publications_ended", outcome="published", code="")
    ref, digests = await publishable_job(shared_app, shop, product)
    await publish(shared_app, shop, ref, publication_request(digests))
    assert ended("publications_ended", outcome="published", code="") == before + 1


async def test_an_expanded_batch_is_counted(shared_app: RunningApp, shop: str) -> None:
    before = ended("batches_expanded", outcome="expanded", code="")
    await expanded_batch(shared_app, shop, {"product_ids": product_gids(2)})
    assert ended("batches_expanded", outcome="expanded", code="") == before + 1
