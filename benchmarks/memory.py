"""Peak resident memory of opening large data and using a few shots of it, above that of the process before.

    python benchmarks/memory.py [--megabytes 1000] [--rows 2000000] [--shots 16] [--only KIND ...]

Files of features (512 wide, 100 classes) and a table of images are written into a temporary folder and opened one after
another, each by a process of its own: `mocoop.data.sources.open_dataset`, `few_shot`, and of features the inputs of a
training. The process has imported all it needs before it is measured (its start). Only the first image of the table
exists: missing ones are a note until they are read. Linux only: `VmHWM` of /proc/self/status is the peak.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import IO

import numpy as np

WIDTH, CLASSES, BLOCK = 512, 100, 4096
KINDS = (".npz", ".npz, compressed", ".safetensors", ".csv")


def blocks(rows: int) -> Iterator[np.ndarray]:
    """Rows of steps of 1/64, which can be compressed, as real features hardly can."""
    rng = np.random.default_rng(0)
    for start in range(0, rows, BLOCK):
        values = rng.integers(-255, 256, (min(BLOCK, rows - start), WIDTH), dtype=np.int16)
        yield values.astype(np.float32) / 64


def write_npz(path: Path, rows: int, compression: int = zipfile.ZIP_STORED) -> None:
    """What np.savez and np.savez_compressed write, without the whole in memory."""
    labels, names = np.arange(rows) % CLASSES, np.array([f"class {label}" for label in range(CLASSES)])
    with zipfile.ZipFile(path, "w", compression, compresslevel=1) as archive:
        with archive.open("features.npy", "w", force_zip64=True) as file:
            about = {"descr": "<f4", "fortran_order": False, "shape": (rows, WIDTH)}
            np.lib.format.write_array_header_1_0(file, about)
            write_blocks(file, rows)
        for name, array in (("labels", labels), ("classnames", names)):
            with archive.open(f"{name}.npy", "w") as file:
                np.lib.format.write_array(file, array)


def write_safetensors(path: Path, rows: int) -> None:
    size = rows * WIDTH * 4
    about = {
        "__metadata__": {"classnames": json.dumps([f"class {label}" for label in range(CLASSES)])},
        "features": {"dtype": "F32", "shape": [rows, WIDTH], "data_offsets": [0, size]},
        "labels": {"dtype": "I64", "shape": [rows], "data_offsets": [size, size + 8 * rows]},
    }
    header = json.dumps(about).encode()
    header = header.ljust(-(-len(header) // 8) * 8)
    with path.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        write_blocks(file, rows)
        file.write((np.arange(rows) % CLASSES).astype("<i8").tobytes())


def write_blocks(file: IO[bytes], rows: int) -> None:
    for block in blocks(rows):
        file.write(block.tobytes())


def write_table(path: Path, rows: int) -> None:
    (path.parent / "images" / "class_000").mkdir(parents=True)
    (path.parent / "images" / "class_000" / "0000000.jpg").touch()
    with path.open("w") as file:
        file.write("path,label,split\n")
        for row in range(rows):
            part, name = ("train", "val", "test")[row // CLASSES % 3], f"class_{row % CLASSES:03}"
            file.write(f"images/{name}/{row:07}.jpg,{name},{part}\n")


def written(kind: str, folder: Path, megabytes: int, rows: int) -> Path:
    """A file of one of KINDS."""
    many = megabytes * 10**6 // (4 * WIDTH)
    if kind == ".csv":
        write_table(path := folder / "table.csv", rows)
    elif kind == ".safetensors":
        write_safetensors(path := folder / "features.safetensors", many)
    elif kind == ".npz":
        write_npz(path := folder / "features.npz", many)
    else:
        write_npz(path := folder / "compressed.npz", many, zipfile.ZIP_DEFLATED)
    return path


def resident(what: str) -> int:
    """Bytes of this process: VmRSS (now) or VmHWM (at most so far)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{what}:"))


def use(path: Path, shots: int) -> None:
    """Open a data set, draw shots and make the inputs of a training, and print what it took."""
    from mocoop.data.sources import open_dataset
    from mocoop.data.splits import few_shot
    from mocoop.training.inputs import load_inputs

    tower = SimpleNamespace(embed_dim=WIDTH, name="a tower of the right width")
    start = resident("VmRSS")
    drawn = few_shot(open_dataset(path), shots, 1)
    if drawn.features is not None:
        inputs = load_inputs(tower, drawn, drawn.train)  # type: ignore[arg-type]  # all that stored features ask for
        assert inputs.features.shape == (1, len(drawn.train), WIDTH)
    print(json.dumps({"start": start, "above": resident("VmHWM") - start}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=1000, help="of features in each file")
    parser.add_argument("--rows", type=int, default=2_000_000, help="of the table")
    parser.add_argument("--shots", type=int, default=16)
    parser.add_argument("--only", nargs="+", choices=KINDS, default=KINDS, metavar="KIND", help=", ".join(KINDS))
    parser.add_argument("--use", type=Path, help=argparse.SUPPRESS)  # what each of the processes does
    options = parser.parse_args()
    if options.use:
        use(options.use, options.shots)
        return
    print(f"{'file':20}{'size, MB':>10}{'start, MB':>11}{'above, MB':>11}{'of the size':>13}")
    for kind in options.only:
        with tempfile.TemporaryDirectory() as folder:
            path = written(kind, Path(folder), options.megabytes, options.rows)
            command = [sys.executable, __file__, "--use", str(path), "--shots", str(options.shots)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            found, size = json.loads(done.stdout), path.stat().st_size
        print(
            f"{kind:20}{size / 1e6:10.0f}{found['start'] / 1e6:11.0f}{found['above'] / 1e6:11.0f}"
            f"{found['above'] / size:12.2f}x",
            flush=True,
        )


if __name__ == "__main__":
    main()
