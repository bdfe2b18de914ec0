"""The net answers the same in whichever library runs it."""

import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest

from backend.imaging import inference
from tests.backend.imaging.conftest import MODEL


def test_openvino_is_used_where_it_is_installed_and_onnxruntime_elsewhere(monkeypatch):
    opened: list[str] = []
    for library in ("openvino", "onnxruntime"):
        monkeypatch.setattr(
            inference, f"_{library}", lambda *_, by=library, **__: opened.append(by)
        )
    for installed in (object(), None):
        monkeypatch.setattr(inference, "find_spec", lambda _, found=installed: found)
        inference.open_network(b"", threads=1)
    assert opened == ["openvino", "onnxruntime"]


@pytest.mark.skipif(find_spec("openvino") is None, reason="the extra openvino is not installed")
@pytest.mark.slow
def test_both_libraries_give_the_same_answer():
    weights = MODEL.read_bytes()
    batch = np.random.default_rng(7).normal(0, 1, (1, 3, 320, 320)).astype(np.float32)
    answers = [
        open_(weights, threads=1)(batch) for open_ in (inference._openvino, inference._onnxruntime)
    ]
    assert answers[0].shape == answers[1].shape == (1, 1, 320, 320)
    assert np.ptp(answers[0]) > 0.1
    assert np.abs(answers[0] - answers[1]).max() < 1e-3


@pytest.mark.skipif(find_spec("openvino") is None, reason="the extra openvino is not installed")
@pytest.mark.parametrize(("height", "is_widened"), [(16, True), (18, False)])
def test_one_channel_is_computed_in_blocks_with_the_same_answer(height, is_widened):
    import openvino
    from openvino import opset13 as ops

    rng = np.random.default_rng(7)
    batch = rng.normal(0, 1, (1, 8, height, 20)).astype(np.float32)
    kernel = rng.normal(0, 1, (1, 8, 3, 3)).astype(np.float32)
    answers = []
    for widen in (False, True):
        source = ops.parameter(batch.shape, np.float32)
        convolution = ops.convolution(source, ops.constant(kernel), *[[1, 1]] * 4)
        model = openvino.Model([convolution], [source])
        if widen:
            inference._use_all_channels(model)
        options = {"INFERENCE_PRECISION_HINT": "f32"}
        compiled = openvino.compile_model(model, "CPU", options)
        answers.append(compiled({0: batch})[0])
    assert answers[1].shape == (1, 1, height, 20)
    assert np.abs(answers[0] - answers[1]).max() < 1e-5
    assert any(op.get_type_name() == "DepthToSpace" for op in model.get_ops()) == is_widened


NOTHING_REPORTED = """
import pathlib, sys
from backend.imaging.inference import open_network
open_network(pathlib.Path(sys.argv[1]).read_bytes(), threads=1)
assert sys.modules.get("openvino_telemetry") is None
"""


@pytest.mark.skipif(find_spec("openvino") is None, reason="the extra openvino is not installed")
@pytest.mark.slow
def test_openvino_cannot_report_its_use():
    subprocess.run([sys.executable, "-c", NOTHING_REPORTED, str(MODEL)], check=True)
