"""A stranger's .onnx file: what may do more than arithmetic is refused before any runtime sees it."""

from __future__ import annotations

import time
from contextlib import suppress

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from onnxmodels import RECORD, a_model

from mocoop.errors import StorageError
from mocoop.export import onnxfile
from mocoop.export.engine import Engine
from mocoop.export.onnxfile import look_through, read_model


def refusal(model):
    data = model if isinstance(model, bytes) else model.SerializeToString()
    with pytest.raises(StorageError) as caught:
        look_through(data, "x.onnx")
    return str(caught.value)


@pytest.fixture
def put(tmp_path):
    def write(model):
        path = tmp_path / "model.onnx"
        path.write_bytes(model if isinstance(model, bytes) else model.SerializeToString())
        return path

    return write


def test_a_model_of_the_right_form_is_run(put):
    engine = Engine(put(a_model()))
    answer = engine.predict(np.ones((3, 3, 2, 2), np.float32))
    np.testing.assert_allclose(answer.probabilities, np.ones((3, 2)), rtol=1e-6)
    assert engine.describe("x", answer, 0, 1)["class"] == "cat"


def test_tensors_in_other_files_are_refused(tmp_path):
    (tmp_path / "secret").write_bytes(np.full((12, 2), 7, np.float32).tobytes())
    model = a_model()
    weight = model.graph.initializer[0]
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    place = weight.external_data.add()
    place.key, place.value = "location", "secret"
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(StorageError, match="is not run: it keeps tensors in other files"):
        Engine(path)
    weight.ClearField("external_data")
    assert "it keeps tensors in other files" in refusal(model)
    hidden = a_model(more_nodes=[helper.make_node("Constant", [], ["c"], value=weight)])
    assert "it keeps tensors in other files" in refusal(hidden)


def test_operators_of_other_domains_loops_and_functions_are_refused():
    assert "it needs operators of b'evil'" in refusal(
        a_model(more_nodes=[helper.make_node("Steal", ["pixels"], ["y"], domain="evil")])
    )
    branch = helper.make_graph([helper.make_node("Identity", ["pixels"], ["z"])], "b", [], [])
    loop = helper.make_node("Loop", ["m", "c"], ["y"], body=branch)
    assert "it has loops or branches" in refusal(a_model(more_nodes=[loop]))
    model = a_model()
    identity = helper.make_node("Identity", ["a"], ["b"])
    model.functions.append(helper.make_function("own", "F", ["a"], ["b"], [identity], [helper.make_opsetid("", 18)]))
    assert "it defines functions" in refusal(model)
    model = a_model()
    model.training_info.add()
    assert "a graph for training" in refusal(model)


def test_what_is_said_twice_is_refused():
    model = a_model()
    model.metadata_props.append(model.metadata_props[0])
    assert "says twice what 'mocoop' is" in refusal(model)
    bare = onnx.ModelProto(graph=a_model().graph).SerializeToString()
    assert "it has 2 graphs" in refusal(bare + bare)


def test_files_that_are_too_large_or_have_too_many_parts_are_refused(put, monkeypatch):
    monkeypatch.setattr(onnxfile, "MAX_FIELDS", 10)
    assert "more than 10 parts" in refusal(a_model())
    monkeypatch.setattr(onnxfile, "MAX_BYTES", 100)
    with pytest.raises(StorageError, match="larger than 100 bytes"):
        read_model(put(a_model()))


def test_many_small_parts_end_soon():
    began = time.process_time()
    assert "more than 500,000 parts" in refusal(b"\x08\x01" * 1_000_000)
    assert time.process_time() - began < 20


@pytest.mark.parametrize("data", [b"", b"\0", b"\xff" * 20, b"\x3a\x7f", b"\x0b", b"not a model at all", b"\x38\x01"])
def test_what_is_no_model_is_called_that(data):
    assert "is no ONNX file, or damaged" in refusal(data)


@given(st.binary(max_size=200))
def test_any_bytes_end_in_a_plain_refusal(data):
    assert "x.onnx" in refusal(data)


