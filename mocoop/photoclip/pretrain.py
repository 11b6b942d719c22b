"""The script that made `photoclip.safetensors`: python -m mocoop.photoclip.pretrain --pictures FOLDER [--out FILE]

FOLDER holds the unpacked packages that docs/photoclip.md names; EfficientNet-Lite0 and MiniLM come with the extra
`photoclip`. First the text tower is distilled from MiniLM, then pictures are rendered and seen by EfficientNet-Lite0,
then the projection learns to match them with words. Every choice follows from the seed and the recipe, never from the
clock: the same command on the same machine and thread count gives the same bytes. `--kept` keeps what is computed on
the way (the teacher's vectors, the pictures' features) and takes it from there the next time.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mocoop.openclip import open_clip
from mocoop.photoclip import gallery, imagehead, pictures, scorecard, teachers, texttower, weights, words
from mocoop.photoclip.gallery import Plan, Shown
from mocoop.photoclip.imagehead import HeadRecipe
from mocoop.photoclip.models import Models
from mocoop.photoclip.pictures import Picture
from mocoop.photoclip.scene import Ground
from mocoop.photoclip.texttower import Space, TextRecipe
from mocoop.photoclip.words import WordNet

WORDNET = Path("wordnet-base/usr/share/wordnet")
TEACHER_WIDTH = 384
PICTURE_PARTS = 8  # in which pictures are kept
PART = 10_000  # sentences that the teacher takes at once


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """All settings."""

    text: TextRecipe = field(default_factory=TextRecipe)
    head: HeadRecipe = field(default_factory=HeadRecipe)
    plan: Plan = field(default_factory=Plan)
    seed: int = 0
    sentences: int = 100_000
    held_out_names: int = 1500


class Kept:
    """Results on the way, plain tensors, texts and lists of them, by name; in a folder if one is given."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder

    def get(self, name: str, make: Callable[[], Any]) -> Any:
        """What was kept under this name, else what `make` gives, which is then kept."""
        path = self.folder / f"{name}.pt" if self.folder else None
        if path and path.exists():
            return torch.load(path, weights_only=True)  # written below; as tensors and plain lists, nothing is called
        start = time.monotonic()
        found = make()
        print(f"{name}: {time.monotonic() - start:.0f} s", flush=True)
        if path:
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.save(found, path)
        return found


@dataclass(frozen=True)
class Texts:
    """Texts and their targets, and the names that were kept out of them."""

    texts: list[str]
    targets: Tensor  # (N, 384)
    held_out: list[str]
    held_out_targets: Tensor


@dataclass(frozen=True)
class Seen:
    """Pictures as EfficientNet-Lite0 saw them."""

    shown: list[Shown]
    sources: list[str]
    features: Tensor  # (N, 1280)

    def part(self, places: list[int]) -> Seen:
        """Some of them."""
        return Seen([self.shown[at] for at in places], [self.sources[at] for at in places], self.features[places])


def main() -> None:
    """Train, write the weights and print the scorecard."""
    arguments = _arguments()
    start = time.monotonic()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    plan = Plan(photos=arguments.renderings, layouts=6 * arguments.renderings)
    recipe = Recipe(
        text=TextRecipe(seed=arguments.seed, steps=arguments.text_steps),
        head=HeadRecipe(seed=arguments.seed, steps=arguments.head_steps),
        plan=plan,
        seed=arguments.seed,
    )
    model, scores = train(recipe, arguments.pictures, Kept(arguments.kept))
    minutes = (time.monotonic() - start) / 60
    facts = {
        f"recipe.{part}.{name}": str(value)
        for part in ("text", "head", "plan")
        for name, value in asdict(recipe)[part].items()
    }
    facts |= {"seed": str(recipe.seed), "torch": torch.__version__, "timm_model": teachers.ARCHITECTURE}
    weights.pack(arguments.out, model.state_dict(), facts | scores.facts())
    print(scores)
    print(f"{arguments.out}: {arguments.out.stat().st_size / 1e6:.2f} MB, {minutes:.1f} min")


