"""Small copies of pictures."""

import numpy as np
import pytest
import pyvips

from backend.imaging.thumbnail import thumbnail


@pytest.mark.parametrize(
    ("size", "small"),
    [((2048, 1638), (512, 410)), ((200, 300), (200, 300)), ((6000, 2), (512, 1))],
)
def test_a_thumbnail_is_at_most_512_pixels_and_never_enlarged(
    size: tuple[int, int], small: tuple[int, int]
) -> None:
    width, height = size
    data, sides = thumbnail(np.full((height, width, 3), 90, np.uint8))
    image = pyvips.Image.new_from_buffer(data, "")
    assert (image.width, image.height) == sides == small


def test_transparent_pixels_do_not_colour_their_neighbours() -> None:
    pixels = np.zeros((1000, 1000, 4), np.uint8)
    pixels[:, :499] = (255, 0, 0, 255)
    pixels[:, 499:] = (0, 255, 0, 0)
    image = pyvips.Image.new_from_buffer(thumbnail(pixels)[0], "").numpy()
    shown = image[..., 3] > 100
    assert image.shape == (512, 512, 4)
    assert image[..., 0][shown].min() > 200
    assert image[..., 1][shown].max() < 50
