"""ONNX files: written by PyTorch's exporter, in single precision, with weights in half of it, or with int8 products.

One file holds everything; one of more than 2 GiB cannot be (a limit of its format). Equal runs give equal files.
"""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from mocoop.errors import UsageError
from mocoop.export.graph import FEATURES, INPUT, OUTPUTS, example_pixels
from mocoop.export.record import KEY, Record
from mocoop.packages import require

if TYPE_CHECKING:
    from mocoop.export.graph import ImageClassifier

MAX_BYTES = 2**31 - 2**20  # what a protocol buffer may hold, with room for all but the weights
_LARGE = 1024  # values of a tensor that is worth storing in half precision
_HALF = "_half"


def write_onnx(path: Path, module: ImageClassifier, record: Record) -> None:
    """Write a module in the record's precision, with the record in its metadata.

    Raises UsageError without the packages of the extra `export`, or if the file would be larger than 2 GiB.
    """
    require("onnx", "onnxruntime", "onnxscript", extra="export")
    _check_size(module, record)
    model = _traced(module, record)
    if record.precision == "float16":
        _halve_weights(model)
    elif record.precision == "int8":
        model = _with_int8_products(model)
    _tidy(model)
    entry = model.metadata_props.add()
    entry.key, entry.value = KEY, record.to_json()
    path.write_bytes(model.SerializeToString(deterministic=True))


def _check_size(module: ImageClassifier, record: Record) -> None:
    width = {"float32": 4, "float16": 2, "int8": 4}[record.precision]  # int8 is made from single precision
    size = sum(parameter.numel() for parameter in module.parameters()) * width
    if size > MAX_BYTES:
        raise UsageError(
            f"the image tower takes {size / 2**30:.1f} GiB in {record.precision}, and one ONNX file holds 2",
            "export it with --precision float16, or as --format torch-export",
        )


def _traced(module: ImageClassifier, record: Record) -> Any:
    """The module as an `onnx.ModelProto`, for any number of images."""
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            module,
            (example_pixels(record.preprocess, record.pixels),),
            dynamo=True,
            input_names=[INPUT],
            output_names=list(OUTPUTS),
            dynamic_shapes={"pixels": {0: torch.export.Dim("N", min=1)}},
            verbose=False,
        )
    assert program is not None
    return program.model_proto


def _halve_weights(model: Any) -> None:
    """Store large weights in half precision, each with a cast to single precision behind it.

    So arithmetic stays in single precision, everywhere, and runtimes undo the cast once, on loading. Arithmetic in half
    precision crashed onnxruntime 1.32 on a CPU for CLIP's ViT-B/32 (docs/export.md).
    """
    from onnx import TensorProto, helper, numpy_helper

    casts = []
    for weight in model.graph.initializer:
        if weight.data_type != TensorProto.FLOAT or np.prod(weight.dims) < _LARGE:
            continue
        values = numpy_helper.to_array(weight)
        if np.abs(values).max() > np.finfo(np.float16).max:
            continue
        name = weight.name
        weight.CopyFrom(numpy_helper.from_array(values.astype(np.float16), name + _HALF))
        casts.append(helper.make_node("Cast", [name + _HALF], [name], name=f"{name}_cast", to=TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _with_int8_products(model: Any) -> Any:
    """The image tower's matrix products with 8-bit weights, and activations quantised as they come.

    The classifier behind the features stays as it is: at a temperature of 0.01 it would not bear it. Weights are
    unsigned, as signed ones saturate on processors without VNNI.
    """
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    products = ("MatMul", "Gemm")
    kept = [node.name for node in _after(model, FEATURES) if node.op_type in products]
    with tempfile.TemporaryDirectory(prefix="mocoop-") as folder, _quiet():
        out = Path(folder) / "int8.onnx"
        quantize_dynamic(
            model,
            out,
            op_types_to_quantize=list(products),
            per_channel=True,
            weight_type=QuantType.QUInt8,
            nodes_to_exclude=kept,
        )
        return onnx.load(out)


def _after(model: Any, name: str) -> list[Any]:
    """The nodes that depend on a tensor; a graph's nodes stand in the order of their computation."""
    known, found = {name}, []
    for node in model.graph.node:
        if known & set(node.input):
            known |= set(node.output)
            found.append(node)
    return found


def _tidy(model: Any) -> None:
    """Take out what the exporter notes for its own use: places in source files, with the paths of this machine."""
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.initializer, *graph.input, *graph.output, *graph.value_info):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    del graph.value_info[:]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's notes on its progress and on operators it has found no short form for."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
