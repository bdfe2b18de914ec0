"""Why a job, a publication or a batch failed.

All codes are loaded with the package: `codes_of` and the API's description list each of them.
"""

from backend.failures import codes, images

__all__ = ["codes", "images"]
