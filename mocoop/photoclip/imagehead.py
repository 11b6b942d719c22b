"""The projection of pictures into the space of words.

It learns from two kinds of pooled features: of rendered pictures with names and looks (`gallery`), and of ImageNet's
thousand classes, of which there are no pictures here, only the classifier's rows. A linear classifier's row is the
direction that tells its class apart, w = C^-1 (mean of the class - mean of all), so the mean of the class is found
back as C w with the covariance C of the features; the mean of natural photographs is known from the batch
normalisation before the pooling.

The projection's hidden layer starts as two things: what the classifier answers, over classes of which the most alike
are merged, and the best linear map to the words, made straight by a large bias. Ridge regression joins them: the first
carries things that ImageNet has and mixes of them (Norouzi et al. 2014), the second what it has not.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mocoop.photoclip import texttower
from mocoop.photoclip.gallery import Shown
from mocoop.photoclip.looks import WORDINGS
from mocoop.photoclip.texttower import pace
from mocoop.photoclip.words import WordNet, imagenet

LOOKS = tuple(WORDINGS)
NAMING = ("{}", "a photo of a {}.", "an image of {}.")
WORDINGS_USED = (0, 3)  # of each look


@dataclass(frozen=True, kw_only=True)
class HeadRecipe:
    """Settings of the training of the projection."""

    seed: int = 0
    steps: int = 300
    batch: int = 128  # of each kind
    learning_rate: float = 1.5e-4
    weight_decay: float = 0.02
    warmup: int = 20
    first_scale: float = 30.0
    max_scale: float = 100.0


def natural_mean(trunk: Any) -> Tensor:
    """The mean pooled feature (1280,) of the photographs that the classifier was trained on: E relu6(N(b, g^2))."""
    shift, spread = trunk.bn2.bias.double(), trunk.bn2.weight.double().abs().clamp_min(1e-6)
    normal = torch.distributions.Normal(torch.zeros_like(shift), torch.ones_like(shift))

    def above(level: float) -> Tensor:  # E max(0, x - level)
        z = (shift - level) / spread
        found: Tensor = (shift - level) * normal.cdf(z) + spread * normal.log_prob(z).exp()
        return found

    return (above(0.0) - above(6.0)).float()


class ClassFeatures:
    """Made-up pooled features of ImageNet's classes."""

    def __init__(self, trunk: Any, real: Tensor) -> None:
        """`real` (N, 1280) are features of pictures, from which the covariance is taken."""
        self.rows, self.bias = trunk.classifier.weight.detach().float(), trunk.classifier.bias.detach().float()
        self.mean = natural_mean(trunk)
        self.rest = real - real.mean(0)
        scatter = self.rest.T @ self.rest / len(real)
        diagonal = torch.diag(scatter.diag().clamp_min(1e-6))
        self.directions = self.rows @ (0.7 * scatter + 0.3 * diagonal)  # (1000, 1280)
        gain = (self.directions * self.rows).sum(1)
        self.directions = self.directions / gain[:, None]  # a step of 1 raises the own logit by 1

    def draw(self, classes: Tensor, rng: torch.Generator) -> Tensor:
        """Features (N, 1280) for classes (N,): the natural mean, a random other picture's departure, the class."""
        count = len(classes)
        other = self.rest[torch.randint(len(self.rest), (count,), generator=rng)]
        amount = torch.rand(count, 1, generator=rng) * 0.9 + 0.1
        height = torch.rand(count, 1, generator=rng) * 9 + 6
        start = self.mean + amount * other
        logits = start @ self.rows.T + self.bias
        own = logits.gather(1, classes[:, None])
        found: Tensor = (start + (height - own) * self.directions[classes]).clamp(0, 6)
        return found

    def logits(self, features: Tensor) -> Tensor:
        """The classifier's answer (N, 1000)."""
        found: Tensor = features @ self.rows.T + self.bias
        return found


@dataclass(frozen=True)
class Naming:
    """What may be called what: all names, and for each training example the share of each of its names."""

    names: tuple[str, ...]
    pictures: Tensor  # (N, K) indices into names
    picture_shares: Tensor  # (N, K), sums to 1
    classes: Tensor  # (1000, K)
    class_shares: Tensor  # (1000, K)


def naming(shown: Sequence[Shown], net: WordNet, kinds_share: float = 0.35) -> Naming:
    """Names of pictures and classes: their own, and with a smaller share what they are kinds of."""
    index: dict[str, int] = {}

    def shares(own: Sequence[str], wnid: str | None) -> list[tuple[int, float]]:
        kinds = net.kinds_of(wnid)[:8] if wnid and wnid in net.synsets else []
        words = [net.synsets[kind].words[0] for kind in kinds]
        words = [word for word in dict.fromkeys(words) if word not in own]
        found = [(name, (1 - kinds_share * bool(words)) * weight) for name, weight in _weights(own, 0.6)]
        found += [(word, kinds_share * weight) for word, weight in _weights(words, 0.75)]
        return [(index.setdefault(name, len(index)), share) for name, share in found]

    pictures = [shares(one.names, one.wnid) for one in shown]
    classes = [shares(net.synsets[wnid].words[:4] if wnid in net.synsets else (), wnid) for wnid in imagenet()]
    picture_ids, picture_shares = _padded(pictures)
    class_ids, class_shares = _padded(classes)
    return Naming(tuple(index), picture_ids, picture_shares, class_ids, class_shares)


