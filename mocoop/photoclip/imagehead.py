"""The projection of pictures into the space of words.

It learns from two kinds of pooled features: of rendered pictures with names and looks (`gallery`), and of ImageNet's
thousand classes, of which there are no pictures here, only the classifier's rows. A linear classifier's row is the
direction that tells its class apart, w = C^-1 (mean of the class - mean of all), so the mean of the class is found
back as C w with the covariance C of the features; the mean of natural photographs is known from the batch
normalisation before the pooling.

The joint space has two halves. In the first lie the words as the sentence model knows them; the projection's hidden
layer reaches it from what the classifier answers, over classes of which the most alike are merged, and from the best
linear map to the words, made straight by a large bias; ridge regression joins the two: the first carries things that
ImageNet has and mixes of them (Norouzi et al. 2014), the second what it has not. In the second half lie the pictures
as the image tower sees them, by a linear map that tells most of the classes apart; the text tower's last projection
learns to point there (looking for words among pictures suffers less from hubs than the reverse: Zhang et al. 2017).
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
MATCHED = ("visual.head.", "text_projection", "logit_scale")  # what is trained on matching


@dataclass(frozen=True, kw_only=True)
class HeadRecipe:
    """Settings of the training of the projection."""

    seed: int = 0
    steps: int = 400
    batch: int = 128  # of each kind
    learning_rate: float = 5e-4
    words_rate: float = 5e-4  # of the text tower's projection into the half of pictures
    share: float = 0.5  # of the way from the closed form to what was trained
    seen: float = 1.0  # length of the half of pictures, when the half of words has 1
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

    def means(self, height: float = 10.0) -> Tensor:
        """The mean feature of each class (1000, 1280), where its own answer is this high."""
        own = (self.rows * self.mean).sum(1) + self.bias
        found: Tensor = (self.mean + (height - own)[:, None] * self.directions).clamp(0, 6)
        return found

    def logits(self, features: Tensor) -> Tensor:
        """The classifier's answer (N, 1000)."""
        found: Tensor = features @ self.rows.T + self.bias
        return found


class LookShifts:
    """How a photograph's features change when it is rendered in another look, learned from things shown in both."""

    def __init__(self, features: Tensor, shown: Sequence[Shown], strength: float = 1.0) -> None:
        photos: dict[int, list[int]] = {}
        for place, one in enumerate(shown):
            if one.look == "photo":
                photos.setdefault(one.thing, []).append(place)
        self._maps: dict[str, tuple[Tensor, Tensor, Tensor, Tensor]] = {}
        for look in LOOKS:
            places = [place for place, one in enumerate(shown) if one.look == look != "photo" and one.thing in photos]
            if len(places) < 20:
                continue
            start = torch.stack([features[photos[shown[place].thing]].mean(0) for place in places])
            share = torch.full((len(places),), 1 / len(places))
            middle, away = _ridge(start, features[places], share, strength)
            level = features[places].mean(0)
            self._maps[look] = (middle, level, away, features[places] - level - (start - middle) @ away)

    def looks(self) -> list[str]:
        """The looks that were learned."""
        return list(self._maps)

    def draw(self, features: Tensor, look: str, rng: torch.Generator) -> Tensor:
        """Features (N, 1280) of photographs as they might be in another look, with the rest of a random picture."""
        middle, level, away, rest = self._maps[look]
        other = rest[torch.randint(len(rest), (len(features),), generator=rng)]
        amount = torch.rand(len(features), 1, generator=rng)
        found: Tensor = (level + (features - middle) @ away + amount * other).clamp(0, 6)
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
class WordStates:
    """The text tower's last states, before its projection, of what the pictures are matched with."""

    names: Tensor  # (T, M, W): every name in T templates
    looks: Tensor  # (F, P, L, W): the main name of every picture in F wordings of L looks
    main: Tensor  # (N,) indices into P

    def plain(self) -> tuple[Tensor, Tensor, Tensor]:
        """The three tensors."""
        return self.names, self.looks, self.main


