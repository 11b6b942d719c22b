"""Words that people name splits with: train, training_set, seg_train, valid, dev, Test, val2017, ..."""

from __future__ import annotations

import re

_WORDS = {
    "train": "train", "training": "train",
    "val": "val", "valid": "val", "validation": "val", "validate": "val", "dev": "val", "development": "val",
    "test": "test", "testing": "test", "holdout": "test",
}  # fmt: skip
_FILLERS = {"set", "seg", "data", "dataset", "split", "images", "image", "imgs", "img", "folder", "files"}


def split_word(word: str) -> str | None:
    """The split that a word names, whatever its case and with fillers as in `train_set`, or None."""
    parts = [re.sub(r"\d{4}$", "", part) for part in re.split(r"[\s_.-]+", word.strip().casefold())]
    parts = [part for part in parts if part and part not in _FILLERS]
    if len(parts) != 1:
        return None
    plain = parts[0]
    return _WORDS.get(plain) or _WORDS.get(re.sub("(?:data)?set$|data$", "", plain))
