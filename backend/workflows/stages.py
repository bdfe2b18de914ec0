"""The stages that workflows are made of, and the files that pass from one stage to the next.

Their values are stored in checkpoints, artifacts and events: never change one.
"""

from collections.abc import Container
from enum import StrEnum

import msgspec


class StageName(StrEnum):
    """What a stage does. The worker itself runs `fetch`, an engine every other one."""

    FETCH = "fetch"
    NORMALISE = "normalise"  # of uploads, in the web process; part of no workflow
    NORMALISE_OUTPUT = "normalise_output"  # of what a provider delivered; part of no workflow
    VALIDATE = "validate"
    SEGMENT = "segment"
    COMPOSE = "compose"
    ENCODE = "encode"
    DRESS = "dress"
    ENCODE_RENDER = "encode_render"
    SWAP_WITH_IMAGE = "swap_with_image"
    SWAP_WITH_SPEC = "swap_with_spec"
    ENCODE_SWAP = "encode_swap"
    PREPARE = "prepare"
    TRY_ON = "try_on"
    SWAP_MODEL = "swap_model"
    EXTRACT = "extract"
    LOOK = "look"
    GENERATE_MODEL = "generate_model"
    GENERATE_BACKGROUND = "generate_background"
    GENERATE_GARMENT = "generate_garment"
    CHANGE_BACKGROUND = "change_background"
    ENCODE_GENERATED = "encode_generated"


class StageFile(StrEnum):
    """A file that one stage makes and a later one reads."""

    SOURCE = "source"
    BACKGROUND = "background"
    MASK = "mask"
    CUTOUT = "cutout"
    MASTER = "master"
    PRODUCT = "product"  # the source without its metadata, for engines outside this machine
    PERSON = "person"
    GARMENT_2 = "garment_2"
    GARMENT_3 = "garment_3"
    GARMENT_4 = "garment_4"
    MODEL = "model"
    DRESSED = "dressed"


class Stage(msgspec.Struct, frozen=True):
    """A step that ends in a checkpoint.

    `done` is the line that the merchant reads afterwards, and `done_generated` the one after a
    generative model has made the picture, if that differs. `inputs` are files of earlier stages,
    and `optional_inputs` are those that it reads if the job has them. `outputs` are the files that
    later stages may read; final pictures are not among them.
    """

    name: StageName
    done: str
    inputs: tuple[StageFile, ...] = ()
    outputs: tuple[StageFile, ...] = ()
    optional_inputs: tuple[StageFile, ...] = ()
    done_generated: str | None = None

    def inputs_among(self, files: Container[str]) -> list[StageFile]:
        """What it reads of a job that has these files: all inputs, and optional ones it has."""
        return [*self.inputs, *(name for name in self.optional_inputs if name in files)]
