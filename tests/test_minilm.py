"""The packaged sentence model run with numpy, against sentence-transformers and equations."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mocoop.errors import StorageError
from mocoop.grouping.clustering import embed
from mocoop.grouping.clustering.minilm import MiniLM, _gelu

FOLDER = embed._packaged_folder()
pytestmark = pytest.mark.skipif(FOLDER is None, reason="the sentence model's package is not installed")
SENTENCES = [
    "a photo of a object.",
    "A PHOTO of it, at night!",
    "",
    "naïve café façade 東京 \U0001f600 supercalifragilistic",
    "word " * 400,
    *(f"a picture of {number} things" for number in range(70)),
]


@pytest.fixture(scope="module")
def model():
    return MiniLM(Path(FOLDER))


def test_it_gives_the_rows_of_sentence_transformers(model):
    from sentence_transformers import SentenceTransformer

    theirs = SentenceTransformer(FOLDER, device="cpu", local_files_only=True).encode(SENTENCES)
    assert np.abs(embed.unit(model.encode(SENTENCES)) - theirs).max() < 2e-6


def test_a_sentence_does_not_depend_on_those_beside_it(model):
    together = model.encode(SENTENCES)
    assert np.allclose(together[::-1], model.encode(SENTENCES[::-1]), atol=1e-5)
    assert np.allclose(together[1], model.encode(SENTENCES[1:2])[0], atol=1e-5)
    assert model.encode([]).shape == (0, 384)


def test_gelu_is_x_times_the_normal_distribution():
    values = np.linspace(-12, 12, 4001, dtype=np.float32)
    exact = [x * (1 + math.erf(x / math.sqrt(2))) / 2 for x in values.tolist()]
    assert np.abs(_gelu(values) - exact).max() < 1e-6


@pytest.mark.parametrize("name", ["config.json", "sentence_bert_config.json", "tokenizer.json", "model.safetensors"])
@pytest.mark.parametrize("content", [None, b"{", b"{}"])
def test_a_folder_without_its_files_is_a_plain_error(tmp_path, name, content):
    for path in Path(FOLDER).iterdir():
        if path.is_file() and path.name != name:
            (tmp_path / path.name).symlink_to(path)
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises((StorageError, OSError, KeyError, ValueError)):
        MiniLM(tmp_path).encode(["a"])


def test_grouping_by_it_imports_neither_torch_nor_transformers():
    code = (
        "import sys\n"
        "sys.modules.update(dict.fromkeys(('torch', 'transformers', 'sentence_transformers', 'sklearn')))\n"
        "from mocoop.grouping.clustering.cluster import cluster_pool\n"
        "from mocoop.grouping.clustering.embed import embed\n"
        "from mocoop.grouping.pool import Pool\n"
        "from mocoop.groups import Template\n"
        "texts = tuple(f'a {kind} of {{}} at {time}.' for kind in ('sketch', 'map') for time in ('night', 'dawn'))\n"
        "made = cluster_pool(Pool('any', tuple(map(Template, texts))), embed(texts))\n"
        "assert made.document['groups']\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