def train(recipe: Recipe, folder: Path, kept: Kept) -> tuple[open_clip.CLIP, scorecard.Scorecard]:
    """The whole model, trained, with its scorecard measured on the weights as they are stored."""
    net = WordNet.read(folder / WORDNET)
    torch.manual_seed(recipe.seed)
    model = weights.untrained()
    texts = distilled_text(model, recipe, net, kept)
    seen = see(recipe, folder, net, kept)
    trunk = teachers.lite0()
    own = {name: value for name, value in trunk.state_dict().items() if not name.startswith("classifier")}
    model.visual.trunk.load_state_dict(own)
    model.eval()
    hold = [
        scorecard.held_out(one.names[0]) if one.thing >= 0 else place % 7 == 0 for place, one in enumerate(seen.shown)
    ]
    train_on = seen.part([place for place, held in enumerate(hold) if not held])
    test_on = seen.part([place for place, held in enumerate(hold) if held])
    named = imagehead.naming(train_on.shown, net)
    states = imagehead.WordStates(
        *kept.get("words", lambda: imagehead.word_states(model, train_on.shown, named).plain())
    )
    given = imagehead.Examples(
        train_on.features, train_on.shown, named, states, imagehead.ClassFeatures(trunk, seen.features),
        imagehead.LookShifts(train_on.features, train_on.shown),
    )  # fmt: skip
    imagehead.start_head(model, given, recipe.head)
    imagehead.train_head(model, given, recipe.head, say=_say)
    return model, card(model, texts, test_on, given.made, net)


def card(
    model: open_clip.CLIP, texts: Texts, test_on: Seen, made: imagehead.ClassFeatures, net: WordNet
) -> scorecard.Scorecard:
    """The scorecard of a model, measured on its weights as they are stored."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "photoclip.safetensors"
        weights.pack(path, model.state_dict())
        stored = weights.untrained().eval()
        stored.load_state_dict(weights.state_dict(path))
    with torch.no_grad():
        rows = scorecard.of_words(stored, texts.held_out, texts.held_out_targets)
        rows |= scorecard.of_pictures(stored, test_on.features, test_on.shown, test_on.sources)
        classes = torch.arange(1000)
        rows |= scorecard.of_classes(stored, made.draw(classes, torch.Generator().manual_seed(99)), classes, net)
    return scorecard.Scorecard(rows)


def distilled_text(model: open_clip.CLIP, recipe: Recipe, net: WordNet, kept: Kept) -> Texts:
    """Distil the text tower; returns what it learned from, the held-out targets in the model's dimensions."""
    *taught_texts, tokens = kept.get("teacher", lambda: taught(recipe, net))
    texts = Texts(*taught_texts)

    def distil() -> dict[str, Tensor]:
        tower = weights.untrained(embed_dim=TEACHER_WIDTH)
        tower.token_embedding.weight.data.copy_(texttower.token_table(tokens, tower.token_embedding.embedding_dim))
        texttower.distil(tower, texts.texts, texts.targets, recipe.text, say=_say)
        return {name: value for name, value in tower.state_dict().items() if not name.startswith(("visual", "logit_"))}

    state = kept.get("text", distil)
    words_half, directions = texttower.into_half(state["text_projection"])
    state["text_projection"] = F.pad(words_half, (0, words_half.shape[1]))  # the other half is for pictures
    model.load_state_dict(state, strict=False)
    return replace(texts, held_out_targets=texts.held_out_targets @ directions)


