"""The trainings of photoclip, on a few made-up rows: right equations, the same result twice."""

from __future__ import annotations

import struct
from types import SimpleNamespace

import numpy as np
import open_clip
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

from mocoop.photoclip import (
    gallery,
    imagehead,
    landnames,
    layouts,
    looks,
    models,
    pictures,
    resources,
    scene,
    texttower,
    words,
)
from mocoop.photoclip.gallery import Plan, Shown
from mocoop.photoclip.scene import Ground
from mocoop.photoclip.texttower import Space, TextRecipe

SMALL = {
    "embed_dim": 16,
    "vision_cfg": {"layers": 1, "width": 8, "head_width": 8, "image_size": 16, "patch_size": 8},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}

WORDNET = {
    "data.noun": [
        "  1 licence",
        "00000001 03 n 02 entity 0 thing 0 000 | that which is",
        "00000002 05 n 02 dog 0 domestic_dog 0 001 @ 00000004 n 0000 | a barking animal; kept by people",
        "00000003 05 n 01 beagle 0 001 @ 00000002 n 0000 | a small hound",
        "00000004 05 n 01 animal 0 001 @ 00000001 n 0000 | what breathes",
    ],
    "index.noun": ["dog n 1 1 @ 1 1 00000002", "beagle n 1 1 @ 1 0 00000003", "animal n 1 1 @ 1 0 00000004"],
    "cntlist.rev": ["dog%1:05:00:: 1 42", "run%2:38:00:: 1 9"],
}


@pytest.fixture
def net(tmp_path):
    for name, lines in WORDNET.items():
        (tmp_path / name).write_text("\n".join(lines) + "\n", "utf-8")
    return words.WordNet.read(tmp_path)


def made_up_classifier():
    torch.manual_seed(1)
    trunk = SimpleNamespace(bn2=nn.BatchNorm2d(24), classifier=nn.Linear(24, 1000))
    trunk.bn2.weight.data.uniform_(0.5, 2)
    trunk.bn2.bias.data.normal_()
    return trunk


def test_wordnet_gives_words_kinds_and_meanings(net):
    assert net.synsets["n00000002"].words == ("dog", "domestic dog")
    assert net.synsets["n00000002"].gloss == "a barking animal"
    assert net.kinds_of("n00000003") == ["n00000002", "n00000004"]  # not the entity, which says nothing
    assert net.thing("little beagle") == "n00000003"
    assert net.met == {"dog": 42}


def test_lines_of_stamps_become_names():
    assert pictures._name("A little rabbit.") == "little rabbit"
    assert pictures._name("Venus—the second planet!") == "venus"
    assert pictures._name("An F-22 Raptor.") is None


def test_terrain_is_named_by_its_file():
    named = dict(pictures.TERRAIN)
    assert named[r"golf"] == ("golf course",)
    assert not pictures.TERRAIN[0][1]  # masks show nothing


def test_the_natural_mean_is_that_of_clipped_normals():
    trunk = made_up_classifier()
    drawn = trunk.bn2.bias + trunk.bn2.weight * torch.randn(200_000, 24)
    assert torch.allclose(imagehead.natural_mean(trunk), drawn.clamp(0, 6).mean(0), atol=0.02)


def test_made_up_features_are_of_their_class():
    trunk = made_up_classifier()
    made = imagehead.ClassFeatures(trunk, torch.rand(500, 24))
    classes = torch.arange(1000)
    features = made.draw(classes, torch.Generator().manual_seed(0))
    assert features.min() >= 0
    assert (made.logits(features)[classes, classes] > made.logits(made.mean[None])[0]).float().mean() > 0.95
    again = made.draw(classes, torch.Generator().manual_seed(0))
    assert torch.equal(features, again)


def test_ridge_regression_finds_a_linear_map():
    torch.manual_seed(2)
    rows, true = torch.randn(400, 6), torch.randn(6, 3)
    middle, found = imagehead._ridge(rows, rows @ true + 5, torch.full((400,), 1 / 400), 1e-6)
    assert torch.allclose(found, true, atol=1e-3)
    assert torch.allclose(middle, rows.mean(0), atol=1e-5)


def test_a_large_bias_makes_gelu_straight():
    x = torch.linspace(-3, 3, 100)
    assert torch.allclose(F.gelu(x + imagehead.STRAIGHT) - imagehead.STRAIGHT, x, atol=5e-3)


