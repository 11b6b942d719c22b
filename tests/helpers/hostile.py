"""A run trained on a few pictures whose names, classes and templates could do harm."""

from __future__ import annotations

import json

from datafiles import put_classes, put_image
from towers import write_clip_folder
from worlds import plan_for

from mocoop.config import preset
from mocoop.runs.train import train

MARKUP = "<img src=x onerror=alert(1)>"
CLASSES = ("dog", "sea snake", f"{MARKUP} & co", "grand piano")
SCRIPT = "<script>alert(1)<!--.png"
TURNED = "photo\u202egnp.png"  # a right-to-left mark
GROUPS = {
    "schema_version": 1,
    "domain": "things",
    "groups": [
        {
            "id": "plain",
            "title": f"Plain {MARKUP}",
            "templates": ["a photo of a {}.", f"a {MARKUP} picture of a {{}}."],
        },
        {"id": "blurry", "templates": ["a blurry photo of a {}."]},
        {"id": "texture", "templates": ["{} texture."]},
    ],
}


def put_photos(folder):
    """4 pictures of each class to train on, 6 to calibrate on, 5 to look at, two of which have odd names."""
    counts = {f"{part}/{name}": n for part, n in (("train", 4), ("val", 6), ("test", 5)) for name in CLASSES}
    put_classes(folder, counts)
    put_image(folder / "test" / "dog" / SCRIPT, seed=91)
    put_image(folder / "test" / "dog" / TURNED, seed=92)
    return folder


def hostile_world(folder):
    """A model folder, pictures, a group file, and a run trained with them."""
    (folder / "groups.json").write_text(json.dumps(GROUPS))
    found = {
        "backbone": write_clip_folder(folder / "tiny"),
        "data": put_photos(folder / "photos"),
        "groups": folder / "groups.json",
    }
    config = preset("recommended", epochs=2, batch_size=16, lr=0.05)
    return {**found, "run": train(plan_for(found, folder / "run", config))}
