"""The published shape of a job's detail."""

import json
import re
from pathlib import Path
from typing import Any

import jsonschema

from tests.running_app import RunningApp

FORMATS = jsonschema.FormatChecker(formats=[])
SCHEMA = json.loads((Path(__file__).parent / "job_detail.schema.json").read_text())


JOB_DETAIL = jsonschema.Draft202012Validator(SCHEMA, format_checker=FORMATS)


def assert_no_storage_names(running_app: RunningApp, body: Any) -> None:
    """No key and no bucket anywhere, but for the presigned URLs that need them."""
    for path, value in leaves(body):
        assert not re.search(r"(^|_)(key|bucket)$", path[-1]), path
        if not path[-1].endswith("image_url"):
            assert "artifacts/" not in str(value), path
            assert running_app.settings.s3_bucket not in str(value), path


def leaves(value: Any, path: tuple[str, ...] = ("",)) -> list[tuple[tuple[str, ...], Any]]:
    """Every scalar in a JSON value, with the names that lead to it."""
    if isinstance(value, dict):
        return [leaf for name, each in value.items() for leaf in leaves(each, (*path, name))]
    if isinstance(value, list):
        return [leaf for each in value for leaf in leaves(each, path)]
    return [(path, value)]
