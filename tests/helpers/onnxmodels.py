"""Tiny .onnx files of the right form, made node by node: what a stranger might send, and what takes its time."""

from __future__ import annotations

import json

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from mocoop.export.record import KEY

RECORD = {
    "format": 1,
    "made_by": "a test",
    "classes": ["cat", "dog"],
    "experts": [{"id": "plain", "templates": ["a photo of a {}."]}],
    "image": {
        "size": [2, 2], "mean": [0, 0, 0], "std": [1, 1, 1], "interpolation": "bicubic", "resize_mode": "shortest",
        "fill_color": 0,
    },
    "reading": {"bands": None, "limits": None, "bits": None, "top": None},
    "pixels": "float32",
    "precision": "float32",
    "top": 2,
    "run_sha256": None,
    "notes": [],
    "about": {},
}  # fmt: skip


def a_model(record=RECORD, *, more_nodes=(), classes=2, inputs=("N", 3, 2, 2), key=KEY):
    """A tiny model of the right form: the sums of each image's values, as probabilities."""
    weight = numpy_helper.from_array(np.ones((12, classes), np.float32) / 12, "weight")
    gate = numpy_helper.from_array(np.ones((12, 1), np.float32) / 12, "gate")
    nodes = [
        helper.make_node("Flatten", ["pixels"], ["features"]),
        helper.make_node("MatMul", ["features", "weight"], ["probabilities"]),
        helper.make_node("MatMul", ["features", "gate"], ["gates"]),
        *more_nodes,
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, inputs)],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, ("N", w)) for n, w in
         (("probabilities", classes), ("gates", 1))],
        [weight, gate],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    entry = model.metadata_props.add()
    entry.key, entry.value = key, record if isinstance(record, str) else json.dumps(record)
    return model


def slow_model(side=1400):
    """The same, which multiplies two square matrices for each batch: a good part of a second on one core."""
    shape = numpy_helper.from_array(np.array([side, side], np.int64), "side")
    nothing = numpy_helper.from_array(np.zeros((1, 1), np.float32), "nothing")
    nodes = [
        helper.make_node("ReduceMean", ["pixels"], ["mean"], keepdims=0),
        helper.make_node("Expand", ["mean", "side"], ["square"]),
        helper.make_node("MatMul", ["square", "square"], ["product"]),
        helper.make_node("ReduceMean", ["product"], ["one"], keepdims=1),
        helper.make_node("Mul", ["one", "nothing"], ["zero"]),
        helper.make_node("Add", ["quick", "zero"], ["probabilities"]),
    ]
    model = a_model(more_nodes=nodes)
    model.graph.node[1].output[0] = "quick"
    model.graph.initializer.extend([shape, nothing])
    return model
