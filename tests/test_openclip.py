"""open_clip without the libraries that a model does not need, and with them once one does. Each in a fresh process."""

from __future__ import annotations

import subprocess
import sys

LEAN = """
import sys
from mocoop.openclip import complete, open_clip
heavy = {"timm", "transformers", "torch._dynamo", "torch._dynamo.utils", "sympy"} & set(sys.modules)
assert not heavy, heavy
"""


def passes(script: str) -> None:
    done = subprocess.run([sys.executable, "-c", LEAN + script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_clip_model_is_built_without_the_optional_libraries_and_others_get_theirs():
    passes("""
import torch
from mocoop.backbone.pretrained import build_model
build_model(open_clip.get_model_config("RN50") | {"custom_text": False})
assert not {"timm", "transformers", "torch._dynamo"} & set(sys.modules)

tower = {"image_size": 32, "timm_model_name": "resnet18", "timm_pool": "avg", "timm_proj": ""}
text = {"context_length": 8, "vocab_size": 64, "width": 16, "heads": 2, "layers": 1}
model = build_model({"embed_dim": 512, "vision_cfg": tower, "text_cfg": text})
with torch.no_grad():
    assert model.encode_image(torch.zeros(1, 3, 32, 32)).shape[0] == 1
assert "timm" in sys.modules and "transformers" not in sys.modules and "torch._dynamo" not in sys.modules

complete("transformers")
assert open_clip.hf_model.transformers is sys.modules["transformers"]
assert open_clip.model.HFTextEncoder.__init__.__globals__["transformers"] is sys.modules["transformers"]
""")


def test_the_compiler_comes_when_it_is_asked_for():
    passes("""
import torch
from torchvision.ops import roi_align
assert torch.compiler.disable.__module__ == "torch.compiler"
torch.use_deterministic_algorithms(True)
boxes = torch.tensor([[0.0, 0.0, 0.0, 4.0, 4.0]])
assert roi_align(torch.ones(1, 1, 8, 8), boxes, 2).flatten().tolist() == [1.0] * 4
from torchvision.ops.roi_align import is_compile_supported
assert is_compile_supported("cpu") in (True, False)
assert sys.modules["torch._dynamo.utils"].is_compile_supported is not is_compile_supported

first = open_clip  # as if somebody else had imported it
del sys.modules["mocoop.openclip"]
from mocoop.openclip import open_clip
assert open_clip is first
""")
