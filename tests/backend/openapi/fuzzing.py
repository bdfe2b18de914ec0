"""Check a running app against its own OpenAPI document with schemathesis."""

import hashlib
import re
from typing import Any

import msgspec
import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import from_schema
from schemathesis.engine.events import NonFatalError, ScenarioFinished

from tests.backend.openapi.credentials import Sign

Document = dict[str, Any]

UPLOAD_KEY = re.compile(rb"upl_[0-9a-f]{32}(?=\")")
LONG_WAIT = re.compile(r"(?<=[?&]wait=)([2-9]|1[0-9]|2[0-5])(?=&|$)")
OFFSET_BESIDE_CURSOR = re.compile(r"offset=[0-9]+&?(?=.*cursor=)|(?<=cursor=)(.*)&offset=[0-9]+")


class Findings(msgspec.Struct, kw_only=True):
    """What came of a run."""

    requests: int = 0
    faults: list[str] = []


def fuzz(
    document: Document, *, base_url: str, sign: Sign, paths: str, upload_key: str, examples: int
) -> Findings:
    """What comes of whatever schemathesis can think of, on the paths that match."""
    config = SchemathesisConfig.from_dict(settings(base_url, examples))
    part = {path: item for path, item in document["paths"].items() if re.search(paths, path)}
    schema = schemathesis.openapi.from_dict({**document, "paths": part}, config=config)
    schema.auth.set_from_requests(
        lambda request: sign(possible(request, upload_key.encode()))  # type: ignore[arg-type]
    )
    findings = Findings()
    for event in from_schema(schema).execute():
        if isinstance(event, NonFatalError):
            findings.faults.append(f"{event.label}: {event.value!r}")
        if isinstance(event, ScenarioFinished):
            findings.requests += len(event.recorder.interactions)
            findings.faults += failures(event)
    return findings


def settings(base_url: str, examples: int) -> Document:
    """All checks, every phase for single requests, and the same requests each time."""
    return {
        "seed": 1,
        "base-url": base_url,
        "generation": {
            "deterministic": True,
            "max-examples": examples,
            "no-shrink": True,
            "with-security-parameters": False,
            "database": "none",
        },
        "phases": {"stateful": {"enabled": False}},
        "operations": [
            {
                # What a picture is, and how large, no schema can say.
                "include-path": "/v1/uploads",
                "checks": {"positive_data_acceptance": {"expected-statuses": [201, 415, 422]}},
            },
            {
                # Nor what each workflow takes for its parameters, and whether it has an engine.
                "include-path": "/v1/batches",
                "checks": {"positive_data_acceptance": {"expected-statuses": ["2xx", 409, 422]}},
            },
            {
                # Nor which entries the catalog has, and that a photo which is no product's needs a
                # category.
                "include-path": ["/v1/background-swap-with-image", "/v1/product-to-model-direct"],
                "checks": {"positive_data_acceptance": {"expected-statuses": ["2xx", 422]}},
            },
            {
                # Nor where events may be sent.
                "include-path": ["/v1/webhook-endpoints", "/v1/webhook-endpoints/{public_id}"],
                "checks": {
                    "positive_data_acceptance": {"expected-statuses": ["2xx", 404, 409, 422]}
                },
            },
            {
                # Nor what the repeated job's workflow takes.
                "include-path": "/v1/jobs/{public_id}/rerun",
                "checks": {
                    "positive_data_acceptance": {"expected-statuses": ["2xx", 403, 404, 409, 422]}
                },
            },
            {
                # Nor which version of the settings there is, which characters can be kept, and
                # what the rules cost.
                "include-path": "/v1/settings",
                "checks": {
                    "positive_data_acceptance": {"expected-statuses": ["2xx", 409, 412, 422]}
                },
            },
            {
                # Nor that each kind of list has cursors of its own.
                "include-path": "/v1/transactions",
                "checks": {"positive_data_acceptance": {"expected-statuses": ["2xx", 422]}},
            },
            {
                # Nor what is a final artifact of that very job.
                "include-path": "/v1/jobs/{public_id}/publication",
                "checks": {
                    "positive_data_acceptance": {"expected-statuses": ["2xx", 404, 409, 422]}
                },
            },
        ],
    }


def possible(request: Any, upload_key: bytes) -> Any:
    """The request with what no schema can ask for.

    An upload that exists, a key of its own for each body, and a cursor without an offset. And
    nobody waits for long.
    """
    request.url = LONG_WAIT.sub("0", OFFSET_BESIDE_CURSOR.sub(r"\1", request.url))
    if request.body and request.headers.get("Content-Type") == "application/json":
        body = request.body.encode() if isinstance(request.body, str) else request.body
        request.prepare_body(UPLOAD_KEY.sub(upload_key, body), None)
        if 1 <= len(request.headers.get("Idempotency-Key", "")) <= 255:
            request.headers["Idempotency-Key"] = hashlib.sha256(request.body).hexdigest()
    return request


def failures(event: ScenarioFinished) -> list[str]:
    """Each check that failed."""
    return [
        told(event, case_id, check)
        for case_id, checks in event.recorder.checks.items()
        for check in checks
        if check.failure_info is not None
    ]


def told(event: Any, case_id: str, check: Any) -> str:
    """A failed check: which, why, and what was asked and answered."""
    exchange = event.recorder.interactions[case_id]
    answer = exchange.response and (exchange.response.status_code, exchange.response.content)
    return (
        f"{event.phase.value} {check.name}: {check.failure_info.failure!r}\n"
        f"    {exchange.request.method} {exchange.request.uri} {exchange.request.body!r}\n"
        f"    {answer}"
    )