def word_states(model: Any, shown: Sequence[Shown], named: Naming) -> WordStates:
    """Encode all names in the naming templates, and all pictures' main names in every look."""
    rows = [texttower.states(model, [template.replace("{}", name) for name in named.names]) for template in NAMING]
    mains = tuple(dict.fromkeys(one.names[0] for one in shown))
    wordings = []
    for turn in WORDINGS_USED:
        texts = [WORDINGS[look][turn % len(WORDINGS[look])].replace("{}", name) for name in mains for look in LOOKS]
        wordings.append(texttower.states(model, texts).reshape(len(mains), len(LOOKS), -1))
    at = {name: place for place, name in enumerate(mains)}
    return WordStates(torch.stack(rows), torch.stack(wordings), torch.tensor([at[one.names[0]] for one in shown]))


@dataclass(frozen=True)
class Examples:
    """What the projection learns from: features of pictures and what they show, and made-up ones of classes."""

    features: Tensor  # (N, 1280)
    shown: Sequence[Shown]
    named: Naming
    words: WordStates
    made: ClassFeatures
    shifts: LookShifts

    def looks(self) -> Tensor:
        """The look of each picture (N,), as an index into LOOKS."""
        return torch.tensor([LOOKS.index(one.look) for one in self.shown])


def start_head(model: Any, given: Examples, recipe: HeadRecipe, draws: int = 8) -> None:
    """Set the projection, and the text tower's into the half of pictures, in closed form.

    `model.text_projection` (W, 2 V) holds words in its first V columns.
    """
    mlp, words, made = model.visual.head.mlp, given.words, given.made
    width = model.text_projection.shape[1] // 2
    project = model.text_projection.data[:, :width]
    names = F.normalize((words.names @ project), dim=-1).mean(0)
    looks = F.normalize(words.looks @ project, dim=-1).mean(0)  # (P, L, width)
    natural = looks[:, LOOKS.index("photo")].mean(0) - looks.mean((0, 1))
    named = given.named
    of_pictures = F.normalize(
        _mixed(names, named.pictures, named.picture_shares) + looks[words.main, given.looks()], dim=-1
    )
    of_classes = _mixed(names, named.classes, named.class_shares)
    classes = torch.arange(1000).repeat(draws)
    rows = torch.cat([given.features, made.draw(classes, torch.Generator().manual_seed(5))])
    wanted = torch.cat([of_pictures, F.normalize(of_classes + natural, dim=-1)[classes]])
    weights = torch.cat(
        [
            0.4 * _balance(given.shown).float() / _balance(given.shown).sum().float(),
            torch.full((len(classes),), 0.6 / len(classes)),
        ]
    )
    middle, linear = _ridge(rows, wanted, weights, 0.5)
    directions = _telling(rows, weights, width)
    turned = torch.linalg.qr(torch.randn(width, width, generator=torch.Generator().manual_seed(6)))[0]
    straight = torch.cat([linear, directions @ turned], 1)
    answers, bias = _merged(made, of_classes, len(mlp.fc1.bias) - 2 * width)
    reach = 3 / torch.quantile(((rows[::7] - middle) @ straight).abs(), 0.999, dim=0)  # (2 width,)
    mlp.fc1.weight.data.copy_(torch.cat([answers, (straight * reach).T]))
    mlp.fc1.bias.data.copy_(torch.cat([bias - THRESHOLD, STRAIGHT - middle @ straight * reach]))
    hidden = mlp.act(mlp.fc1(rows)).detach()
    centre, last = _ridge(hidden, wanted, weights, 0.3)
    picture = turned.T / reach[width:, None]  # back from the hidden units (width, width)
    size = (((rows - middle) @ directions).square().sum(1) * weights).sum().sqrt()
    length = ((hidden - centre) @ last).square().sum(1)
    picture = picture * recipe.seen * (length @ weights).sqrt() / size
    mlp.fc2.weight.data.zero_()
    mlp.fc2.weight.data[:width] = last.T
    mlp.fc2.weight.data[width:, -width:] = picture.T
    mlp.fc2.bias.data.copy_(torch.cat([-centre @ last, -STRAIGHT * picture.sum(0)]))
    _point(model, given, recipe)


def _telling(rows: Tensor, weights: Tensor, width: int, power: float = 0.25) -> Tensor:
    """The principal directions (1280, width) of the rows, the strong ones made weaker by a power of their variance."""
    away = rows - weights @ rows
    scatter = ((away * weights[:, None]).T @ away).double()
    values, vectors = torch.linalg.eigh(scatter)
    kept: Tensor = vectors.flip(1)[:, :width] * values.flip(0)[:width].clamp_min(1e-9) ** -power
    return kept.float()


