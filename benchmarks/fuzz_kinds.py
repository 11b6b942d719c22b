"""The kinds of files that `fuzz.py` changes: how each is put into a folder, changed, and opened as a user would."""

from __future__ import annotations

import functools
import io
import json
import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import click
import fuzz_changes as changes
import numpy as np
import tifffile
import torch
from fuzz_changes import Dice
from PIL import Image

from mocoop import cli
from mocoop.backbone.backbone import Backbone, load_backbone
from mocoop.bench.claims import Done
from mocoop.bench.rows import append_row, read_rows
from mocoop.commands import mocoop
from mocoop.commands.shared import read_class_names
from mocoop.config import preset
from mocoop.data.cache import FeatureCache
from mocoop.data.dataset import Example
from mocoop.data.features import image_features, unreadable_images
from mocoop.data.images import list_images, open_image, stored_values
from mocoop.data.reading import Reading
from mocoop.data.sources import open_dataset
from mocoop.data.splits import few_shot
from mocoop.data.survey import find_reading
from mocoop.errors import MoCoOpError
from mocoop.files import sha256_bytes
from mocoop.groupfile.groups import load_groups
from mocoop.grouping.commands import groups as mocoop_groups
from mocoop.runs.record import FEATURES, MODEL, read_record, write_record
from mocoop.runs.train import TrainingPlan, train

CLASSES = ("forest", "river", "dense residential", "sea lake")
GROUPS = {
    "schema_version": 1,
    "domain": "satellite imagery",
    "class_kind": "scene",
    "groups": [
        {
            "id": "plain",
            "title": "Plain",
            "init": "a photo of {}.",
            "templates": ["a photo of {}.", "a picture of {}."],
        },
        {"id": "hazy", "templates": ["a hazy photo of {}.", "{} in haze.", "{} in fog."], "x-note": {"by": [1, None]}},
        {"id": "night", "templates": ["{} at night.", "{} after dark."]},
    ],
}
# More templates as other software keeps them.
POOLS = {
    "pool.txt": "# looks\na photo of a {}.\na sketch of a {}.\n\na {} at night.\n",
    "pool.csv": 'template,group\n"a photo of a {}.",plain\n"a sketch, of a {}.",sketch\n',
    "pool.md": "# Plain\n\n- a photo of a {}.\n- a picture of a {}.\n\n# Sketch\n\n* a sketch of a {}.\n",
    "pool.json": '{"eurosat": ["a photo of a {c}.", "a sketch of a {c}."]}',
    "pool.py": "T = [\n    'a photo of a {}.',\n    lambda c: f'a sketch of a {c}.',\n]\n",
    "pool.yaml": "TEMPLATES:\n  - a photo of a {}.\n  - a sketch of a {}.\nLISTS: [[0], [1]]\n",
}


class Refused(Exception):
    """What was opened was refused as it should be."""


class Escaped(Exception):
    """An error that is not ours, or that is told as none of ours is."""


Door = Callable[["World", Path], Any]  # opens what is in a folder, and returns what must stay the same


@dataclass(frozen=True)
class World:
    """What valid files are made of, below one folder, and what they are opened with."""

    home: Path
    rows: tuple[dict[str, Any], ...]

    @property
    def run(self) -> Path:
        return self.home / "run"

    @property
    def data(self) -> Path:
        return self.home / "features.npz"


@dataclass(frozen=True)
class Kind:
    """`put` makes valid files in a folder, `change` changes them, each of `doors` opens them.

    What the doors named in `same` answer must be as before, or refused. `noisy`: C libraries (libtiff, libjpeg) print
    their complaints beside ours, which nothing in Python can hold back.
    """

    put: Callable[[World, Path], object]
    change: Callable[[Dice, World, Path], object]
    doors: Mapping[str, Door]
    same: frozenset[str] = frozenset()
    noisy: bool = False
    learned: bool = False  # whether runs, features or rows are needed
    turns: int = 1  # for one of another kind: those that take long get more time


