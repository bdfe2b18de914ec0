"""Failures whose reason is the photo itself: its file, its size, or what it shows."""

from backend.failures.registry import Noun, define

IMAGE_TYPE_UNSUPPORTED = define(
    "IMAGE_TYPE_UNSUPPORTED",
    "This file has no image format that we read. Save the photo as JPEG or PNG and try again.",
    Noun.JOB,
    advice="Save the photo as JPEG or PNG. WebP, AVIF, still GIF, TIFF and, with the extra `heic`, "
    "HEIC are read too. The message names the file's format if we know it.",
)
IMAGE_TOO_LARGE = define(
    "IMAGE_TOO_LARGE",
    "The image has too many bytes or pixels.",
    Noun.JOB,
    advice="Save the photo with stronger compression or fewer pixels; the message has the limit.",
)
IMAGE_TOO_SMALL = define(
    "IMAGE_TOO_SMALL",
    "The image has too few pixels.",
    Noun.JOB,
    advice="Use a larger photo; the message has the limit.",
)
IMAGE_ANIMATED = define(
    "IMAGE_ANIMATED",
    "This image is animated. Upload a still photo of the product.",
    Noun.JOB,
    advice="Use a still photo, and of a TIFF one page.",
)
IMAGE_CORRUPT = define(
    "IMAGE_CORRUPT",
    "The image is damaged or incomplete. Export it again and upload the new file.",
    Noun.JOB,
    advice="Export the photo again, and use the new file.",
)
SUBJECT_NOT_FOUND = define(
    "SUBJECT_NOT_FOUND",
    "No product could be told from the background. "
    "Upload a photo of one product on a plain background.",
    Noun.JOB,
    advice="Use a photo of one product on a plain background.",
)
