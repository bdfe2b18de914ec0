"""How an invented background is described."""

from typing import Annotated, Literal

import msgspec

from backend.workflows.pictures import HexColour

Place = Literal["studio", "interior", "street", "architecture", "nature", "beach"]
MoodChoice = Literal["neutral", "bright", "warm", "cool", "dramatic"]


class InventedScene(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A place without people or products."""

    place: Place = "studio"
    mood: MoodChoice = "neutral"
    dominant_colors: Annotated[
        tuple[HexColour, ...],
        msgspec.Meta(max_length=3, description="Main colours; the engine chooses if empty."),
    ] = ()
