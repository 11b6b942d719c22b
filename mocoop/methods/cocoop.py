"""CoCoOp (Zhou et al. 2022b): a prompt that depends on the image.

A small network maps the normalised image feature to one vector that is added to every learned token: ctx(x) = ctx +
meta(x). So each image has text features of its own for every class. Plainly that is B x C prompts of full length; here
the images are the experts of the text engine, so that what stands before the class name runs once an image.
B images, C classes, M tokens, W text width, D joint width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mocoop.backbone.prompts import Context
from mocoop.backbone.text_engine import CHUNK_TOKENS, Encoder
from mocoop.config import CONTEXT, OPTIMISER, VIEWS, Config
from mocoop.errors import UsageError
from mocoop.mixture.classifier import Learned, Prediction
from mocoop.mixture.losses import class_loss
from mocoop.mixture.model import Mixed
from mocoop.mixture.objective import Terms
from mocoop.training.method import Loop, Method, Task
from mocoop.training.prompt_learning import ONE_EXPERT, learned_of, prompt_model, prompt_start, prompt_template

if TYPE_CHECKING:
    from mocoop.backbone.backbone import Backbone
    from mocoop.data.cache import FeatureCache
    from mocoop.groupfile.groups import Group

REDUCTION = 16  # the hidden layer has D / 16 units


class MetaNet(nn.Module):
    """D -> D / 16 -> W with a ReLU between."""

    def __init__(self, dim: int, width: int) -> None:
        super().__init__()
        hidden = max(1, dim // REDUCTION)
        self.first, self.second = nn.Linear(dim, hidden), nn.Linear(hidden, width)

    def init_random(self, seed: int) -> None:
        """PyTorch's default start of linear layers, drawn from `seed` alone."""
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for layer in (self.first, self.second):
                bound = layer.in_features**-0.5
                for parameter in (layer.weight, layer.bias):
                    drawn = torch.empty(parameter.shape).uniform_(-bound, bound, generator=generator)
                    parameter.copy_(drawn)

    def forward(self, x: Tensor) -> Tensor:
        """(B, W) of normalised image features (B, D)."""
        shift: Tensor = self.second(F.relu(self.first(x)))
        return shift


class ConditionalPrompts:
    """Class text features of images under ctx + meta(x)."""

    def __init__(self, backbone: Backbone, context: Context, classnames: Sequence[str]) -> None:
        self._text, self._tokens = backbone.text, len(context)
        self._rows = backbone.prompts.learned_rows([context], classnames)
        self._encoders: dict[int, Encoder] = {}  # by images at once: full batches, and a last smaller one

    @property
    def images_at_once(self) -> int:
        """How many images fit one chunk of the text engine, so that no image's prefix is run twice."""
        _, classes, length = self._rows.ids.shape
        longest = int(self._rows.lengths.max()) if self._text.shared_prefix else length
        return max(1, CHUNK_TOKENS // (classes * longest))

    def __call__(self, ctx: Tensor, shift: Tensor) -> Tensor:
        """Normalised features (B, C, D) from ctx (M, W) and the images' shifts (B, W)."""
        contexts = (ctx + shift[:, None, :]).flatten(0, 1)  # (B * M, W)
        return F.normalize(self._encoder(len(shift))(contexts).float(), dim=-1)

    def _encoder(self, images: int) -> Encoder:
        if images not in self._encoders:
            self._encoders[images] = self._text.prepare_to_learn(self._rows.repeated(images, self._tokens))
        return self._encoders[images]


@dataclass(frozen=True)
class ConditionalClassifier:
    """A prompt an image: prediction runs the text tower. One expert, which sees all."""

    classnames: tuple[str, ...]
    group_ids: tuple[str, ...]
    prompts: ConditionalPrompts
    ctx: Tensor
    meta: MetaNet
    tau: float

    @torch.no_grad()
    def predict(self, features: Tensor) -> Prediction:
        """Predict for image features (B, D), normalised or not."""
        x = F.normalize(features.float(), dim=-1).to(self.ctx.device)
        parts = x.split(self.prompts.images_at_once)
        cosines = [torch.einsum("bd,bcd->bc", part, self.prompts(self.ctx, self.meta(part))) for part in parts]
        probabilities = (torch.cat(cosines) / self.tau).softmax(-1).cpu()
        one = probabilities.new_ones(len(probabilities), 1)
        return Prediction(probabilities, one, one)


class CoCoOp(Method):
    """One prompt, moved by the image."""

    name = "cocoop"
    title = "CoCoOp"
    settings = OPTIMISER | VIEWS | (CONTEXT - {"class_ctx"}) | {"tau_class"}
    fixed = {**ONE_EXPERT, "class_ctx": False}

    conditional = True
    weighs = True

    def template(self, config: Config) -> str:
        """What ctx starts from."""
        return prompt_template(config)

    def start(self, config: Config, group: Group) -> str:
        """The words, or how many random tokens stand where."""
        return prompt_start(config)

    def learn(self, task: Task, loop: Loop) -> Learned:
        """Train the context and the meta-net."""
        backbone = task.backbone
        model = prompt_model(task)
        meta = MetaNet(backbone.embed_dim, backbone.text.width)
        meta.init_random(task.seed)
        meta.to(backbone.device)
        prompts = ConditionalPrompts(backbone, model.contexts[0], task.classnames)
        tau = task.config.class_temperature(backbone.logit_scale)

        def terms(x: Tensor, labels: Tensor, weights: Tensor | None = None) -> Terms:
            cosines = torch.einsum("bd,bcd->bc", x, prompts(model.ctx, meta(x)))
            one = cosines.new_ones(len(x), 1)
            return Terms.of(class_loss(cosines, labels, tau, weights), mixed=Mixed(cosines, 0 * one, one))

        parameters = {"ctx": model.ctx, **{f"meta.{name}": value for name, value in meta.named_parameters()}}
        loop(parameters, terms)
        return learned_of(task, parameters, model.contexts)

    def class_features(
        self, learned: Learned, classnames: Sequence[str], backbone: Backbone, *, cache: FeatureCache | None = None
    ) -> None:
        """None: each image has its own."""

    def predictor(
        self, learned: Learned, classnames: Sequence[str], features: Tensor | None, backbone: Backbone | None
    ) -> ConditionalClassifier:
        """The prompts of any classes; needs the text tower."""
        if backbone is None:
            raise UsageError("CoCoOp's prompts depend on the image: predicting needs the backbone", "pass backbone=")
        meta = MetaNet(backbone.embed_dim, backbone.text.width)
        tensors = learned.tensors
        meta.load_state_dict({n.removeprefix("meta."): t for n, t in tensors.items() if n.startswith("meta.")})
        return ConditionalClassifier(
            classnames=tuple(classnames),
            group_ids=learned.groups.ids,
            prompts=ConditionalPrompts(backbone, learned.contexts[0], classnames),
            ctx=tensors["ctx"].to(backbone.device),
            meta=meta.to(backbone.device),
            tau=learned.config.class_temperature(learned.logit_scale),
        )


METHOD = CoCoOp()
