"""A worker says that it has no model: cut-outs without it look worse, and nothing else tells."""

from pathlib import Path

import structlog

from backend.settings import MODEL_PATH
from backend.worker.segment_model import warn_without_model


def test_a_missing_or_another_model_is_logged_with_its_path(tmp_path: Path) -> None:
    other = tmp_path / "other.onnx"
    other.write_bytes(b"half a download")
    for path in (tmp_path / "absent.onnx", other, tmp_path):
        with structlog.testing.capture_logs() as lines:
            warn_without_model(path)
        assert [(line["event"], line["path"]) for line in lines] == [
            ("segment_model_missing", str(path))
        ]


def test_the_known_model_is_nothing_to_log() -> None:
    with structlog.testing.capture_logs() as lines:
        warn_without_model(MODEL_PATH)
    assert lines == []
