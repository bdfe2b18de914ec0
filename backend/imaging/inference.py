"""Opens a neural network's ONNX file, in OpenVINO where it is installed, else in onnxruntime.

OpenVINO takes two thirds of the time and half of the memory, and longer to open a network. Both
compute in 32 bits: their answers differ by less than 1e-4, so a cut-out is the same with either. In
16 bits, where the processor has them, OpenVINO is faster still, and edges move (performance.md).
"""

import sys
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np

from backend.imaging.filters import Floats

# A batch → the network's first output.
Infer = Callable[[Floats], Floats]
BLOCK_SIDE = 4  # pixels; see `_use_all_channels`


def open_network(weights: bytes, *, threads: int) -> Infer:
    """The network of an ONNX file with one input, on at most that many threads."""
    return (_openvino if find_spec("openvino") else _onnxruntime)(weights, threads=threads)


def _openvino(weights: bytes, *, threads: int) -> Infer:
    # It can report its use to Google Analytics. Without this module it cannot.
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    import openvino  # noqa: PLC0415

    core = openvino.Core()
    model = core.read_model(weights, b"")
    # Without the outputs that nobody reads.
    first = openvino.Model([model.outputs[0]], model.get_parameters())
    _use_all_channels(first)
    options = {
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "ENABLE_CPU_PINNING": False,  # the children would all be pinned to the same cores
    }
    # Keeps 0.1 GB for the layers' results. To release them after each picture costs a sixth more.
    request = core.compile_model(first, "CPU", options).create_infer_request()

    def infer(batch: Floats) -> Floats:
        answer: Floats = request.infer({0: batch})[0].copy()
        return answer

    return infer


def _use_all_channels(model: Any) -> None:
    """Let each 3 × 3 convolution with one output channel compute blocks of 4 × 4 pixels.

    OpenVINO computes 16 channels for it, and throws 15 away. Here they are a block's pixels. To the
    same products only zeros are added: the answer is the same, bit for bit.
    """
    from openvino import opset13 as ops  # noqa: PLC0415

    for node in model.get_ops():
        if node.get_type_name() != "Convolution" or not _has_one_channel(node):
            continue
        weights = node.input_value(1).get_node().get_data()
        wide = np.zeros(
            (BLOCK_SIDE, BLOCK_SIDE, weights.shape[1], BLOCK_SIDE + 2, BLOCK_SIDE + 2),
            dtype=np.float32,
        )
        for y, x in np.ndindex(BLOCK_SIDE, BLOCK_SIDE):
            wide[y, x, :, y : y + 3, x : x + 3] = weights[0]
        wide = wide.reshape(BLOCK_SIDE * BLOCK_SIDE, *wide.shape[2:])
        blocks = ops.convolution(
            node.input_value(0), ops.constant(wide), [BLOCK_SIDE] * 2, [1, 1], [1, 1], [1, 1]
        )
        pixels = ops.depth_to_space(blocks, "blocks_first", BLOCK_SIDE)
        node.output(0).replace(pixels.output(0))


def _has_one_channel(convolution: Any) -> bool:
    """Whether it is such a convolution, of the usual kind, and its picture is made of blocks."""
    kernel = convolution.input_value(1)
    _, _, *sides = convolution.output(0).get_shape()
    how = convolution.get_attributes()
    return (
        kernel.get_node().get_type_name() == "Constant"
        and [kernel.get_shape()[axis] for axis in (0, 2, 3)] == [1, 3, 3]
        and all(how[name] == [1, 1] for name in ("strides", "dilations", "pads_begin", "pads_end"))
        and all(side % BLOCK_SIDE == 0 for side in sides)
    )


def _onnxruntime(weights: bytes, *, threads: int) -> Infer:
    import onnxruntime  # noqa: PLC0415

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Spinning threads burn the core that a neighbouring renderer is waiting for.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(weights, options, providers=["CPUExecutionProvider"])
    # Given back after each picture: an arena makes the net cheaper, but the child would hold
    # 0.5 GB for ever. So it holds 0.15 GB between pictures, with 0.4 GB at the net's peak.
    shrinking = onnxruntime.RunOptions()
    shrinking.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
    source, answer = session.get_inputs()[0].name, session.get_outputs()[0].name

    def infer(batch: Floats) -> Floats:
        found: Floats = session.run([answer], {source: batch}, shrinking)[0]
        return found

    return infer