def test_names_and_kinds_share_one(net):
    shown = [Shown(("beagle", "hound"), "photo", 0, "n00000003"), Shown(("harbor",), "above", -1, None)]
    named = imagehead.naming(shown, net)
    assert torch.allclose(named.picture_shares.sum(1), torch.ones(2))
    share = {
        named.names[int(at)]: float(of) for at, of in zip(named.pictures[0], named.picture_shares[0], strict=True) if of
    }
    assert share.keys() == {"beagle", "hound", "dog", "animal"}
    assert share["beagle"] > share["hound"]
    assert share["dog"] > share["animal"]


def test_a_sentence_is_half_itself_half_its_name():
    space = Space.of(torch.eye(3))
    name = space.names(torch.tensor([[1.0, 0, 0]]))
    sentence = space.sentences(torch.tensor([[0, 1.0, 0]]), torch.tensor([[1.0, 0, 0]]))
    assert torch.allclose(space.names(torch.eye(3)).sum(0), torch.zeros(3), atol=1e-6)
    assert 0 < float((name * sentence).sum()) < 1


def test_distillation_learns_and_is_the_same_twice():
    texts = ["a dog", "a cat", "a harbor", "the sea from above", "a pencil sketch of a tree", "house"]
    targets = F.normalize(torch.randn(6, 16, generator=torch.Generator().manual_seed(3)), dim=-1)
    states, cosines = [], []
    for _ in range(2):
        torch.manual_seed(0)
        model = open_clip.CLIP(**SMALL)
        recipe = TextRecipe(steps=40, batch=6, warmup=4, learning_rate=1e-2, table_rate=1e-2)
        texttower.distil(model, texts, targets, recipe, say=lambda line: None)
        states.append(model.state_dict())
        cosines.append(float((texttower.features(model, texts) * targets).sum(1).mean()))
    assert cosines[0] > 0.6
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_features_are_those_of_encode_text():
    torch.manual_seed(0)
    model = open_clip.CLIP(**SMALL).eval()
    texts = ["a dog", "a much longer sentence about a dog in front of a house", "x"]
    with torch.no_grad():
        theirs = model.encode_text(texttower.tokenize(texts), normalize=True)
    assert torch.allclose(texttower.features(model, texts), theirs, atol=1e-5)


def test_pictures_depend_on_the_seed_and_their_place_only(tmp_path):
    path = tmp_path / "thing.png"
    Image.fromarray(np.full((40, 60, 4), (200, 30, 30, 255), np.uint8)).save(path)
    ground = tmp_path / "grass.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (256, 256, 3)).astype(np.uint8)).save(ground)
    land = [pictures.Picture(ground, names, "above", "terrain") for _, names in pictures.TERRAIN if names]
    thing = pictures.Picture(path, ("brick",), "photo", "stamps", None)
    planned = gallery.shown([thing], land[:1], Plan(photos=3, layouts=1, terrain=1))
    assert [one.look for one, _ in planned[:1]] == ["photo"]
    assert len(planned) == 3 + len(gallery.DRAWN) + 1
    some = [0, 1, 2, 3, len(planned) - 1]
    first, again = (list(gallery.paint(planned, some, Ground(land), 4)) for _ in range(2))
    assert all(np.array_equal(one, other) for one, other in zip(first, again, strict=True))
    assert np.array_equal(next(gallery.paint(planned, [2], Ground(land), 4)), first[2])
    assert all(one.shape == (224, 224, 3) and one.dtype == np.uint8 for one in first)


@pytest.mark.parametrize("name", sorted(looks.RENDER))
def test_every_look_has_wordings_and_changes_a_picture(name):
    image = Image.fromarray(np.random.default_rng(1).integers(0, 255, (64, 72, 3)).astype(np.uint8))
    shown = looks.RENDER[name](image, np.random.default_rng(2))
    assert shown.size == image.size
    assert not np.array_equal(np.asarray(shown.convert("RGB")), np.asarray(image))
    assert all("{}" in wording for wording in looks.WORDINGS[name])


CUBE = """AC3Db
MATERIAL "red" rgb 1 0 0  amb 1 1 1  emis 0 0 0  spec 0 0 0  shi 0  trans 0
OBJECT world
kids 1
OBJECT poly
name "roof"
loc 10 2 0
numvert 4
0 0 0
4 0 0
4 0 2
0 0 2
numsurf 1
SURF 0x00
mat 0
refs 4
0 0 0
1 1 0
2 1 1
3 0 1
kids 0
"""