def answer(door: Door, world: World, folder: Path) -> Any:
    """What a door answers. Raises Refused and Escaped."""
    try:
        return door(world, folder)
    except (Refused, Escaped):
        raise
    except MoCoOpError as error:
        if not 2 <= error.exit_code <= 7 or not str(error).strip():
            raise Escaped(f"exit code {error.exit_code}: {error}") from error
        raise Refused(str(error)) from error


def typed(command: click.Group, name: str, *arguments: object, findings: bool = False) -> tuple[str, str]:
    """A command's stdout and stderr. Exit code 1 is an escape, unless `findings` says that it may mean some."""
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
    with redirect_stdout(out), redirect_stderr(err):
        try:
            cli.run(command, name, list(map(str, arguments)))
        except SystemExit as ended:
            code = ended.code
    printed, said = (stream.buffer.getvalue().decode() for stream in (out, err))  # type: ignore[attr-defined]
    told = [line for line in said.splitlines() if line.startswith(name)]
    if "Traceback" in said or "fault of ours" in said or "Warning:" in said or (code == 1 and not findings):
        raise Escaped(f"exit code {code}: {said.strip()}")
    if code not in (0, 1, 2, 3, 4, 5, 6, 7) or (code not in (0, 1) and not told and not printed + said):
        raise Escaped(f"exit code {code}: {said.strip()}")
    if code:
        raise Refused(said)
    return printed, said


mocoop_typed = partial(typed, mocoop, "mocoop")
groups_typed = partial(typed, mocoop_groups, "mocoop-groups")


# ---- the world


def build(home: Path, *, learned: bool = True) -> World:
    """Make it: pictures, tables, group files; with `learned` features, two runs, one more interrupted, and rows."""
    torch.set_num_threads(1)
    os.environ.update(MOCOOP_CACHE=str(home / "cache"), MOCOOP_STATE=str(home / "state"))
    os.environ["SOURCE_DATE_EPOCH"] = "1700000000"
    home.mkdir(parents=True, exist_ok=True)
    _pictures(home / "photos")
    _formats(home / "pictures")
    _tables(home)
    (home / "plain.json").write_text(json.dumps(GROUPS))
    _edited(home)
    if not learned:
        return World(home, ())
    _arrays(home, miniclip().embed_dim)
    for name, seed in (("run", 1), ("other", 2)):
        made = train(plan_of(home, home / name, seed)).path
        info = read_record(made) or {}
        write_record(made, {**info, "training": {**info["training"], "seconds": 0.0}})
    _interrupted(home)
    return World(home, _results(home))


@functools.cache
def miniclip() -> Backbone:
    return load_backbone("miniclip", device="cpu")


def plan_of(home: Path, out: Path, seed: int = 1) -> TrainingPlan:
    quick = preset("recommended", epochs=3, batch_size=8, lr=0.05, min_steps=0, views=0)
    return TrainingPlan(
        groups=home / "plain.json", data=home / "features.npz", out=out, config=quick, shots=4, seed=seed,
        backbone="miniclip", device="cpu", use_cache=False,
    )  # fmt: skip


