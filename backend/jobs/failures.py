"""Why the photo of a job cannot be had, as whoever looks for it says: the job's worker, or a batch.

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
