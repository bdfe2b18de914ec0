"""The net and the sample garments, cut out once for all tests that look at them."""

from functools import cache
from pathlib import Path

import pytest

from backend.imaging.cutout import Cutout, cut_out
from backend.imaging.decode import decode, harden_libvips
from backend.imaging.subject import SubjectNet, load_net

ROOT = Path(__file__).resolve().parents[3]
MODEL = ROOT / ".models/rembg/u2netp.onnx"


@pytest.fixture(scope="session", autouse=True)
def hardened() -> None:
    harden_libvips(threads=2)


@pytest.fixture(scope="session")
def net() -> SubjectNet:
    loaded = load_net(MODEL, threads=2)
    assert loaded is not None, f"the weights are missing: {MODEL}"
    return loaded


@pytest.fixture(scope="session")
def garment():
    """The bytes of a sample garment by name."""
    return lambda name: (ROOT / f"tests/data/garments/{name}.jpg").read_bytes()


@pytest.fixture(scope="session")
def cut_garment(garment, net):
    """The cut-out of a sample garment by name, made once."""

    @cache
    def cut(name: str) -> Cutout:
        return cut_out(decode(garment(name)), net)

    return cut
