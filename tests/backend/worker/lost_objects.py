"""A renderer of small fake files, and the loss of stored objects."""

from backend.renderers.base import Rendered, RenderRequest
from backend.renderers.files import file_of
from tests.running_app import RunningApp

NOTHING_FOUND = ((0, 0), (0, 0))
FILES = {
    "segment": ("cutout",),
    "compose": ("master",),
    "dress": ("master",),
    "encode": ("large", "small"),
}


class FakeFileRenderer:
    """Makes the files of a catalog image's stages, the same from the same input; no pictures."""

    name = "quick"

    async def render(self, request: RenderRequest) -> Rendered:
        """The names of the stage's files on top of what it was given."""
        files = [
            file_of(
                name=name,
                kind=name,
                role="final" if request.stage == "encode" else "intermediate",
                label=None,
                content_type="image/png",
                data=name.encode() + b"".join(request.inputs.values())[:1000],
                meta={"width": 1, "height": 1},
            )
            for name in FILES.get(request.stage, ())
        ]
        return Rendered(files=files, facts={})

    async def close(self) -> None:
        """Nothing to close."""


async def files_of(running_app: RunningApp, public_id: str) -> dict[tuple[str, str], str]:
    """The keys of all the files of a job, by stage and name."""
    rows = await running_app.rows(
        "SELECT stage, f.key AS name, f.value AS key FROM job_stages, jsonb_each_text(files) AS f "
        "WHERE job_id = :id",
        id=public_id,
    )
    return {(row["stage"], row["name"]): row["key"] for row in rows}


async def delete_objects(running_app: RunningApp, *keys: str) -> None:
    """Delete the objects behind our back."""
    await running_app.worker_context.store.delete(keys)
