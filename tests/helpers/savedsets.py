"""Folders as Hugging Face's `save_to_disk` writes them, made with pyarrow alone."""

from __future__ import annotations

import io
import json

import numpy as np
from PIL import Image


def picture(label, number, *, size=(8, 8), kind="PNG"):
    """The bytes of a picture that differs by its label and number."""
    pixels = np.full((*size, 3), (40 * label + 10, 100, number), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def image_type():
    """The storage of `datasets.Image`."""
    import pyarrow as arrow

    return arrow.struct([("bytes", arrow.binary()), ("path", arrow.string())])


def save_dataset(
    folder, images, labels, *, names=("cat", "dog"), shards=2, chunk=3, columns=("image", "label"), extra=None,
    options=None, features=None, state=None, split=None,
):  # fmt: skip
    """Write a Dataset folder; `images` are bytes, or (bytes, path) pairs. Returns the folder."""
    import pyarrow as arrow

    folder.mkdir(parents=True)
    pairs = [
        one if isinstance(one, tuple) or one is None else (one, f"{number}.png") for number, one in enumerate(images)
    ]
    structs = [None if one is None else {"bytes": one[0], "path": one[1]} for one in pairs]
    data = {columns[0]: arrow.array(structs, image_type()), columns[1]: arrow.array(labels), **(extra or {})}
    if features is None:
        features = {columns[0]: {"_type": "Image"}}
        features[columns[1]] = {"names": list(names), "_type": "ClassLabel"} if names else {"_type": "Value"}
    table = arrow.table(data).replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    files, size = [], -(-len(images) // shards)
    for number in range(shards):
        files.append(f"data-{number:05d}-of-{shards:05d}.arrow")
        part = table.slice(number * size, size)
        with (
            arrow.OSFile(str(folder / files[-1]), "wb") as file,
            arrow.ipc.new_stream(file, table.schema, options=options) as writer,
        ):
            writer.write_table(part, max_chunksize=chunk)
    (folder / "dataset_info.json").write_text(json.dumps({"features": features, "description": ""}))
    about = {"_data_files": [{"filename": name} for name in files], "_fingerprint": "0", "_split": split}
    (folder / "state.json").write_text(json.dumps({**about, **(state or {})}))
    return folder


def save_dict(folder, splits, **how):
    """Write a DatasetDict folder from {split: (images, labels)}. Returns the folder."""
    for name, (images, labels) in splits.items():
        save_dataset(folder / name, images, labels, split=name, **how)
    (folder / "dataset_dict.json").write_text(json.dumps({"splits": list(splits)}))
    return folder
