"""The fewest parameters that each workflow accepts."""

from typing import Any

UNKNOWN_UPLOAD = "upl_" + "0" * 32
MINIMAL_PARAMETERS: dict[str, dict[str, Any]] = {
    "catalog-image": {},
    "product-to-model-direct": {"category": "top"},
    "background-swap-with-image": {"background_upload_key": UNKNOWN_UPLOAD},
    "background-swap-with-spec": {"scene_type": "studio"},
}