def _weights(words: Sequence[str], falloff: float) -> list[tuple[str, float]]:
    weights = np.array([falloff**place for place in range(len(words))])
    return list(zip(words, (weights / weights.sum()).tolist(), strict=True)) if len(words) else []


def _padded(rows: list[list[tuple[int, float]]]) -> tuple[Tensor, Tensor]:
    width = max(len(row) for row in rows)
    ids = torch.tensor([[number for number, _ in row] + [0] * (width - len(row)) for row in rows])
    shares = torch.tensor([[share for _, share in row] + [0.0] * (width - len(row)) for row in rows])
    return ids, shares


@dataclass(frozen=True)
class WordFeatures:
    """The text tower's features of what the pictures are matched with."""

    names: Tensor  # (T, M, D): every name in T templates
    looks: Tensor  # (W, P, L, D): the main name of every picture in W wordings of L looks
    main: Tensor  # (N,) indices into P

    def plain(self) -> tuple[Tensor, Tensor, Tensor]:
        """The three tensors."""
        return self.names, self.looks, self.main


def word_features(model: Any, shown: Sequence[Shown], named: Naming) -> WordFeatures:
    """Encode all names in the naming templates, and all pictures' main names in every look."""
    rows = [texttower.features(model, [template.replace("{}", name) for name in named.names]) for template in NAMING]
    mains = tuple(dict.fromkeys(one.names[0] for one in shown))
    wordings = []
    for turn in WORDINGS_USED:
        texts = [WORDINGS[look][turn % len(WORDINGS[look])].replace("{}", name) for name in mains for look in LOOKS]
        wordings.append(texttower.features(model, texts).reshape(len(mains), len(LOOKS), -1))
    at = {name: place for place, name in enumerate(mains)}
    return WordFeatures(torch.stack(rows), torch.stack(wordings), torch.tensor([at[one.names[0]] for one in shown]))


def start_head(
    mlp: Any, features: Tensor, shown: Sequence[Shown], named: Naming, words: WordFeatures, made: ClassFeatures,
    width: int, draws: int = 10,
) -> None:  # fmt: skip
    """Set the projection by ridge regression; the words' features are 0 but in `width` dimensions."""
    names = F.normalize(words.names.mean(0), dim=-1)[:, :width]
    looks = words.looks.mean(0)[..., :width]  # (P, L, width)
    look = torch.tensor([LOOKS.index(one.look) for one in shown])
    natural = looks[:, LOOKS.index("photo")].mean(0) - looks.mean((0, 1))
    of_pictures = F.normalize(_mixed(names, named.pictures, named.picture_shares) + looks[words.main, look], dim=-1)
    of_classes = _mixed(names, named.classes, named.class_shares)
    classes = torch.arange(1000).repeat(draws)
    rows = torch.cat([features, made.draw(classes, torch.Generator().manual_seed(5))])
    wanted = torch.cat([of_pictures, F.normalize(of_classes + natural, dim=-1)[classes]])
    weights = torch.cat(
        [torch.full((len(features),), 0.4 / len(features)), torch.full((len(classes),), 0.6 / len(classes))]
    )
    middle, linear = _ridge(rows, wanted, weights, 0.5)
    answers, bias = _merged(made, of_classes, len(mlp.fc1.bias) - width)
    reach = 3 / torch.quantile(((rows[:4000] - middle) @ linear).abs().flatten()[:1_000_000], 0.999)
    mlp.fc1.weight.data.copy_(torch.cat([answers, (linear * reach).T]))
    mlp.fc1.bias.data.copy_(torch.cat([bias - THRESHOLD, STRAIGHT - middle @ linear * reach]))
    hidden = mlp.act(mlp.fc1(rows)).detach()
    middle, last = _ridge(hidden, wanted, weights, 0.3)
    mlp.fc2.weight.data.zero_()
    mlp.fc2.bias.data.zero_()
    mlp.fc2.weight.data[:width] = last.T
    mlp.fc2.bias.data[:width] = -middle @ last


THRESHOLD = 2.0  # of the classifier's answers
STRAIGHT = 6.0  # a bias above which GELU is the identity


def _mixed(names: Tensor, ids: Tensor, shares: Tensor) -> Tensor:
    return F.normalize((names[ids] * shares[..., None]).sum(1), dim=-1)


def _ridge(rows: Tensor, wanted: Tensor, weights: Tensor, strength: float) -> tuple[Tensor, Tensor]:
    """The weighted middle of the rows and the matrix that takes departures from it to what is wanted."""
    middle = weights @ rows
    away = rows - middle
    scatter = (away * weights[:, None]).T @ away
    toward = (away * weights[:, None]).T @ (wanted - weights @ wanted)
    ridge = strength * scatter.diag().mean() * torch.eye(len(scatter))
    return middle, torch.linalg.solve(scatter + ridge, toward)


