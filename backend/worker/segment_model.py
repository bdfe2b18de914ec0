"""Whether the workers have the model that finds the product in a photo."""

from pathlib import Path

import structlog

from backend.imaging.weights import read_weights

log = structlog.get_logger(__name__)


def warn_without_model(path: Path) -> None:
    """Log that photos are cut out without the model, unless its weights are at that path."""
    if read_weights(path) is None:
        log.warning(
            "segment_model_missing",
            path=str(path),
            message="There is no such file, or it is not the known model. Cut-outs are worse "
            "without it. Install models.lock as the README says, or set SEGMENT_MODEL_PATH.",
        )
