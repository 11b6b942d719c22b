"""Devices by name, and number formats."""

from __future__ import annotations

import pytest
import torch
from towers import small_model

from mocoop.backbone.devices import autocast, resolve_device, resolve_precision, with_cast_matrices
from mocoop.errors import UsageError

CPU = torch.device("cpu")
WITHOUT_CUDA = pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")


def test_cpu_is_the_cpu():
    assert resolve_device("cpu") == CPU


def test_auto_takes_what_is_there():
    expected = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    assert resolve_device().type == resolve_device("auto").type == expected


@pytest.mark.parametrize("name", ["gpu", "", "CPU please", "cuda:x", "cuda:-1", "cpu:0:0"])
def test_a_name_that_is_none_says_which_there_are(name):
    with pytest.raises(UsageError, match="no device is called") as refused:
        resolve_device(name)
    assert refused.value.hint == "use auto, cpu, cuda, cuda:N or mps"


@WITHOUT_CUDA
@pytest.mark.parametrize("name", ["cuda", "cuda:0", "xpu", "meta"])
def test_a_device_that_is_not_here_is_refused(name):
    with pytest.raises(UsageError, match="is not available here") as refused:
        resolve_device(name)
    assert refused.value.hint == "use --device auto or cpu"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA")
def test_a_cuda_device_too_many_is_refused():
    with pytest.raises(UsageError, match="CUDA device"):
        resolve_device(f"cuda:{torch.cuda.device_count()}")


@pytest.mark.parametrize(
    ("able", "auto"),
    [
        ({"avx512_bf16": True}, "bfloat16"),
        ({"amx_bf16": True}, "bfloat16"),
        ({"avx512_f": True}, "float32"),
        ({}, "float32"),
    ],
)
def test_auto_on_a_cpu_is_bfloat16_where_it_multiplies_that_itself(monkeypatch, able, auto):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able)
    assert resolve_precision("auto", CPU) == auto
    assert resolve_precision("float32", CPU) == "float32"
    assert resolve_precision("bfloat16", CPU) == "bfloat16"


def test_a_cpu_has_no_float16():
    with pytest.raises(UsageError, match="does not compute in float16") as refused:
        resolve_precision("float16", CPU)
    assert refused.value.hint == "use --precision auto, bfloat16 or float32"


@pytest.mark.parametrize("asked", ["float32", "bfloat16", "float16"])
def test_another_device_takes_what_it_is_told(asked):
    assert resolve_precision(asked, torch.device("cuda")) == asked
    assert resolve_precision(asked, torch.device("mps")) == asked


def test_auto_is_float32_where_bfloat16_is_not_sure():
    assert resolve_precision("auto", torch.device("mps")) == "float32"


def image_features(precision):
    pixels = torch.rand(8, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad(), autocast(CPU, precision):
        return small_model("clip").encode_image(pixels)


def test_float32_is_left_alone():
    assert image_features("float32").dtype == torch.float32
    with autocast(CPU, "float32"):
        assert not torch.is_autocast_enabled("cpu")


def test_bfloat16_is_near_float32():
    exact, rounded = image_features("float32"), image_features("bfloat16")
    assert rounded.dtype == torch.bfloat16  # it was really used
    similarity = torch.cosine_similarity(exact, rounded.float(), dim=-1)
    assert (similarity > 0.999).all()
    assert not torch.equal(exact, rounded.float())


def test_weights_are_cast_once_and_only_those_of_products():
    block = small_model("clip").transformer.resblocks[0]
    half = with_cast_matrices(block, "bfloat16")
    assert with_cast_matrices(block, "float32") is block
    assert {p.dtype for p in block.parameters()} == {torch.float32}  # the model's own weights stay
    kept = {name for name, p in half.named_parameters() if p.dtype == torch.float32}
    assert kept == {f"ln_{n}.{part}" for n in (1, 2) for part in ("weight", "bias")}
