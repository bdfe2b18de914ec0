"""A program as a user of the generated Python client writes it."""

import sys

from atelier_client import AuthenticatedClient
from atelier_client.api.batches import post_batch
from atelier_client.api.jobs import get_job
from atelier_client.api.workflows import make_catalog_image
from atelier_client.models.batch_request import BatchRequest
from atelier_client.models.batch_request_parameters import BatchRequestParameters
from atelier_client.models.batch_request_workflow import BatchRequestWorkflow
from atelier_client.models.batch_response import BatchResponse
from atelier_client.models.catalog_image import CatalogImage
from atelier_client.models.job_accepted_response import JobAcceptedResponse
from atelier_client.models.job_detail_response import JobDetailResponse
from atelier_client.models.output import Output
from atelier_client.models.output_format import OutputFormat
from atelier_client.types import Unset

base_url, token, product = sys.argv[1:]
client = AuthenticatedClient(base_url=base_url, token=token)
outputs = [Output(size=1024, format_=OutputFormat.WEBP)]
made = make_catalog_image.sync(
    client=client, body=CatalogImage(product_id=product, outputs=outputs)
)
assert isinstance(made, JobAcceptedResponse), made
job = get_job.sync(made.job_id, client=client)
assert isinstance(job, JobDetailResponse), job
widths: list[int | Unset] = [final.meta.width for final in job.result]
listed = BatchRequest(
    workflow=BatchRequestWorkflow.CATALOG_IMAGE,
    parameters=BatchRequestParameters.from_dict({"margin": 0.1}),
    product_ids=[product],
)
batch = post_batch.sync(client=client, body=listed)
assert isinstance(batch, BatchResponse), batch
print(job.status, len(widths), batch.counts.total)
