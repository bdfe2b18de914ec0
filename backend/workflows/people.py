"""How an invented person is described. All of them are adults."""

from typing import Annotated, Literal

import msgspec

from backend.workflows.pictures import AspectRatio, FreeText

Body = Literal["female", "male", "androgynous"]
AgeRange = Literal["20-29", "30-39", "40-49", "50-59", "60-75"]
Build = Literal["slim", "average", "athletic", "curvy", "plus_size"]
SkinTone = Literal["very_light", "light", "medium", "brown", "dark", "very_dark"]
Hair = Literal["shaved", "short", "shoulder_length", "long", "tied_back"]
HairColor = Literal["black", "brown", "blonde", "red", "grey"]
ModelPose = Literal["standing", "walking", "hand_on_hip", "turned"]
ModelFraming = Literal["full_body", "three_quarter", "upper_body"]


class InventedPerson(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A person who does not exist, and who is an adult. The engine chooses what is null."""

    body: Body = "female"
    age_range: Annotated[
        AgeRange, msgspec.Meta(description="In years. People are adults: the youngest is 20.")
    ] = "30-39"
    build: Build | None = None
    skin_tone: SkinTone | None = None
    hair: Hair | None = None
    hair_color: HairColor | None = None
    pose: ModelPose = "standing"
    framing: Annotated[
        ModelFraming,
        msgspec.Meta(description="`full_body` shows shoes; `three_quarter` ends at the knees."),
    ] = "full_body"
    aspect_ratio: AspectRatio = "4:5"


PersonDetails = Annotated[
    FreeText,
    msgspec.Meta(
        description="What else matters, in your words. The person stays an invented adult: "
        "the name of a real person does not give a picture of them."
    ),
]