def _pictures(folder: Path) -> None:
    """Three small pictures of each class."""
    rng = np.random.default_rng(0)
    for name in CLASSES:
        (folder / name).mkdir(parents=True)
        for number in range(3):
            pixels = rng.integers(0, 256, (12, 12, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")


def _formats(folder: Path) -> None:
    """One picture in each format, colour space, depth and packing that is read."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    rgb = Image.fromarray(rng.integers(0, 256, (24, 20, 3), dtype=np.uint8))
    smooth = rgb.resize((40, 48))
    exif = Image.Exif()
    exif[0x0112] = 6
    kinds: dict[str, tuple[Image.Image, dict[str, Any]]] = {
        "a.png": (rgb, {}), "palette.png": (rgb.convert("P"), {"transparency": 3}), "grey.png": (rgb.convert("LA"), {}),
        "clear.png": (rgb.convert("RGBA"), {}), "a.jpg": (smooth, {"exif": exif}),
        "ink.jpg": (smooth.convert("CMYK"), {}), "later.jpg": (smooth, {"progressive": True}),
        "a.webp": (smooth, {}), "a.bmp": (rgb, {}), "a.tif": (rgb, {}),
        "whole.webp": (rgb.convert("RGBA"), {"lossless": True}), "bit.bmp": (rgb.convert("1"), {}),
        "lzw.tif": (rgb, {"compression": "tiff_lzw"}), "jpeg.tif": (smooth, {"compression": "jpeg"}),
        "fax.tif": (rgb.convert("1"), {"compression": "group4"}),
    }  # fmt: skip
    for name, (image, options) in kinds.items():
        image.save(folder / name, **options)
    deep = rng.integers(0, 4096, (16, 16)).astype(np.uint16)
    Image.fromarray(deep).save(folder / "deep.png")
    many = rng.integers(0, 4096, (20, 32, 5)).astype(np.uint16)
    packed = {"planarconfig": "contig", "predictor": True}
    tiffs: dict[str, tuple[np.ndarray, dict[str, Any]]] = {
        "bands.tif": (many, {"planarconfig": "contig"}),
        "nodata.tif": (deep, {"extratags": [(42113, "s", 0, "0", True)]}),
        "planes.tif": (many.transpose(2, 0, 1), {"planarconfig": "separate"}),
        "tiles.tif": (many, {**packed, "tile": (16, 16), "compression": "zlib"}),
        "float.tif": (many[..., 0] / np.float32(4096), {"predictor": True, "compression": "zlib"}),
        "big.tif": (many, {"planarconfig": "contig", "bigtiff": True, "byteorder": ">", "compression": "lzma"}),
    }  # fmt: skip
    for name, (array, options) in tiffs.items():
        tifffile.imwrite(folder / name, array, photometric="minisblack", metadata=None, **options)


def _arrays(home: Path, width: int) -> None:
    from safetensors.numpy import save_file

    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(len(CLASSES)), 14)
    centres = rng.normal(size=(len(CLASSES), width))
    features = (centres[labels] + 0.5 * rng.normal(size=(len(labels), width))).astype(np.float32)
    split = [("train", "train", "test", "train", "val")[row % 5] for row in range(len(labels))]
    texts = {"classnames": list(CLASSES), "split": split, "paths": [f"{row}.png" for row in range(len(labels))]}
    strings = {name: np.array(values) for name, values in texts.items()}
    np.savez(home / "features.npz", features=features, labels=labels, **strings)
    metadata = {name: json.dumps(values) for name, values in texts.items()}
    save_file({"features": features, "labels": labels}, home / "features.safetensors", metadata)


def _tables(home: Path) -> None:
    """The pictures listed as tables, as CoOp's splits, and names for their classes."""
    photos = home / "photos"
    listed = [(f"{name}/{number}.png", name, "train" if number else "test") for name in CLASSES for number in range(3)]
    rows = [dict(zip(("path", "label", "split"), row, strict=True)) for row in listed]
    (photos / "table.csv").write_text("".join(f"{','.join(row)}\n" for row in [("path", "label", "split"), *listed]))
    (photos / "table.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    (photos / "table.json").write_text(json.dumps(rows))
    splits = {part: [[path, CLASSES.index(name), name] for path, name, where in listed if where == part]
              for part in ("train", "test")}  # fmt: skip
    (photos / "split_zhou_Mine.json").write_text(json.dumps(splits))
    readable = {name: f"{name} seen from above" for name in CLASSES}
    (photos / "names.json").write_text(json.dumps(readable))
    (photos / "names.csv").write_text("folder,name\n" + "".join(f"{key},{name}\n" for key, name in readable.items()))
    (photos / "names.txt").write_text("".join(f"{name}\n" for name in CLASSES))


def _edited(home: Path) -> None:
    """A group file that commands have changed, one change taken back, and the copy of its journal."""
    path = home / "groups.json"
    shutil.copyfile(home / "plain.json", path)
    steps = (("remove", "in fog", "--reason", "none here"), ("rename", "night", "--title", "Night"), ("lock", "hazy"),
             ("move", "after dark", "--to", "plain"))  # fmt: skip
    for command, *words in steps:
        groups_typed(command, path, *words)
    groups_typed("undo", path)
    shutil.copytree(journal_of(path), home / "journal")


def journal_of(path: Path) -> Path:
    return Path(os.environ["MOCOOP_STATE"]) / "undo" / sha256_bytes(os.fsencode(os.path.realpath(path)))


def _interrupted(home: Path) -> None:
    """A training that was killed after its second epoch."""
    pid = os.fork()
    if pid == 0:
        os.environ["MOCOOP_SIGNAL_AT"] = "SIGKILL:after-pointer:4"
        try:
            train(plan_of(home, home / "stopped"))
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    assert (home / "stopped" / "checkpoints" / "latest").is_file(), "no interrupted training"


def _results(home: Path) -> tuple[dict[str, Any], ...]:
    """Rows of a comparison of methods that learn nothing."""
    mocoop_typed(
        "bench", "base-to-new", "--data", home / "features.npz", "--groups", home / "plain.json", "--methods",
        "zero-shot,gated-zero-shot", "--seeds", "1,2", "--shots", 2, "--backbone", "miniclip", "--device", "cpu", "-o",
        home / "rows.jsonl",
    )  # fmt: skip
    return tuple(read_rows(home / "rows.jsonl"))


# ---- how files are put, changed and opened


def copied(*names: str) -> Callable[[World, Path], None]:
    """Files or folders of the world, by their names."""

    def put(world: World, folder: Path) -> None:
        for name in names:
            source = world.home / name
            (shutil.copytree if source.is_dir() else shutil.copyfile)(source, folder / source.name)

    return put


def with_photos(world: World, folder: Path) -> None:
    shutil.copytree(world.home / "photos", folder, dirs_exist_ok=True)


def one(change: Callable[[Dice, bytes], bytes], *names: str) -> Callable[[Dice, World, Path], None]:
    """Change one of some files of the folder."""
    return lambda dice, _world, folder: changes.file_changed(dice, folder / dice.choice(names), change)


def as_json(dice: Dice, data: bytes) -> bytes:
    return changes.json_or_bytes_changed(dice, data) if dice.random() < 0.7 else changes.bytes_changed(dice, data)


def as_lines(dice: Dice, data: bytes) -> bytes:
    return changes.lines_changed(dice, data) if dice.random() < 0.7 else changes.bytes_changed(dice, data)


def npz(dice: Dice, data: bytes) -> bytes:
    if dice.random() < 0.2:
        return changes.bytes_changed(dice, data)
    with np.load(io.BytesIO(data), allow_pickle=False) as archive:
        return changes.npz_changed(dice, {name: archive[name] for name in archive.files})


def on(command: click.Group, name: str, *words: str, findings: bool = False) -> Door:
    """A command as it is typed: "@NAME" is of the world, "./NAME" of the case. It answers what it prints."""

    def door(world: World, folder: Path) -> str:
        placed = (str(world.home / word[1:]) if word[:1] == "@" else word for word in words)
        typed_words = [str(folder / word[2:]) if word[:2] == "./" else word for word in placed]
        return typed(command, name, *typed_words, findings=findings)[0]

    return door


on_mocoop = partial(on, mocoop, "mocoop")


def on_groups(command: str, *words: str, findings: bool = False) -> Door:
    return on(mocoop_groups, "mocoop-groups", command, "./groups.json", *words, findings=findings)


def predicted(world: World, folder: Path) -> str | None:
    """What a run says of features; None if it says that its record has no hash, and so may have been changed."""
    out, err = mocoop_typed("predict", folder / "run", world.data, "--json", "--coverage", 0.9)
    return None if "carries no hash of its own" in err else out


def resumed(world: World, folder: Path) -> list[bytes]:
    """What an interrupted training has learned when the same command has gone on with it."""
    path = train(plan_of(world.home, folder / "stopped")).path
    return [(path / name).read_bytes() for name in (MODEL, FEATURES)]


def unheard(_note: str) -> None:
    """Nobody asks for notes."""


def dataset(name: str, **options: Any) -> Door:
    """Opens a data set, draws shots from it, and reads the pictures that it lists."""

    def door(_world: World, folder: Path) -> None:
        drawn = few_shot(open_dataset(folder / name, **options), 1, 1)
        if listed := [*drawn.train, *drawn.test] if drawn.features is None else []:
            unreadable_images(listed, on_bad_image="skip", workers=1, notice=unheard)

    return door


def metadata(world: World, folder: Path) -> None:
    """The table as that of an image folder."""
    (folder / "table.csv").rename(folder / "metadata.csv")
    dataset("")(world, folder)


def with_names(name: str, **options: Any) -> Door:
    return lambda _world, folder: open_dataset(folder / "table.json", class_names=folder / name, **options)


def listed(_world: World, folder: Path) -> None:
    """Names as those of other classes than a run was trained on."""
    with redirect_stderr(io.StringIO()):
        read_class_names(folder / "names.txt")


def one_left(folder_name: str) -> Callable[[Dice, World, Path], None]:
    """One file of a folder is changed, the others go."""

    def change(dice: Dice, _world: World, folder: Path) -> None:
        paths = sorted((folder / folder_name).iterdir())
        chosen = dice.choice(paths)
        changes.known_changed(dice, chosen)
        for path in paths:
            if path != chosen:
                path.unlink()

    return change


def pictures(**how: Any) -> Door:
    def door(_world: World, folder: Path) -> None:
        for path in sorted((folder / "pictures").iterdir()):
            image = open_image(path, name=path.name, reading=Reading(**how))
            if image.mode != "RGB" or not all(image.size):
                raise Escaped(f"{path.name}: {image.mode} {image.size}")

    return door


def surveyed(_world: World, folder: Path) -> None:
    paths = list_images(folder / "pictures").images
    for path in paths:
        stored_values(path)
    reading, _ = find_reading(paths, value_range=(0.0, 4095.0))
    unreadable_images(
        [Example(path, 0) for path in paths], reading=reading, on_bad_image="skip", workers=1, notice=unheard
    )


def kept_features(_world: World, folder: Path) -> bytes:
    """Features of the photographs, of which the cache has some or all."""
    examples = [Example(path, 0) for path in list_images(folder / "photos").images]
    cache = FeatureCache(folder / "cache")
    found = image_features(miniclip(), examples, cache=cache, workers=1, notice=unheard)
    return found.features.tobytes()


def put_cache(world: World, folder: Path) -> None:
    copied("photos")(world, folder)
    if not (world.home / "kept").exists():
        kept_features(world, folder)
        shutil.move(folder / "cache", world.home / "kept")
    shutil.copytree(world.home / "kept", folder / "cache")


def put_journal(world: World, folder: Path) -> None:
    copied("groups.json")(world, folder)
    shutil.rmtree(journal_of(folder / "groups.json"), ignore_errors=True)
    shutil.copytree(world.home / "journal", journal_of(folder / "groups.json"))


def travelled(command: str) -> Door:
    """Undo or redo: the file is then what it was at some time; refused, it is as it is."""

    def door(world: World, folder: Path) -> None:
        path = folder / "groups.json"
        before = path.read_bytes()
        known = {file.read_bytes() for file in (world.home / "journal").iterdir()}
        try:
            groups_typed(command, path)
        except Refused:
            known = {before}
            raise
        finally:
            if path.read_bytes() not in known:
                raise Escaped(f"{command} left a file that never was")

    return door


def done_and_more(world: World, folder: Path) -> None:
    """A row is added after whatever a results file holds."""
    keys = Done(folder / "rows.jsonl")
    append_row(folder / "rows.jsonl", {**world.rows[0], "key": "f" * 24})
    if "f" * 24 not in keys():
        raise Escaped("a row that was added is not there")


def put_pools(_world: World, folder: Path) -> None:
    (folder / "pools").mkdir()
    for name, text in POOLS.items():
        (folder / "pools" / name).write_text(text)


def imported(_world: World, folder: Path) -> None:
    for path in sorted((folder / "pools").iterdir()):
        groups_typed("import", path, "-o", folder / f"{path.name}.made", "--lists-as-groups")


KINDS: dict[str, Kind] = {
    "group file": Kind(
        copied("groups.json"),
        one(as_json, "groups.json"),
        {
            "load": lambda _world, folder: load_groups(folder / "groups.json"),
            "validate": on_groups("validate"), "show": on_groups("show"), "stats": on_groups("stats", "--sizes"),
            "diff": on_groups("diff", "@plain.json", findings=True), "lock": on_groups("lock", "night"),
            "move": on_groups("move", "a picture of", "--to", "night"), "csv": on_groups("export", "--to", "csv"),
            "yaml": on_groups("export", "--to", "yaml"), "control": on_groups("control", "--kind", "random"),
            "fix": on_groups("validate", "--fix"), "undo": on_groups("undo", "--list"),
        },
    ),
    "undo journal": Kind(
        put_journal,
        lambda dice, _world, folder: changes.folder_changed(dice, journal_of(folder / "groups.json")),
        {"list": on_groups("undo", "--list"), "undo": travelled("undo"), "redo": travelled("redo"),
         "lock": on_groups("lock", "night")},
    ),
    "run folder": Kind(
        copied("run"),
        lambda dice, world, folder: changes.folder_changed(dice, folder / "run", world.home / "other"),
        {
            "predict": predicted, "show": on_mocoop("show", "./run", "--json"),
            "eval": on_mocoop("eval", "./run", "--data", "@features.npz", "--json"),
        },
        frozenset({"predict"}),
        learned=True,
    ),
    "interrupted run": Kind(
        copied("stopped"),
        lambda dice, world, folder: changes.folder_changed(dice, folder / "stopped", world.home / "run"),
        {"train": resumed},
        frozenset({"train"}),
        learned=True,
        turns=4,
    ),
    "npz": Kind(
        copied("features.npz"),
        one(npz, "features.npz"),
        {
            "open": dataset("features.npz"),
            "predict": on_mocoop("predict", "@run", "./features.npz", "--json"),
        },
        learned=True,
    ),
    "safetensors": Kind(
        copied("features.safetensors"),
        one(changes.safetensors_changed, "features.safetensors"),
        {
            "open": dataset("features.safetensors"),
            "predict": on_mocoop("predict", "@run", "./features.safetensors"),
        },
        learned=True,
    ),
    "csv": Kind(
        with_photos,
        one(changes.cells_changed, "table.csv"),
        {"open": dataset("table.csv"), "columns": dataset("table.csv", columns={"path": "path", "label": "split"}),
         "folder": metadata},
    ),
    "json lines": Kind(
        with_photos,
        one(as_lines, "table.jsonl"),
        {"open": dataset("table.jsonl"), "columns": dataset("table.jsonl", columns={"path": "path", "label": "label"})},
    ),
    "json table": Kind(with_photos, one(as_json, "table.json"), {"open": dataset("table.json")}),
    "split file": Kind(with_photos, one(as_json, "split_zhou_Mine.json"), {"open": dataset("split_zhou_Mine.json")}),
    "class names": Kind(
        with_photos,
        lambda dice, world, folder: (
            one(as_json, "names.json")(dice, world, folder),
            one(changes.cells_changed, "names.csv")(dice, world, folder),
            one(changes.cells_changed, "names.txt")(dice, world, folder),
        ),
        {"json": with_names("names.json"), "csv": with_names("names.csv"), "txt": with_names("names.txt"),
         "by position": with_names("names.txt", names_by_position=True),
         "list": listed},
    ),
    "image": Kind(
        copied("pictures"),
        one_left("pictures"),
        {"open": pictures(bits=12, top=1.0), "range": pictures(bands=(1,), limits=(10.0, 3000.0)), "survey": surveyed},
        noisy=True,
    ),
    "feature cache": Kind(
        put_cache,
        lambda dice, _world, folder: changes.folder_changed(dice, folder / "cache"),
        {"features": kept_features},
        frozenset({"features"}),
    ),
    "results": Kind(
        copied("rows.jsonl"),
        one(as_lines, "rows.jsonl"),
        {
            "read": lambda _world, folder: read_rows(folder / "rows.jsonl"), "add": done_and_more,
            "report": on_mocoop("report", "./rows.jsonl", "-o", "./report.md"),
        },
        learned=True,
    ),
    "templates": Kind(put_pools, one_left("pools"), {"import": imported}),
}  # fmt: skip
