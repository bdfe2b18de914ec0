"""What the stand-in takes and refuses as FASHN, by FASHN's documentation."""

import base64
import io

import httpx
import numpy as np
import pytest
from PIL import Image

from tests.backend.dev.providers.conftest import GARMENT_URL, TRY_ON, jpeg
from tests.wait import wait_until

pytestmark = pytest.mark.slow


async def test_a_request_is_accepted_worked_on_and_delivered(account, around):
    accepted = await account.run()
    assert accepted.json() == {"id": account.provider.predictions[0].id, "error": None}
    prediction = await account.ended()
    status = await account.status(prediction.id)
    assert status.headers["x-fashn-credits-used"] == "1"
    body = status.json()
    assert (body["id"], body["status"], body["error"]) == (prediction.id, "completed", None)
    output = await account.http.get(body["output"][0])
    assert output.headers["Content-Type"] == "image/png"
    assert Image.open(io.BytesIO(output.content)).size == (864, 1296)
    await wait_until(lambda: around.received)
    assert around.received[0].read() == status.content


async def test_the_picture_shows_the_garment_and_says_that_it_is_a_stand_in(account):
    await account.run("product-to-model", product_image=GARMENT_URL, output_format="jpeg")
    (file,) = (await account.ended()).files
    pixels = np.asarray(Image.open(io.BytesIO(file.content))).astype(int)
    assert abs(pixels[500, 432] - (0, 0, 128)).max() < 20, "the garment is not on the figure"
    assert abs(pixels[3, 3] - (170, 20, 60)).max() < 20, "no band for the words STAND-IN"


async def test_a_data_uri_is_an_image_too_and_base64_an_output(account):
    uri = f"data:image/jpeg;base64,{base64.b64encode(jpeg()).decode()}"
    await account.run("packshot", product_image=uri, return_base64=True, num_images=2)
    prediction = await account.ended()
    assert prediction.error is None
    output = (await account.status(prediction.id)).json()["output"]
    assert [each.partition(",")[0] for each in output] == ["data:image/png;base64"] * 2


async def test_a_picture_has_the_aspect_ratio_that_was_asked_for(account):
    await account.run("product-to-model", product_image=GARMENT_URL, aspect_ratio="4:5")
    (file,) = (await account.ended()).files
    assert Image.open(io.BytesIO(file.content)).size == (file.width, file.height) == (916, 1145)


async def test_a_request_waits_while_the_queue_is_held(account):
    account.provider.hold()
    prediction_id = (await account.run()).json()["id"]
    body = (await account.status(prediction_id)).json()
    assert (body["status"], body["output"]) == ("in_queue", None)
    account.provider.release()
    assert (await account.ended()).status == "done"


@pytest.mark.parametrize(
    "headers", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "Key fa-stand-in"}]
)
async def test_another_key_is_refused(account, headers):
    account.fashn = headers
    for answer in (await account.run(), await account.status("x")):
        assert answer.status_code == 401
        assert answer.json()["error"] == "UnauthorizedAccess"
    assert account.provider.predictions == []


@pytest.mark.parametrize(
    ("model", "inputs"),
    [
        ("tryon-v9", TRY_ON),
        ("tryon-v1.6", {"model_image": GARMENT_URL}),
        ("tryon-v1.6", {**TRY_ON, "prompt": "nice"}),
        ("tryon-v1.6", {**TRY_ON, "num_samples": 5}),
        ("tryon-v1.6", {**TRY_ON, "category": "hats"}),
        ("product-to-model", {"product_image": 7}),
    ],
)
async def test_a_model_or_an_input_that_it_does_not_know_is_refused(account, model, inputs):
    answer = await account.run(model, **inputs)
    assert answer.status_code == 400
    assert answer.json()["error"] == "BadRequest"


async def test_a_wrong_method_or_path_is_refused(account):
    assert (await account.http.get("/v1/run", headers=account.fashn)).status_code == 405
    assert (await account.http.get("/v2", headers=account.fashn)).status_code == 404
    answer = await account.status("unknown")
    assert (answer.status_code, answer.json()["error"]) == (404, "NotFound")


async def test_more_unfinished_requests_than_the_account_may_have_are_refused(account):
    account.provider.hold()
    answers = [await account.run() for _ in range(7)]
    assert [answer.status_code for answer in answers] == [200] * 6 + [429]
    assert answers[-1].json()["error"] == "ConcurrencyLimitExceeded"
    account.provider.release()
    await wait_until(lambda: all(each.has_ended for each in account.provider.predictions))
    assert (await account.run()).status_code == 200


async def test_more_requests_than_fit_in_a_minute_are_refused(account, around):
    account.provider.state.fashn_runs_per_minute = 1
    assert (await account.run()).status_code == 200
    answer = await account.run()
    assert (answer.status_code, answer.json()["error"]) == (429, "RateLimitExceeded")
    assert answer.headers["Retry-After"] == "60"
    around.now += 61
    assert (await account.run()).status_code == 200


async def test_credits_are_spent_on_what_is_delivered_alone(account):
    account.provider.order_fault("failed")
    await account.run()
    failed = await account.ended()
    assert (failed.units, account.provider.state.fashn_credits) == (0, 1000)
    await account.run("tryon-max", model_image=GARMENT_URL, product_image=GARMENT_URL)
    await wait_until(lambda: all(each.has_ended for each in account.provider.predictions))
    balance = await account.http.get("/v1/credits", headers=account.fashn)
    assert balance.json()["credits"]["total"] == 996
    account.provider.state.fashn_credits = 0
    assert (await account.run()).json()["error"] == "OutOfCredits"


@pytest.mark.parametrize("case", ["nobody", "404", "html", "no image"])
async def test_an_image_that_cannot_be_fetched_fails_the_request(account, around, case):
    image = {"Content-Type": "image/jpeg"}
    answers = {
        "404": httpx.Response(404),
        "html": httpx.Response(200, content=jpeg(), headers={"Content-Type": "text/html"}),
        "no image": httpx.Response(200, content=b"<Error/>", headers=image),
    }
    around.internet.pop(GARMENT_URL)
    if case in answers:
        around.internet[GARMENT_URL] = answers[case]
    await account.run()
    prediction = await account.ended()
    body = (await account.status(prediction.id)).json()
    assert (body["status"], body["error"]["name"]) == ("failed", "ImageLoadError")
    assert "garment_image" in body["error"]["message"]
