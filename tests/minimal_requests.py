"""The fewest parameters that each workflow accepts."""

from typing import Any

UNKNOWN_UPLOAD = "upl_" + "0" * 32
UNKNOWN_ENTRY = "0" * 26
MINIMAL_PARAMETERS: dict[str, dict[str, Any]] = {
    "catalog-image": {},
    "product-to-model-direct": {"category": "top"},
    "background-swap-with-image": {"background_upload_key": UNKNOWN_UPLOAD},
    "background-swap-with-spec": {"scene_type": "studio"},
    "product-to-model-phased": {},
    "try-on": {"model_id": UNKNOWN_ENTRY},
    "look": {"model_id": UNKNOWN_ENTRY, "garment_2_upload_key": UNKNOWN_UPLOAD},
    "extract": {},
    "model-swap-with-image": {"model_id": UNKNOWN_ENTRY},
    "model-generator": {},
    "background-generator": {},
    "complementary-garment-generator": {"category": "shoes"},
}
