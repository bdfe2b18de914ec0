"""The queue and its runners: each request waits, is worked on, and ends; then its callback goes."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable

import httpx
import msgspec

from backend.dev.providers.drawing import drawn_picture, size_for
from backend.dev.providers.inputs import InputRefused, load_images
from backend.dev.providers.requests import AcceptedRequest, ModelError, OutputFile, ProviderState

Callback = Callable[[AcceptedRequest], Awaitable[None]]

MODERATION = ModelError(
    "ContentModerationError",
    "content_policy_violation",
    "The content could not be processed because it was flagged by a content checker.",
)
NO_POSE = ModelError(
    "PoseError", "body_pose_not_detected", "No body pose could be detected in model_image."
)
PIPELINE = ModelError(
    "PipelineError", "internal_server_error", "An unexpected pipeline error occurred.", 500
)
TOO_LONG_IN_QUEUE = ModelError(
    "time_out", "request_timeout", "The request did not start within its time limit.", 504
)
CANCELLED_BY_CLIENT = ModelError(
    "Canceled", "client_cancelled", "The request was cancelled by the client.", 499
)
_WORK_ERRORS = {"moderation": MODERATION, "pose_not_found": NO_POSE, "failed": PIPELINE}
_PERSON_FIRST = ("model_image", "face_image", "face_reference")


class Runners:
    """Works on the requests of one stand-in, `state.runners` at a time, in their order."""

    def __init__(
        self, state: ProviderState, internet: httpx.AsyncClient, callback: Callback
    ) -> None:
        self._state = state
        self._internet = internet
        self._callback = callback
        self._places = asyncio.Semaphore(state.runners)

    def start(self, prediction: AcceptedRequest) -> None:
        """Put the request in the queue."""
        prediction.task = asyncio.create_task(self._run(prediction))

    def cancel(self, prediction: AcceptedRequest) -> bool:
        """Stop the request; False if it has ended. What has begun is stopped, too, and is free."""
        if prediction.has_ended:
            return False
        if prediction.started_at is None:
            self._state.started += 1
        prediction.status, prediction.error = "cancelled", CANCELLED_BY_CLIENT
        assert prediction.task is not None
        prediction.task.cancel()
        self._end(prediction)
        return True

    async def _run(self, prediction: AcceptedRequest) -> None:
        fault = prediction.work_fault
        await self._state.released.wait()
        async with self._places:
            prediction.status, prediction.started_at = "running", self._state.clock()
            self._state.started += 1
            if fault is None or fault.name != "never_finishes":
                await asyncio.sleep(self._state.seconds)
                if fault is not None and fault.name == "slow":
                    await asyncio.sleep(fault.seconds)
                await self._work(prediction)
        if prediction.status == "running":  # for ever, and without a runner's place
            await asyncio.Event().wait()
        self._end(prediction)
        await self._callback(prediction)

    async def _work(self, prediction: AcceptedRequest) -> None:
        try:
            if prediction.work_fault and prediction.work_fault.name in _WORK_ERRORS:
                raise InputRefused(_WORK_ERRORS[prediction.work_fault.name])
            if prediction.waited > time_to_start(prediction):
                raise InputRefused(TOO_LONG_IN_QUEUE)
            _check_inputs(prediction)
            images = await load_images(self._state, prediction, self._internet)
            await self._draw(prediction, images)
        except InputRefused as refused:
            prediction.status, prediction.error = "failed", refused.error
        except OSError as error:  # Pillow's, for bytes that are no image
            message = f"An image could not be decoded: {error}"
            prediction.status = "failed"
            prediction.error = ModelError("ImageLoadError", "image_load_error", message)

    async def _draw(self, prediction: AcceptedRequest, images: dict[str, list[bytes]]) -> None:
        state, inputs, model = self._state, prediction.inputs, prediction.model
        ordered = sorted(images.items(), key=lambda item: item[0] not in _PERSON_FIRST)
        # In a list, the product comes first and the person last.
        contents = tuple(each for _, group in ordered for each in reversed(group))
        size = size_for(inputs.get("aspect_ratio"))
        image_format = str(inputs.get("output_format", "png"))
        wanted = int(inputs.get("num_images") or inputs.get("num_samples") or 1)
        lifetime = lifetime_of(prediction, state.output_lifetime)
        for number in range(wanted):
            content, width, height = await asyncio.to_thread(
                drawn_picture, model.kind, contents, prediction.seed + number, image_format, size
            )
            file = OutputFile(
                name=f"{secrets.token_hex(12)}_{number}.{image_format}",
                content=content,
                content_type=f"image/{image_format}",
                width=width,
                height=height,
                expires_at=state.clock() + lifetime,
                fault=prediction.output_fault,
            )
            state.outputs[file.name] = file
            prediction.files.append(file)
        prediction.status = "done"
        prediction.units = wanted * (model.unit_price if prediction.api == "fashn" else 1)
        if prediction.api == "fashn":
            state.fashn_credits -= prediction.units

    def _end(self, prediction: AcceptedRequest) -> None:
        prediction.ended_at = self._state.clock()
        prediction.ended.set()


def _check_inputs(prediction: AcceptedRequest) -> None:
    """Raise `InputRefused` for inputs that the model does not take: fal sees it this late."""
    try:
        msgspec.convert(prediction.inputs, type=prediction.model.inputs)
    except msgspec.ValidationError as error:
        said, _, where = str(error).partition(" - at `$.")
        loc = ("body", where.rstrip("`")) if where else ("body",)
        raise InputRefused(
            ModelError("InputValidationError", "value_error", said, loc=loc)
        ) from error


def time_to_start(prediction: AcceptedRequest) -> float:
    """How long it may wait in the queue, in seconds: fal lets a request say it."""
    asked = prediction.headers.get("x-fal-request-timeout", "")
    return float(asked) if asked.replace(".", "", 1).isdigit() else float("inf")


def lifetime_of(prediction: AcceptedRequest, usual: float) -> float:
    """How long its outputs live, in seconds: fal lets a request say it."""
    asked = prediction.headers.get("x-fal-object-lifecycle-preference")
    if asked is None:
        return usual
    try:
        seconds = msgspec.json.decode(asked, type=dict[str, float | None])
    except msgspec.MsgspecError:
        return usual
    return seconds.get("expiration_duration_seconds") or usual