def _merged(made: ClassFeatures, meanings: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The classifier's rows and biases for `count` groups of classes that look alike and mean alike."""
    from sklearn.cluster import AgglomerativeClustering

    rows = F.normalize(made.rows - made.rows.mean(0), dim=-1)
    alike = (rows @ rows.T + meanings @ meanings.T) / 2
    grouping = AgglomerativeClustering(n_clusters=count, metric="precomputed", linkage="average")
    group = torch.from_numpy(grouping.fit((1 - alike).clamp_min(0).numpy()).labels_)
    share = F.one_hot(group, count).float()
    share = share / share.sum(0)
    return share.T @ made.rows, share.T @ made.bias


def train_head(
    head: nn.Module, logit_scale: nn.Parameter, features: Tensor, shown: Sequence[Shown], named: Naming,
    words: WordFeatures, made: ClassFeatures, recipe: HeadRecipe, *, say: Any = print,
) -> None:  # fmt: skip
    """Train the projection on features (N, 1280) of the pictures shown, and on made-up ones of ImageNet's classes."""
    rng = torch.Generator().manual_seed(recipe.seed + 11)
    matrices = [value for value in head.parameters() if value.ndim > 1]
    vectors = [value for value in head.parameters() if value.ndim == 1]
    logit_scale.data.fill_(float(np.log(recipe.first_scale)))
    optimizer = torch.optim.AdamW(
        [
            {"params": matrices, "weight_decay": recipe.weight_decay},
            {"params": [*vectors, logit_scale], "weight_decay": 0.0},
        ],
        lr=recipe.learning_rate,
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: pace(step, recipe.steps, recipe.warmup))
    looks = torch.tensor([LOOKS.index(one.look) for one in shown])
    weights = _balance(shown)
    photo = LOOKS.index("photo")
    start, seen = time.monotonic(), []
    for step in range(recipe.steps):
        part = torch.multinomial(weights, recipe.batch, replacement=True, generator=rng)
        classes = torch.randint(1000, (recipe.batch,), generator=rng)
        rows = torch.cat([_noised(features[part], rng), made.draw(classes, rng)])
        found = F.normalize(head(rows), dim=-1)
        scale = logit_scale.exp()
        bank = words.names[int(torch.randint(len(words.names), (1,), generator=rng))]
        logits = (scale * found @ bank.T).log_softmax(-1)
        ids = torch.cat([_wide(named.pictures[part], named.classes), _wide(named.classes[classes], named.pictures)])
        share = torch.cat(
            [
                _wide(named.picture_shares[part], named.class_shares),
                _wide(named.class_shares[classes], named.picture_shares),
            ]
        )
        calling = -(share * logits.gather(1, ids)).sum(1).mean()
        styled = words.looks[int(torch.randint(len(words.looks), (1,), generator=rng))]
        main, look = words.main[part], looks[part]
        mine = found[: recipe.batch]
        telling = F.cross_entropy(scale * torch.einsum("bd,bld->bl", mine, styled[main]), look)
        others = scale * torch.einsum("bd,bnd->bn", mine, styled[main].transpose(0, 1)[look])
        same = (main[:, None] == main[None, :]) & ~torch.eye(len(main), dtype=torch.bool)
        matching = F.cross_entropy(others.masked_fill(same, -torch.inf), torch.arange(len(main)))
        natural = F.cross_entropy(scale * found[recipe.batch :] @ styled.mean(0).T, torch.full((recipe.batch,), photo))
        loss = calling + 0.5 * telling + 0.5 * matching + 0.1 * natural
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        logit_scale.data.clamp_(max=float(np.log(recipe.max_scale)))
        seen.append([float(each.detach()) for each in (calling, telling, matching, natural)])
        if (step + 1) % 100 == 0 or step + 1 == recipe.steps:
            means = " ".join(f"{value:.3f}" for value in np.mean(seen[-100:], axis=0))
            seconds = time.monotonic() - start
            say(f"head step {step + 1}/{recipe.steps}  {means}  scale {float(scale.detach()):.1f}  {seconds:.0f} s")


def _wide(rows: Tensor, like: Tensor) -> Tensor:
    missing = like.shape[1] - rows.shape[1]
    return F.pad(rows, (0, missing)) if missing > 0 else rows


def _noised(features: Tensor, rng: torch.Generator) -> Tensor:
    """Features with a little of the next picture's, as two things in one picture have."""
    share = torch.rand(len(features), 1, generator=rng) * 0.25
    return (1 - share) * features + share * features.roll(1, 0)


def _balance(shown: Sequence[Shown]) -> Tensor:
    """How often each picture is drawn: names as often as the root of their number."""
    counts: dict[str, int] = {}
    for one in shown:
        counts[one.names[0]] = counts.get(one.names[0], 0) + 1
    return torch.tensor([counts[one.names[0]] ** -0.5 for one in shown], dtype=torch.float64)