def _point(model: Any, given: Examples, recipe: HeadRecipe, strength: float = 0.3) -> None:
    """Set the text tower's projection into the half of pictures: names to where their pictures lie."""
    width = model.text_projection.shape[1] // 2
    with torch.no_grad():
        seen = model.visual.head(given.features)[:, width:]
        of_classes = model.visual.head(given.made.means())[:, width:]
    named, count = given.named, len(given.named.names)
    total, amount = torch.zeros(count, width), torch.zeros(count, 1)
    for places, shares, rows in (
        (named.pictures, named.picture_shares, seen - seen.mean(0)),
        (named.classes, named.class_shares, of_classes - of_classes.mean(0)),
    ):
        for column in range(places.shape[1]):
            share = shares[:, column : column + 1]
            total.index_add_(0, places[:, column], share * rows)
            amount.index_add_(0, places[:, column], share)
    known = amount[:, 0] > 0.05
    aims = F.normalize(total[known] / amount[known], dim=1)
    states = given.words.names[:, known].mean(0)
    states = states - states.mean(0)
    _, found = _ridge(states, aims, torch.full((len(states),), 1 / len(states)), strength)
    words = given.words.names.flatten(0, 1) @ model.text_projection.data[:, :width]
    there = given.words.names.flatten(0, 1) @ found
    size = words.square().sum(1).mean().sqrt() / there.square().sum(1).mean().sqrt()
    model.text_projection.data[:, width:] = found * recipe.seen * size


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


class Centred:
    """A projection in training: what goes into each layer is taken from its mean, so that the steps fit.

    The straight units lie around STRAIGHT; a step of all their weights would otherwise move everything at once.
    """

    def __init__(self, mlp: Any, features: Tensor) -> None:
        self._mlp = mlp
        with torch.no_grad():
            self._middle = features.mean(0)
            self._centre = mlp.act(mlp.fc1(features[::3])).mean(0)
            mlp.fc1.bias += mlp.fc1.weight @ self._middle
            mlp.fc2.bias += mlp.fc2.weight @ self._centre

    def matrices(self) -> list[Tensor]:
        """The weights of both layers."""
        return [self._mlp.fc1.weight, self._mlp.fc2.weight]

    def vectors(self) -> list[Tensor]:
        """The biases of both layers."""
        return [self._mlp.fc1.bias, self._mlp.fc2.bias]

    def __call__(self, features: Tensor) -> Tensor:
        """Features (N, 1280) into the joint space (N, D)."""
        hidden = self._mlp.act(self._mlp.fc1(features - self._middle))
        found: Tensor = self._mlp.fc2(hidden - self._centre)
        return found

    @torch.no_grad()
    def settle(self) -> None:
        """Put the means back into the biases: the projection is a plain one again."""
        self._mlp.fc1.bias -= self._mlp.fc1.weight @ self._middle
        self._mlp.fc2.bias -= self._mlp.fc2.weight @ self._centre


