"""Why a job cannot be made, as whoever looks into it says: the job's worker, or a batch.

Codes never change once released.
"""

from backend.jobs.states import Failure

SHOP_NOT_INSTALLED = Failure(code="SHOP_NOT_INSTALLED", message="The shop has removed the app.")
SCOPE_MISSING = Failure(
    code="SCOPE_MISSING", message="The app may not read this shop's products; grant read_products."
)
NO_IMAGE = Failure(
    code="NO_IMAGE", message="The product has no photo as its first media. Add one, then retry."
)
WORKFLOW_RETIRED = Failure(
    code="WORKFLOW_RETIRED",
    message="This workflow is no longer offered; GET /v1/operations tells which are.",
)
UPLOAD_EXPIRED = Failure(
    code="UPLOAD_EXPIRED", message="The uploaded picture is no longer kept. Upload it again."
)