@given(st.integers(0, 900), st.integers(0, 255))
def test_a_flipped_byte_never_ends_in_anything_else(place, value):
    data = bytearray(a_model().SerializeToString())
    data[place % len(data)] = value
    with suppress(StorageError):
        look_through(bytes(data), "x.onnx")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("not json", "its description is no JSON"),
        ('{"format": 1, "format": 1}', "given twice"),
        ('{"format": NaN}', "its description is no JSON"),
        ("[1]", "it is no object"),
        ("[" * 100 + "]" * 100, "nested"),
        ({"format": 2}, "of a newer mocoop"),
        ({"classes": "cat"}, "classes is missing or of another kind"),
        ({"classes": []}, "there are no classes"),
        ({"classes": ["cat", 1]}, "classes are no texts"),
        ({"classes": ["cat", "cat"]}, "classes need names of their own"),
        ({"classes": ["cat", ""]}, "classes need names of their own"),
        ({"experts": []}, "experts need ids"),
        ({"experts": [{"id": "a", "templates": []}] * 2}, "experts need ids"),
        ({"pixels": "float64"}, "pixels are 'float64'"),
        ({"precision": "int4"}, "precision is 'int4'"),
        ({"top": True}, "top is no whole number"),
        ({"top": 3}, "top is no whole number from 1 to 2"),
        ({"notes": [1]}, "notes are no texts"),
        ({"image": {**RECORD["image"], "size": [10**9, 2]}}, "image.size"),
        ({"image": {**RECORD["image"], "size": [2]}}, "size are no 2 numbers"),
        ({"image": {**RECORD["image"], "std": [1, 0, 1]}}, "image.std"),
        ({"image": {**RECORD["image"], "std": [1, 1e-320, 1]}}, "image.std"),
        ({"image": {**RECORD["image"], "mean": [1e308, 0, 0]}}, "image.mean"),
        ({"image": {**RECORD["image"], "mean": [10**399, 0, 0]}}, "mean are no 3 numbers"),
        ({"reading": {"top": 10**399}}, "reading.top"),
        ({"image": {**RECORD["image"], "resize_mode": "best"}}, "resize_mode"),
        ({"reading": {"bands": [1, 2]}}, "reading.bands"),
        ({"reading": {"limits": [3, 2]}}, "reading.limits"),
        ({"reading": {"bits": 65}}, "bits is no whole number"),
    ],
)
def test_a_description_that_cannot_be_is_refused(put, change, said):
    record = change if isinstance(change, str) else {**RECORD, **change}
    with pytest.raises(StorageError) as caught:
        Engine(put(a_model(record)))
    assert said in str(caught.value)


def test_a_graph_that_is_not_as_described_is_refused(put):
    for model in (a_model(classes=3), a_model(inputs=("N", 3, 1, 4)), a_model(inputs=(1, 3, 2, 2))):
        with pytest.raises(StorageError, match="its graph does not fit its description"):
            Engine(put(model))
    with pytest.raises(StorageError, match="does not say what its classes are"):
        Engine(put(a_model(key="other")))


@pytest.mark.parametrize("added", [float("nan"), 7.0, -7.0])
def test_answers_that_are_no_probabilities_are_refused(put, added):
    model = a_model(more_nodes=[helper.make_node("Add", ["made", "more"], ["probabilities"])])
    model.graph.node[1].output[0] = "made"
    model.graph.initializer.append(numpy_helper.from_array(np.float32(added), "more"))
    with pytest.raises(StorageError, match="no probabilities"):
        Engine(put(model)).predict(np.zeros((1, 3, 2, 2), np.float32))


def test_a_graph_that_fails_ends_in_one_line(put, capfd):
    no_such = a_model(more_nodes=[helper.make_node("NoSuchOperator", ["pixels"], ["y"])])
    with pytest.raises(StorageError, match="cannot be loaded"):
        Engine(put(no_such))
    shape = numpy_helper.from_array(np.array([7, 7], np.int64), "shape")
    model = a_model(more_nodes=[helper.make_node("Reshape", ["pixels", "shape"], ["y"])])
    model.graph.initializer.append(shape)
    model.graph.output.append(helper.make_tensor_value_info("y", TensorProto.FLOAT, None))
    engine = Engine(put(model))
    with pytest.raises(StorageError, match="cannot be run"):
        engine.predict(np.zeros((1, 3, 2, 2), np.float32))
    assert "Reshape" not in capfd.readouterr().err, "the runtime says nothing beside it"


def test_the_numbers_of_fields_are_onnx_own():
    """The table against the specification that the onnx package carries."""
    protos = {
        "model": onnx.ModelProto, "graph": onnx.GraphProto, "node": onnx.NodeProto, "attribute": onnx.AttributeProto,
        "tensor": onnx.TensorProto, "sparse": onnx.SparseTensorProto, "entry": onnx.StringStringEntryProto,
    }  # fmt: skip
    kinds = {kind.DESCRIPTOR.full_name: name for name, kind in protos.items()}
    for name, kind in protos.items():
        for one in kind.DESCRIPTOR.fields:
            if one.message_type is None:
                continue
            inner = kinds.get(one.message_type.full_name)
            if (name, one.number) in onnxfile._REFUSE or inner is None:
                continue
            if one.name in ("metadata_props", "quantization_annotation") and name != "model":
                continue
            assert onnxfile._ENTER[name].get(one.number) == inner, (name, one.name)
    assert onnx.TensorProto.DESCRIPTOR.fields_by_name["data_location"].number == onnxfile._LOCATION
    assert onnx.NodeProto.DESCRIPTOR.fields_by_name["domain"].number == onnxfile._DOMAIN
