"""The words that an engine gets for a stage: the same for every provider that takes words.

They are made of the job's parameters. Images are called by their place in the order in which all
adapters send them (`backend/providers/inputs.py`). Whatever the parameters say, people are adults,
dressed and invented.
"""

from collections.abc import Callable, Container, Mapping
from typing import Any

from backend.workflows.garments import CATEGORIES
from backend.workflows.stages import StageFile, StageName

Params = Mapping[str, Any]
Files = Container[str]

FRAMINGS = {
    "full_body": "shown from head to toe",
    "three_quarter": "shown from head to knees",
    "upper_body": "shown from head to hips",
}
POSES = {
    "standing": "standing straight, arms relaxed",
    "walking": "walking towards the camera",
    "hand_on_hip": "standing with one hand on the hip",
    "turned": "standing, slightly turned to one side",
}
PLACES = {
    "studio": "a photo studio with a seamless backdrop",
    "interior": "a bright, furnished room",
    "street": "a city street",
    "architecture": "modern architecture",
    "nature": "a landscape",
    "beach": "a beach",
}
LIGHTS = {
    "neutral": "soft, even light",
    "bright": "bright, airy light",
    "warm": "warm light of the late afternoon",
    "cool": "cool daylight",
    "dramatic": "dramatic light with deep shadows",
}
ADULT = "The person does not exist, is an adult and is fully dressed."
KEEP_GARMENT = (
    "Keep the garment exactly as in its photo: colour, pattern, print, text, cut, length, buttons "
    "and seams. Add no logo and no text."
)
KEEP_PERSON = "Keep the person's face, hair, body, pose and the background as they are."
SHOP_PHOTO = "A realistic photo for an online shop."


def prompt_of(stage: StageName, params: Params, files: Files = ()) -> str:
    """The prompt for this stage of a job with these parameters and input files.

    Raises `KeyError` for a stage that needs no words.
    """
    if stage is StageName.CHANGE_BACKGROUND:
        return _change_background(params, has_background=StageFile.BACKGROUND in files)
    return PROMPTS[stage](params)


def _dress(params: Params) -> str:
    body, background = params.get("body", "female"), params.get("background", "#f4f4f2")
    return sentences(
        SHOP_PHOTO,
        f"A {body} adult wears {garment_of(params)} of the photo, standing straight, "
        f"in front of a plain background of the colour {background}.",
        ADULT,
        KEEP_GARMENT,
    )


def _try_on(params: Params) -> str:
    return sentences(
        SHOP_PHOTO,
        f"Dress the person of the second image in {garment_of(params)} of the first image.",
        KEEP_GARMENT,
        KEEP_PERSON,
    )


def _look(_params: Params) -> str:
    return sentences(
        SHOP_PHOTO,
        "Dress the person of the last image in all the garments of the other images together.",
        KEEP_GARMENT,
        KEEP_PERSON,
    )


def _swap_model(_params: Params) -> str:
    return sentences(
        SHOP_PHOTO,
        "Replace the person in the first image with the person of the second image. "
        "Keep pose, framing, light and background of the first image.",
        KEEP_GARMENT,
    )


def _extract(params: Params) -> str:
    return sentences(
        "A realistic product photo for an online shop.",
        f"Show {garment_of(params)} of the photo by itself, laid flat, complete and from the "
        "front, without the person, on a plain background of the colour "
        f"{params.get('background', '#ffffff')}.",
        KEEP_GARMENT,
    )


def _generate_model(params: Params) -> str:
    person: Params = params.get("person", params)
    look = [
        phrase(person.get("build"), "build"),
        phrase(person.get("skin_tone"), "skin"),
        phrase(person.get("hair"), "hair"),
        phrase(person.get("hair_color"), "hair"),
    ]
    age = str(person.get("age_range", "30-39")).replace("-", " to ")
    described = ", ".join(part for part in look if part)
    return sentences(
        SHOP_PHOTO,
        f"A {person.get('body', 'female')} model, {age} years old"
        f"{', with ' + described if described else ''}, "
        f"{POSES[person.get('pose', 'standing')]}, "
        f"{FRAMINGS[person.get('framing', 'full_body')]}, looking at the camera, "
        "in a plain white T-shirt, plain blue trousers and white shoes, "
        "in front of a plain light grey background.",
        wishes_of(params),
        ADULT,
    )


def _generate_background(params: Params) -> str:
    return sentences(
        "A realistic photo of an empty scene, as a background for product photos.",
        scene_of(params),
        wishes_of(params),
        "No people, no products, no text. The middle of the picture is free.",
    )


def _generate_garment(params: Params) -> str:
    category = CATEGORIES[params["category"]]
    color = params.get("color")
    return sentences(
        "A realistic product photo for an online shop.",
        f"Invent a {category.noun} that goes well with the product of the photo, "
        f"in a {params.get('style', 'casual')} style"
        f"{f', mainly in the colour {color}' if color else ''}.",
        wishes_of(params),
        "Show it by itself, complete and from the front, on a plain white background. "
        "No person, no text, no logo, and not the product of the photo.",
    )


def _change_background(params: Params, *, has_background: bool) -> str:
    where = "the place of the second image" if has_background else "another place"
    return sentences(
        SHOP_PHOTO,
        f"Put the person of the first image in {where}, with matching light and shadows.",
        "" if has_background else scene_of(params.get("scene") or {}),
        "Keep the person and everything they wear exactly as they are.",
    )


PROMPTS: Mapping[StageName, Callable[[Params], str]] = {
    StageName.DRESS: _dress,
    StageName.TRY_ON: _try_on,
    StageName.LOOK: _look,
    StageName.SWAP_MODEL: _swap_model,
    StageName.EXTRACT: _extract,
    StageName.GENERATE_MODEL: _generate_model,
    StageName.GENERATE_BACKGROUND: _generate_background,
    StageName.GENERATE_GARMENT: _generate_garment,
}


def garment_of(params: Params) -> str:
    """What the garment is called, such as `the jacket or coat`."""
    category = CATEGORIES.get(params.get("category") or "")
    return f"the {category.noun if category else 'garment'}"


def scene_of(params: Params) -> str:
    """The place, its light and its colours, as a sentence."""
    colors = ", ".join(params.get("dominant_colors") or ())
    place, mood = PLACES[params.get("place", "studio")], LIGHTS[params.get("mood", "neutral")]
    return f"{place[0].upper()}{place[1:]}, {mood}{f', mainly in {colors}' if colors else ''}."


def wishes_of(params: Params) -> str:
    """The merchant's own words as a sentence; empty without any."""
    words = " ".join(str(params.get("details") or "").split())
    return f"{words.rstrip('.')}." if words else ""


def phrase(value: str | None, noun: str) -> str:
    """A choice as words, such as `very dark skin`; empty if the engine may choose."""
    return f"{value.replace('_', ' ')} {noun}" if value else ""


def sentences(*parts: str) -> str:
    """The parts that are not empty, as one text."""
    return " ".join(part for part in parts if part)
