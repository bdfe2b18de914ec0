"""The document's examples are answers of a real Atelier, and those of today still look like them.

`make examples` records them anew, with a job whose pictures are really made. Here nothing is
rendered, so what pixels decide (`meta`, `extra`) is compared by name alone.
"""

import json
import re
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest

from backend.openapi.examples import ERRORS, FOLDER
from tests.backend.openapi.conformance import Document, assert_valid, operations
from tests.backend.openapi.one_job import RECORD
from tests.backend.openapi.sample_requests import ELSEWHERE, Answers, further_refusals
from tests.running_app import GARMENTS, RunningApp

pytestmark = pytest.mark.slow

OPEN = {"meta", "extra"}
PICTURES = "pictures.example"
ADMIN = "admin.shopify.com"
RECEIVER = "hooks.example.com"  # of webhooks
SIGNATURE = re.compile(r"(?<=X-Amz-Signature=)[0-9a-f]+")
CREDENTIAL = re.compile(r"(?<=X-Amz-Credential=)[^%]+")

Examples = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
async def live(shared_app: RunningApp, found: Answers, one_job: Examples) -> Examples:
    """Today's answers, by the file that has the recorded ones; and recorded, if that is wanted."""
    examples = by_file(found)
    for answer in await further_refusals(shared_app):
        examples[ERRORS][answer.json()["error"]["code"]] = answer.json()
    examples |= one_job
    examples |= await of_an_upload(shared_app) if RECORD else {}
    if RECORD:
        for name, answers in examples.items():
            text = json.dumps(scrubbed(dict(sorted(answers.items()))), indent=2, ensure_ascii=False)
            (FOLDER / f"{name}.json").write_text(text + "\n")
    return examples


def by_file(found: Answers) -> Examples:
    """The successes by operation, the errors by code."""
    examples: Examples = {ERRORS: {}}
    for (name, status), answer in sorted(found.items(), key=lambda item: item[0]):
        if answer.is_error:
            body = answer.json()
            examples[ERRORS].setdefault(body["error"]["code"], body)
        elif answer.content:
            examples.setdefault(name, {})[str(status)] = answer.json()
    return examples


async def of_an_upload(shared_app: RunningApp) -> Examples:
    """What is answered to a picture; it is painted anew, so only when it is recorded."""
    picture = {"file": (GARMENTS / "tee_navy.jpg").read_bytes()}
    answer = await shared_app.http.post("/v1/uploads", files=picture, headers=shared_app.bearer())
    return {"post_upload": {"201": answer.json()}}


def scrubbed(value: Any, name: str = "") -> Any:
    """The answer with no host and no signature of this machine's in its URLs."""
    if isinstance(value, dict):
        return {key: scrubbed(each, key) for key, each in value.items()}
    if isinstance(value, list):
        return [scrubbed(each) for each in value]
    if name == "confirmation_url":
        return urlunsplit(urlsplit(value)._replace(scheme="https", netloc=ADMIN))
    if not name.endswith("image_url"):
        return value
    parts = urlsplit(value)
    query = CREDENTIAL.sub("EXAMPLE", SIGNATURE.sub("0" * 64, parts.query))
    return urlunsplit(parts._replace(scheme="https", netloc=PICTURES, query=query))


def recorded_examples() -> Examples:
    """Every file of examples."""
    return {file.stem: json.loads(file.read_text()) for file in FOLDER.glob("*.json")}


def shape(value: Any, name: str = "") -> Any:
    """The keys of a value, and theirs; of a list's items, those of the first."""
    if name in OPEN or not isinstance(value, dict | list):
        return ...
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return {key: shape(each, key) for key, each in value.items()}


async def test_every_response_with_a_body_has_an_example(live: Examples) -> None:
    names = {name: set(answers) for name, answers in live.items()}
    elsewhere = {name: {str(status)} for name, status in ELSEWHERE if status < 400}
    assert {
        name: set(answers) for name, answers in recorded_examples().items()
    } == names | elsewhere


async def test_current_responses_look_like_the_recorded_examples(live: Examples) -> None:
    stored = recorded_examples()
    for name, answers in live.items():
        for about, answer in answers.items():
            assert shape(answer) == shape(stored[name][about]), (name, about)


def test_every_example_is_valid(document: Document) -> None:
    checked = 0
    for _, _, operation in operations(document):
        for answer in operation["responses"].values():
            for content in answer.get("content", {}).values():
                for example in content.get("examples", {}).values():
                    assert_valid(document, content["schema"], example["value"])
                    checked += 1
    assert checked > 50


def test_examples_contain_no_key_or_real_host() -> None:
    text = "".join(file.read_text() for file in FOLDER.glob("*.json"))
    assert set(re.findall(r"https?://([^/\"]+)", text)) == {PICTURES, ADMIN, RECEIVER}
    assert set(re.findall(r"X-Amz-Signature=([^&\"]+)", text)) == {"0" * 64}
    assert set(re.findall(r"X-Amz-Credential=(\w+)", text)) == {"EXAMPLE"}