def taught(recipe: Recipe, net: WordNet) -> tuple[Any, ...]:
    """What the teacher says of all texts (the fields of `Texts`), and of the tokens (49408, 384)."""
    teacher = teachers.Sentences()
    names = words.names(net)
    vectors = teacher.encode(names).half()
    tokens = teacher.encode(texttower.token_texts()).half()
    told = words.sentences(net, names, recipe.sentences, np.random.default_rng(recipe.seed + 1))
    parts = [told[start : start + PART] for start in range(0, len(told), PART)]
    sentences = torch.cat([teacher.encode([one.text for one in part]).half() for part in parts])
    texts = targeted(recipe, names, vectors, told, sentences)
    return texts.texts, texts.targets, texts.held_out, texts.held_out_targets, tokens


def targeted(recipe: Recipe, names: list[str], vectors: Tensor, told: list[words.Sentence], sentences: Tensor) -> Texts:
    """Names and sentences with their targets; some names, and all sentences about them, are held out."""
    space, at = Space.of(vectors), {name: place for place, name in enumerate(names)}
    hidden = set(random.Random(recipe.seed + 7).sample(names, recipe.held_out_names))
    texts = [name for name in names if name not in hidden]
    targets = [space.names(vectors[[at[name] for name in texts]])]
    for start in range(0, len(told), PART):
        places = [place for place in range(start, min(start + PART, len(told))) if told[place].name not in hidden]
        about = [place for place in places if told[place].name is not None]
        alone = [place for place in places if told[place].name is None]
        texts += [told[place].text for place in (*about, *alone)]
        of_names = vectors[[at[told[place].name or ""] for place in about]]
        targets += [space.sentences(sentences[about], of_names), space.names(sentences[alone])]
    held_out = sorted(hidden)
    return Texts(texts, torch.cat(targets), held_out, space.names(vectors[[at[name] for name in held_out]]))


def see(recipe: Recipe, folder: Path, net: WordNet, kept: Kept) -> Seen:
    """Render all pictures and encode them, every PICTURE_PARTS-th together."""
    land = pictures.terrain(folder)
    planned = gallery.shown(pictures.things(folder, net), land, recipe.plan)
    ground, trunk = Ground(land, Models(folder)), teachers.lite0()
    features = torch.empty(len(planned), 1280)
    for part in range(PICTURE_PARTS):
        places = range(part, len(planned), PICTURE_PARTS)
        encode = partial(_encoded, planned, places, ground, trunk, recipe.seed)
        features[part::PICTURE_PARTS] = kept.get(f"pictures-{part}", encode)
    sources = ["drawn" if picture is None else picture.source for _, picture in planned]
    return Seen([one for one, _ in planned], sources, features)


def _encoded(
    planned: list[tuple[Shown, Picture | None]], places: range, ground: Ground, trunk: Any, seed: int
) -> Tensor:
    found, waiting = [], []
    for picture in gallery.paint(planned, places, ground, seed):
        waiting.append(picture)
        if len(waiting) == 32:
            found.append(teachers.pooled(trunk, np.stack(waiting)))
            waiting = []
    if waiting:
        found.append(teachers.pooled(trunk, np.stack(waiting)))
    return torch.cat(found)


def _say(line: str) -> None:
    print(line, flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m mocoop.photoclip.pretrain", description=(__doc__ or "").strip())
    parser.add_argument("--pictures", type=Path, required=True, help="the folder with the unpacked packages")
    parser.add_argument(
        "--text-steps", type=int, default=TextRecipe.steps, help="of distillation (default: %(default)s)"
    )
    parser.add_argument(
        "--head-steps", type=int, default=HeadRecipe.steps, help="of the projection (default: %(default)s)"
    )
    parser.add_argument("--renderings", type=int, default=Plan.photos, help="of a photograph (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of texts, pictures, weights and batches")
    parser.add_argument("--out", type=Path, default=weights.WEIGHTS, help="the file to write (default: %(default)s)")
    parser.add_argument("--kept", type=Path, help="a folder for what is computed on the way")
    parser.add_argument("--threads", type=int, help="threads of torch (default: torch's own choice)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
