"""photoclip's words: everyday names land near their meaning, and prompts share their prefix exactly."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from mocoop.backbone.backbone import load_backbone

# Names that are no ImageNet-1k class, each with a neighbour in meaning written by hand.
NEIGHBOURS = {
    "doctor": "physician", "lawyer": "attorney", "teacher": "instructor", "policeman": "police officer",
    "baby": "infant", "soldier": "army trooper", "farmer": "agricultural worker", "sailor": "seaman",
    "king": "monarch", "nurse": "hospital caregiver", "highway": "freeway", "river": "stream", "forest": "woods",
    "mountain peak": "summit", "seashore": "coast", "village": "small town", "airport": "airfield",
    "harbor": "port", "street": "road", "wheat field": "cropland", "house": "home", "skyscraper": "tall building",
    "cottage": "cabin in the woods", "hospital": "clinic", "school": "classroom", "office": "workplace",
    "kitchen": "cooking area", "bedroom": "sleeping room", "bathroom": "washroom", "garden": "backyard flowers",
    "bicycle": "bike", "automobile": "car", "lorry": "truck", "motorboat": "boat with engine",
    "helicopter": "chopper", "spaceship": "spacecraft", "train ride": "railway journey", "subway": "metro",
    "trousers": "pants", "shoes": "footwear", "coat": "jacket", "cap": "hat", "bread": "toast",
    "cheese": "dairy product", "chicken meat": "poultry", "soup": "broth", "juice": "fruit drink",
    "breakfast": "morning meal", "cake": "dessert", "rain": "rainy weather", "snow": "winter weather",
    "fire": "flames", "cloudy sky": "overcast", "sunset": "evening sun", "puppy": "young dog",
    "kitten": "young cat", "cow": "cattle", "pony": "small horse", "insect": "bug", "party": "celebration",
}  # fmt: skip


@pytest.fixture(scope="module")
def backbone():
    return load_backbone("photoclip", device="cpu", precision="float32")


def encoded(backbone, texts):
    with torch.no_grad():
        return F.normalize(backbone.model.encode_text(backbone.tokenize(texts, 77)), dim=-1)


@pytest.mark.parametrize("template", ["{}", "a photo of a {}."])
def test_everyday_names_are_nearest_to_their_neighbours(backbone, template):
    names, others = list(NEIGHBOURS), list(NEIGHBOURS.values())
    assert len(names) == 60
    found = encoded(backbone, [template.replace("{}", name) for name in names])
    told = (found @ encoded(backbone, [template.replace("{}", other) for other in others]).T).argmax(1)
    right = told == torch.arange(60)
    wrong = [(names[at], others[int(told[at])]) for at in range(60) if not right[at]]
    assert right.float().mean() >= 0.8, wrong


def test_the_order_of_words_moves_the_vector(backbone):
    one, other, same = encoded(backbone, ["a house in a forest", "a forest in a house", "a home in the woods"])
    assert one @ other < 0.999
    assert one @ same > 0.5


def test_looks_move_the_vector_the_same_way_for_all_names(backbone):
    names = ["dog", "house", "guitar", "airplane"]
    moved = encoded(backbone, [f"a pencil sketch of a {name}." for name in names]) - encoded(
        backbone, [f"a photo of a {name}." for name in names]
    )
    moved = F.normalize(moved, dim=-1)
    assert (moved @ moved.T)[~torch.eye(4, dtype=torch.bool)].mean() > 0.3


def test_features_by_shared_prefix_equal_those_of_full_length(backbone):
    assert backbone.text.shared_prefix
    rows = backbone.prompts.rows(["a photo of a {}.", "an aerial view of {}."], ["dog", "baseball diamond", "harbor"])
    fast = backbone.text.prepare(rows)()
    slow = backbone.text.prepare(rows, full_length=True)()
    assert torch.allclose(F.normalize(fast, dim=-1), F.normalize(slow, dim=-1), atol=2e-6)
