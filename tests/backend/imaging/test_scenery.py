"""Sets drawn to order: the colours asked for, light as the mood wants it, and no bands."""

from functools import cache

import numpy as np
import pytest

from backend.imaging.filters import Floats
from backend.imaging.layers import pixels
from backend.imaging.scenery import MOODS, SETS, Mood, SceneType, draw_scene, scene_at_size

GREEN, SAND, ORANGE = "#6f9a78", "#d9cdbb", "#e07030"


@cache
def drawn(
    scene: SceneType = "studio",
    mood: Mood = "neutral",
    colours: tuple[str, ...] = (GREEN,),
    *,
    aspect: float = 0.8,
    ground: float = 0.85,
) -> Floats:
    """A set, drawn once; nobody may draw on it."""
    picture = draw_scene(scene, mood, colours, aspect=aspect, ground=ground)
    picture.setflags(write=False)
    return picture


def levels(colour: str):
    return np.array(list(bytes.fromhex(colour[1:])), dtype=np.float32)


def saturation(rgb) -> float:
    return float(np.ptp(rgb.mean(axis=(0, 1))))


@pytest.mark.parametrize("scene", SETS)
def test_the_brightest_light_of_a_neutral_set_is_the_requested_colour(scene):
    upper = drawn(scene)[:500]
    brightest = upper[upper.sum(axis=-1) >= np.quantile(upper.sum(axis=-1), 0.98)].mean(axis=0)
    assert np.abs(brightest - levels(GREEN)).max() < 24


@pytest.mark.parametrize("scene", ["studio", "tabletop"])
def test_the_second_colour_is_the_floors(scene):
    rgb = drawn(scene, colours=(GREEN, ORANGE))
    wall, floor = rgb[200, 200], rgb[-120, 400]
    assert wall[1] > wall[0] + 15  # green
    assert floor[0] > floor[2] + 60  # orange


@pytest.mark.parametrize("scene", SETS)
def test_the_third_colour_glows_on_the_wall(scene):
    plain, glowing = (
        drawn(scene, colours=(SAND, SAND)),
        drawn(scene, colours=(SAND, SAND, "#2040ff")),
    )
    bluer = (glowing[..., 2] - glowing[..., 0]) - (plain[..., 2] - plain[..., 0])
    assert bluer.max() > 20 and np.median(bluer) < 60


def test_every_scene_and_every_mood_looks_different():
    looks = [drawn(scene) for scene in SETS] + [
        drawn(mood=mood) for mood in MOODS if mood != "neutral"
    ]
    small = [look[::16, ::16] for look in looks]
    for i, one in enumerate(small):
        assert all(np.abs(one - other).mean() > 2 for other in small[:i])


@pytest.mark.parametrize("scene", SETS)
def test_moods_change_warmth_brightness_and_contrast(scene):
    # Narrow, so that few pixels are drawn: only their averages are compared.
    looks = {mood: drawn(scene, mood, (SAND,), aspect=0.3) for mood in MOODS}
    warmth = {mood: float((look[..., 0] - look[..., 2]).mean()) for mood, look in looks.items()}
    assert warmth["warm"] > warmth["neutral"] + 8 > warmth["cool"] + 16
    brightness = {mood: float(look.mean()) for mood, look in looks.items()}
    assert brightness["bright"] > brightness["neutral"] + 4 > brightness["dramatic"] + 8
    spread = {mood: float(np.ptp(look.mean(axis=-1))) for mood, look in looks.items()}
    assert spread["dramatic"] > 1.2 * spread["neutral"] > 1.2 * spread["bright"]


def steepest(rgb) -> float:
    """The largest step from one row to the next, in levels."""
    return float(np.abs(np.diff(rgb[:, 400].mean(axis=-1))).max())


def test_a_sweep_has_no_edge_and_a_table_has_one_behind_the_product():
    assert steepest(drawn("studio", colours=(GREEN, SAND))) < 2
    table = drawn("tabletop", colours=(GREEN, SAND), ground=0.85)
    assert steepest(table) > 6
    edge = int(np.abs(np.diff(table[:, 400].mean(axis=-1))).argmax())
    assert 0.55 * 1024 < edge < 0.80 * 1024
    higher = drawn("tabletop", colours=(GREEN, SAND), ground=0.7)
    assert np.abs(np.diff(higher[:, 400].mean(axis=-1))).argmax() < edge - 80


def test_a_wall_is_lit_from_one_side_and_a_spotlight_in_the_middle():
    wall = drawn("wall").mean(axis=-1)
    assert wall[400, 20] > wall[400, 400] + 10 > wall[400, 800] + 20
    spot = drawn("spotlight").mean(axis=-1)
    assert spot[400, 410] > spot[400, 20] + 30 and spot[400, 410] > spot[10, 410] + 30


def test_the_same_parameters_draw_the_same_bytes():
    one, two = (pixels(scene_at_size(drawn("wall", aspect=1.5), 600, 400)) for _ in range(2))
    assert one.shape == (400, 600, 3) and (one == two).all()


def test_a_long_gradient_has_no_bands():
    """Along a band of one level the picture would be flat; with grain no stretch of it is."""
    rgb = pixels(scene_at_size(drawn("studio", colours=("#202428",)), 819, 1024))
    patch = rgb[100:400, 100:400, 1].astype(int)
    flat = patch[:, 1:] == patch[:, :-1]
    assert 0.1 < flat.mean() < 0.6
    # The grain itself must not be seen: it stays within a few levels of the smooth picture.
    assert np.abs(patch - np.median(patch)).max() < 16


def test_missing_colours_are_derived_from_the_first():
    table = drawn("tabletop", colours=("#30405a",))
    assert table[-100, 400].argmax() == 2 and saturation(table[-200:]) > 10