def train_head(model: Any, given: Examples, recipe: HeadRecipe, *, say: Any = print) -> None:
    """Train the projection, and the text tower's into the half of pictures, to match pictures with words.

    In the end every weight goes back a part of its way: what lies between the start and the trained tells things that
    it never met better than either (Wortsman et al. 2022).
    """
    model.logit_scale.data.fill_(float(np.log(recipe.first_scale)))
    first = {name: value.clone() for name, value in model.state_dict().items()}
    rng = torch.Generator().manual_seed(recipe.seed + 11)
    words, named, made, photo = given.words, given.named, given.made, LOOKS.index("photo")
    width = model.text_projection.shape[1] // 2
    still = model.text_projection.data[:, :width].clone()
    pointing = nn.Parameter(model.text_projection.data[:, width:].clone())
    head = Centred(model.visual.head.mlp, given.features)
    optimizer = torch.optim.AdamW(
        [
            {"params": head.matrices(), "weight_decay": recipe.weight_decay},
            {"params": [*head.vectors(), model.logit_scale], "weight_decay": 0.0},
            {"params": [pointing], "weight_decay": recipe.weight_decay, "lr": recipe.words_rate},
        ],
        lr=recipe.learning_rate,
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: pace(step, recipe.steps, recipe.warmup))
    looks, weights, shifted = given.looks(), _balance(given.shown), given.shifts.looks()

    def text(states: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            found = states @ torch.cat([still, pointing], 1)
        return F.normalize(found.float(), dim=-1)

    start, seen = time.monotonic(), []
    for step in range(recipe.steps):
        part = torch.multinomial(weights, recipe.batch, replacement=True, generator=rng)
        classes = torch.randint(1000, (recipe.batch,), generator=rng)
        made_up = made.draw(classes, rng)
        class_look = photo
        if shifted and step % 3 == 2:
            look_name = shifted[int(torch.randint(len(shifted), (1,), generator=rng))]
            made_up, class_look = given.shifts.draw(made_up, look_name, rng), LOOKS.index(look_name)
        rows = torch.cat([_noised(given.features[part], made, rng), made_up])
        found = F.normalize(head(rows), dim=-1)
        scale = model.logit_scale.exp()
        bank = text(words.names[int(torch.randint(len(words.names), (1,), generator=rng))])
        logits = (scale * found @ bank.T).log_softmax(-1)
        ids = torch.cat([_wide(named.pictures[part], named.classes), _wide(named.classes[classes], named.pictures)])
        share = torch.cat(
            [
                _wide(named.picture_shares[part], named.class_shares),
                _wide(named.class_shares[classes], named.picture_shares),
            ]
        )
        calling = -(share * logits.gather(1, ids)).sum(1).mean()
        wording = words.looks[int(torch.randint(len(words.looks), (1,), generator=rng))]
        main, look = words.main[part], looks[part]
        styled = text(wording[main])  # (B, L, D)
        mine = found[: recipe.batch]
        telling = F.cross_entropy(scale * torch.einsum("bd,bld->bl", mine, styled), look)
        others = scale * torch.einsum("bd,bnd->bn", mine, styled.transpose(0, 1)[look])
        same = (main[:, None] == main[None, :]) & ~torch.eye(len(main), dtype=torch.bool)
        matching = F.cross_entropy(others.masked_fill(same, -torch.inf), torch.arange(len(main)))
        natural = F.cross_entropy(
            scale * found[recipe.batch :] @ styled.mean(0).T, torch.full((recipe.batch,), class_look)
        )
        loss = calling + 0.5 * telling + 0.5 * matching + 0.1 * natural
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        model.logit_scale.data.clamp_(max=float(np.log(recipe.max_scale)))
        seen.append([float(each.detach()) for each in (calling, telling, matching, natural)])
        if (step + 1) % 100 == 0 or step + 1 == recipe.steps:
            means = " ".join(f"{value:.3f}" for value in np.mean(seen[-100:], axis=0))
            seconds = time.monotonic() - start
            say(f"head step {step + 1}/{recipe.steps}  {means}  scale {float(scale.detach()):.1f}  {seconds:.0f} s")
    model.text_projection.data[:, width:] = pointing.data
    head.settle()
    for name, value in model.state_dict().items():
        if name.startswith(MATCHED):
            value.copy_(first[name] + recipe.share * (value - first[name]))


def _wide(rows: Tensor, like: Tensor) -> Tensor:
    missing = like.shape[1] - rows.shape[1]
    return F.pad(rows, (0, missing)) if missing > 0 else rows


def _noised(features: Tensor, made: ClassFeatures, rng: torch.Generator) -> Tensor:
    """Features with a little of the next picture's, as two things in one picture have, and a random departure."""
    share = torch.rand(len(features), 1, generator=rng) * 0.25
    mixed = (1 - share) * features + share * features.roll(1, 0)
    other = made.rest[torch.randint(len(made.rest), (len(features),), generator=rng)]
    found: Tensor = (mixed + 0.3 * torch.rand(len(features), 1, generator=rng) * other).clamp(0, 6)
    return found


def _balance(shown: Sequence[Shown]) -> Tensor:
    """How often each picture is drawn: names as often as the root of their number."""
    counts: dict[str, int] = {}
    for one in shown:
        counts[one.names[0]] = counts.get(one.names[0], 0) + 1
    return torch.tensor([counts[one.names[0]] ** -0.5 for one in shown], dtype=torch.float64)