def test_a_model_is_seen_from_above_in_its_size(tmp_path):
    path = tmp_path / "roof.ac"
    path.write_text(CUBE, "latin-1")
    sprite = models.look_down(path)
    assert sprite is not None
    assert abs(sprite.length - 4) < 0.1
    assert abs(sprite.pixels.shape[1] / sprite.pixels.shape[0] - 2) < 0.1
    assert (sprite.pixels[..., 3] == 255).mean() > 0.95
    assert tuple(np.median(sprite.pixels[..., :3].reshape(-1, 3), axis=0)) == (255, 0, 0)
    assert np.allclose(np.median(sprite.heights), 2)


def test_a_damaged_model_shows_nothing(tmp_path):
    for number, text in enumerate(
        (CUBE[:150], CUBE.replace("numvert 4", "numvert 9"), "AC3Db", CUBE.replace("3 0 1", "7 0 1"))
    ):
        path = tmp_path / f"{number}.ac"
        path.write_text(text, "latin-1")
        assert models.look_down(path) is None


def test_every_layout_has_names_and_a_picture():
    assert set(layouts.LAYOUTS) == set(landnames.SYNONYMS)
    rng = np.random.default_rng(3)
    for name in sorted(layouts.LAYOUTS)[::7]:
        assert scene.view(layouts.LAYOUTS[name], Ground([]), rng).size == (224, 224)


def test_what_is_high_casts_a_shadow_away_from_the_sun():
    heights = np.zeros((60, 60), np.float32)
    heights[28:32, 28:32] = 8
    light = scene._light(heights, np.random.default_rng(0))
    flat = light[2, 2]
    ground = heights == 0
    assert flat == pytest.approx(1)
    assert 8 < (light[ground] < 0.8).sum() < 200


def test_a_thing_stands_where_it_was_put():
    land = scene.Scene(np.random.default_rng(0), 1.3, 0.7, (0.2, -0.1))
    column, row = land.pixel(0.3, -0.2)
    place = round(row), round(column)
    assert abs(land.x[place] - 0.3) < 0.02
    assert abs(land.y[place] + 0.2) < 0.02


def rcc(content, name="fox.webp"):
    """A resource file of Qt, version 1, with one file in its root."""
    encoded = name.encode("utf-16-be")
    names = struct.pack(">HI", len(name), 0) + encoded
    data = struct.pack(">I", len(content)) + content
    tree = struct.pack(">IHII", 0, 2, 1, 1) + struct.pack(">IHHHI", 0, 0, 0, 0, 0)
    start = 20
    head = b"qres" + struct.pack(">4I", 1, start, start + len(tree), start + len(tree) + len(data))
    return head + tree + data + names


def test_pictures_are_read_out_of_a_resource(tmp_path):
    path = tmp_path / "some.rcc"
    path.write_bytes(rcc(b"a picture"))
    assert resources.read(path) == {"/fox.webp": b"a picture"}
    path = tmp_path / "cut.rcc"
    path.write_bytes(rcc(b"a picture")[:40])
    with pytest.raises(ValueError, match="no resource file"):
        resources.read(path)


def test_the_words_fill_half_of_the_joint_space():
    torch.manual_seed(5)
    projection = torch.randn(6, 9)
    half, directions = texttower.into_half(projection)
    assert half.shape == (6, 6)
    assert torch.allclose(half @ directions.T, projection, atol=1e-4)  # nothing of a text is lost


def test_looks_shift_features_as_they_did_in_the_examples():
    torch.manual_seed(6)
    photos = torch.rand(40, 12)
    shown = [Shown(("x",), look, thing, None) for look in ("photo", "sketch") for thing in range(40)]
    features = torch.cat([photos, photos * 0.5 + 1])
    shifts = imagehead.LookShifts(features, shown, strength=1e-4)
    assert shifts.looks() == ["sketch"]
    again = shifts.draw(photos, "sketch", torch.Generator().manual_seed(0))
    assert torch.allclose(again, photos * 0.5 + 1, atol=0.01)


def test_a_centred_projection_is_the_same_projection():
    torch.manual_seed(7)
    mlp = nn.Module()
    mlp.fc1, mlp.act, mlp.fc2 = nn.Linear(12, 8), nn.GELU(), nn.Linear(8, 6)
    features = torch.rand(30, 12) + 3

    def plain():
        return mlp.fc2(mlp.act(mlp.fc1(features)))

    before = plain()
    centred = imagehead.Centred(mlp, features)
    assert torch.allclose(centred(features), before, atol=1e-5)
    centred.settle()
    assert torch.allclose(plain(), before, atol=1e-5)
