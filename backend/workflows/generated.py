"""What all workflows share whose pictures an engine generates."""

import hashlib

import msgspec

from backend.workflows.pictures import JPEG_AND_WEBP, LARGEST_SEED, Outputs, Seed
from backend.workflows.stages import Stage, StageFile, StageName


class Generated(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A picture that an engine generates."""

    seed: Seed | None = None
    outputs: Outputs = JPEG_AND_WEBP


def seed_of(public_id: str) -> int:
    """The seed of a job that asked for none: always the same for the same job."""
    return int.from_bytes(hashlib.sha256(public_id.encode()).digest()[:4]) % (LARGEST_SEED + 1)


VALIDATE = Stage(StageName.VALIDATE, "Checked the photo", inputs=(StageFile.SOURCE,))
PREPARE = Stage(
    StageName.PREPARE,
    "Prepared the photo",
    inputs=(StageFile.SOURCE,),
    outputs=(StageFile.PRODUCT,),
)
CUT_OUT_GARMENT = Stage(
    StageName.SEGMENT,
    "Cut out the garment",
    inputs=(StageFile.SOURCE,),
    outputs=(StageFile.MASK, StageFile.CUTOUT),
)
ENCODE = Stage(StageName.ENCODE_GENERATED, "Saved the images", inputs=(StageFile.MASTER,))
# With the cutout, the garment in the picture is compared with the garment in the photo.
ENCODE_AND_COMPARE = Stage(
    StageName.ENCODE_GENERATED,
    "Compared the garment and saved the images",
    inputs=(StageFile.MASTER, StageFile.CUTOUT),
)


def fetch(*files: StageFile) -> Stage:
    """Fetch the product's photo and these images."""
    done = "Fetched the images" if files else "Fetched the photo"
    return Stage(StageName.FETCH, done, outputs=(StageFile.SOURCE, *files))


def validate_with(*files: StageFile, optional: tuple[StageFile, ...] = ()) -> Stage:
    """Check the product's photo and these images, and what they say about generative models."""
    return Stage(
        StageName.VALIDATE,
        "Checked the images",
        inputs=(StageFile.SOURCE, *files),
        optional_inputs=optional,
    )
