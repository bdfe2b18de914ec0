"""The failure codes: defined in one place, used, and documented; `docs/errors.md` is current."""

import ast
import json
import re

import msgspec
import pytest

from backend.batches.failures import MAX_PRODUCTS
from backend.batches.schemas import BatchError
from backend.failures import codes, images
from backend.failures.registry import DEFINITIONS, Failed, Failure, Noun, codes_of, define
from backend.http_protocol import TOO_LARGE_CODE as HEADERS_TOO_LARGE
from backend.jobs.schemas import JobEventResponse
from backend.openapi.errors_page import ADVICE, api_errors, errors_page
from backend.openapi.examples import ERRORS, FOLDER
from backend.publications.schemas import PublicationError
from backend.retries import JOBS
from backend.worker.reauth import MAX_REAUTH_WAIT
from tests.source_tree import ROOT, product_modules

CONSTANTS = {
    name: each for name, each in (vars(codes) | vars(images)).items() if isinstance(each, Failure)
}


def test_the_page_of_errors_is_current() -> None:
    assert (ROOT / "docs" / "errors.md").read_text() == errors_page(), "run make errors"


def test_the_page_has_every_code_once() -> None:
    listed = re.findall(r"^\| `([A-Z_]+)` \|", errors_page(), re.MULTILINE)
    assert listed == [*sorted(api_errors()), HEADERS_TOO_LARGE, *sorted(DEFINITIONS)]


def test_every_error_of_the_api_has_advice() -> None:
    assert set(ADVICE) == {*api_errors(), HEADERS_TOO_LARGE}


def test_recorded_errors_have_known_codes() -> None:
    assert set(json.loads((FOLDER / f"{ERRORS}.json").read_text())) <= set(ADVICE)


def test_only_the_registry_makes_failures() -> None:
    assert {path for path, tree in product_modules() if makes(tree)} == {
        "backend/failures/registry.py"
    }
    assert makes(ast.parse("from x import y\nF = registry.Failure(code='X', message='X.')"))


def test_every_failure_is_used() -> None:
    used = {
        node.attr if isinstance(node, ast.Attribute) else node.id
        for path, tree in product_modules()
        if not path.startswith("backend/failures/")
        for node in ast.walk(tree)
        if isinstance(node, ast.Name | ast.Attribute)
    }
    assert set(CONSTANTS) - used == set()


@pytest.mark.parametrize("failure", CONSTANTS.values(), ids=CONSTANTS)
def test_a_failure_is_well_formed(failure: Failure) -> None:
    defined = DEFINITIONS[failure.code]
    assert re.fullmatch(r"[A-Z]+(_[A-Z]+)*", failure.code)
    assert failure.message in defined.messages
    assert failure.retryable is defined.retryable
    assert defined.nouns
    for sentence in (failure.message, defined.advice):
        assert re.fullmatch(r"[A-Z].*\.", sentence)
        assert "|" not in sentence, "it would split the page's table"


def test_messages_name_the_limits_that_hold() -> None:
    assert f"{MAX_PRODUCTS:,} products" in codes.BATCH_TOO_LARGE.message
    assert f"{MAX_REAUTH_WAIT.days} days" in codes.REAUTH_NEEDED.message
    assert JOBS.crashes == 3, "WORKER_CRASHED says so in words"


def test_a_code_is_defined_once() -> None:
    with pytest.raises(AssertionError):
        define("NO_IMAGE", "Again.", Noun.JOB, advice="None.")


def test_a_failure_takes_the_words_of_its_case() -> None:
    failed = Failed(images.IMAGE_TOO_LARGE.with_message("30 MB are too many."))
    assert failed.code == images.IMAGE_TOO_LARGE.code
    assert msgspec.to_builtins(failed.failure) == {
        "code": "IMAGE_TOO_LARGE",
        "message": "30 MB are too many.",
        "retryable": False,
    }


def test_the_description_of_the_api_lists_the_codes_of_each_noun() -> None:
    kinds = [BatchError, PublicationError, JobEventResponse]
    _, schemas = msgspec.json.schema_components(kinds)
    error = schemas["JobEventResponse"]["properties"]["extra"]["properties"]["error"]
    of_jobs = error["properties"]["code"]["enum"]
    of_batches = schemas["BatchError"]["properties"]["code"]["enum"]
    of_publications = schemas["PublicationError"]["properties"]["code"]["enum"]
    assert {"IMAGE_CORRUPT", "CANCELLED"} <= set(of_jobs)
    assert set(of_batches) == {*of_jobs, *codes_of(Noun.BATCH)}
    assert set(of_publications) == set(codes_of(Noun.PUBLICATION))
    assert {*of_jobs, *of_batches, *of_publications} == set(DEFINITIONS)


def makes(tree: ast.AST) -> bool:
    """Whether there is a `Failure(…)`."""
    return any(
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name | ast.Attribute)
        and ast.unparse(node.func).split(".")[-1] == "Failure"
        for node in ast.walk(tree)
    )
