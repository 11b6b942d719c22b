"""Neutral nouns that stand in for class names while the classes are not known.

32 per kind, common and dissimilar, so that averaging over them keeps the template's meaning and little of any single
noun. A template is never encoded with an empty slot: models are not trained on sentences such as "a photo of a .".
"""

from __future__ import annotations

_OBJECTS = (
    "dog", "car", "chair", "bottle", "flower", "bird", "boat", "bicycle", "cup", "tree", "phone", "shoe", "clock",
    "bag", "horse", "table", "lamp", "book", "guitar", "knife", "hat", "fish", "apple", "bus", "key", "camera",
    "basket", "rabbit", "hammer", "vase", "train", "coat",
)  # fmt: skip
_SCENES = (
    "forest", "river", "street", "beach", "kitchen", "mountain", "airport", "field", "office", "harbour", "park",
    "bridge", "desert", "church", "lake", "factory", "market", "garden", "station", "library", "farm", "stadium",
    "island", "classroom", "village", "canyon", "car park", "orchard", "castle", "railway", "pasture", "hospital",
)  # fmt: skip
_ACTIVITIES = (
    "running", "swimming", "cooking", "reading", "dancing", "painting", "climbing", "cycling", "writing", "fishing",
    "skating", "singing", "gardening", "boxing", "rowing", "knitting", "jumping", "surfing", "typing", "sweeping",
    "bowling", "archery", "juggling", "sailing", "skiing", "shaving", "hammering", "drumming", "horse riding",
    "weightlifting", "yoga", "diving",
)  # fmt: skip
_TEXTURES = (
    "striped", "dotted", "woven", "cracked", "wrinkled", "bumpy", "smooth", "grooved", "veined", "checked", "scaly",
    "fibrous", "porous", "knitted", "marbled", "pleated", "studded", "braided", "frilly", "gauzy", "matted", "meshed",
    "perforated", "crystalline", "flecked", "honeycombed", "spiralled", "stained", "swirly", "waffled", "zigzagged",
    "polka-dotted",
)  # fmt: skip
_FINDINGS = (
    "a fracture", "a nodule", "an effusion", "a lesion", "an ulcer", "a cyst", "inflammation", "a tumour", "swelling",
    "a haemorrhage", "a polyp", "an infection", "atrophy", "oedema", "calcification", "a rash", "a scratch", "a crack",
    "corrosion", "a dent", "a stain", "a hole", "a mass", "scarring", "a blockage", "a tear", "a bruise", "necrosis",
    "fibrosis", "a normal result", "a missing part", "a burn",
)  # fmt: skip
NOUNS = {
    "object": _OBJECTS,
    "scene": _SCENES,
    "activity": _ACTIVITIES,
    "texture": _TEXTURES,
    "finding": _FINDINGS,
    "mixed": (*_OBJECTS[:16], *_SCENES[:16]),
}


def neutral_nouns(class_kind: str) -> tuple[str, ...]:
    """The 32 nouns of a kind of classes."""
    return NOUNS[class_kind]
