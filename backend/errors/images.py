"""Why an uploaded image is refused."""

from backend.errors.base import RequestError
from backend.errors.client import BodyTooLarge, InvalidRequest, UnsupportedMedia


class ImageTypeUnsupported(UnsupportedMedia):
    """The uploaded file is not an image in a format that we read, whatever its declared type."""

    code = "IMAGE_TYPE_UNSUPPORTED"
    message = "The file has no image format that we read."


class ImageTooLarge(RequestError):
    """The uploaded image has too many bytes or pixels."""

    status = BodyTooLarge.status
    code = "IMAGE_TOO_LARGE"
    message = "The image is too large."


class UnusableImage(InvalidRequest):
    """The uploaded file cannot be used by any job. Each reason has its own code below."""

    def __init__(self, message: str) -> None:
        super().__init__([{"loc": ["body", "file"], "msg": message, "type": "value_error"}])
        self.message = message


class ImageTooSmall(UnusableImage):
    """The image has too few pixels for a product image."""

    code = "IMAGE_TOO_SMALL"


class ImageAnimated(UnusableImage):
    """The image has more than one frame or page."""

    code = "IMAGE_ANIMATED"


class ImageCorrupt(UnusableImage):
    """The file starts like an image but cannot be decoded."""

    code = "IMAGE_CORRUPT"


class ImageTooComplex(UnusableImage):
    """Decoding the image takes more time or memory than allowed."""

    code = "IMAGE_TOO_COMPLEX"
