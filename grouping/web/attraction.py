"""The images that the templates of each group fit best: what a group will attract once a router is trained.

An image goes to a group by the reference gate of Eq. 6: a softmax over groups of the cosine between the image and the
group's mean feature over templates and classes (Eq. 5), less that cosine's mean over the images. Images are encoded
once, in a thread of their own; templates are encoded as they come.

T templates, C classes, D joint width, N images, E groups. The trainer is imported in the thread only.
"""

from __future__ import annotations

import io
import random
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mocoop.errors import MoCoOpError
from mocoop.grouping.editing.lookup import Document
from mocoop.grouping.keep import texts_of
from mocoop.grouping.web.checking import END
from mocoop.grouping.web.session import Session

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mocoop.backbone.backbone import Backbone
    from mocoop.data.reading import Reading
    from mocoop.grouping.clustering.embed import EmbedderChoice

    Array = NDArray[np.float64]

MOST_SHOWN = 4  # images of a group
SIDE = 256  # pixels of a small copy's longer side
_SEED = 0


class Attraction:
    """The thread; `number` grows with every news, which `as_dict` tells."""

    def __init__(self, session: Session, choice: EmbedderChoice, data: Path, most: int) -> None:
        """`most` images of `data` are drawn, from its training images if it says which those are."""
        self._session, self._choice, self._data, self._most = session, choice, data, most
        self._news = threading.Event()
        self._paths: list[Path] = []
        self._reading: Reading | None = None
        self._means: dict[str, Array] = {}  # of a template over the classes (D,)
        self._told: dict[str, Any] = {"told": f"looking at the images of {data.name} …", "groups": {}}
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="attraction", daemon=True)
        self.number = 1

    def start(self) -> None:
        """Begin, and look again after every change of the session."""
        self._session.listeners.append(self._news.set)
        self._thread.start()

    def end(self) -> bool:
        """Look at nothing more; whether the thread is at its end."""
        self._ended = True
        self._news.set()
        self._thread.join(END)
        return not self._thread.is_alive()

    def as_dict(self) -> dict[str, Any]:
        """For each group its images, the best first: number, name and share of the gate; and a word on all of it."""
        return {"number": self.number, **self._told}

    def small(self, number: int) -> bytes | None:
        """A small copy of an image as JPEG; None if there is none."""
        from mocoop.data.contents import picture_bytes
        from mocoop.data.images import open_image
        from mocoop.data.reading import Reading

        if number >= len(self._paths):
            return None
        path = self._paths[number]
        try:
            picture = open_image(picture_bytes(path), name=path, reading=self._reading or Reading())
        except MoCoOpError:  # it is gone
            return None
        picture.thumbnail((SIDE, SIDE))
        written = io.BytesIO()
        picture.save(written, "JPEG", quality=85)
        return written.getvalue()

    def _run(self) -> None:
        try:
            backbone, names, features = self._look()
            while not self._ended:
                self._tell("", self._shared(self._session.document, backbone, names, features))
                self._news.wait()
                self._news.clear()
        except MoCoOpError as error:
            self._tell(f"no images: {error}", {})

    def _tell(self, told: str, groups: dict[str, Any]) -> None:
        self._told = {
            "told": told or f"{len(self._paths)} images of {self._data.name}: above each group those that fit it best",
            "groups": groups,
        }
        self.number += 1

    def _look(self) -> tuple[Backbone, tuple[str, ...], Array]:
        """The backbone, the class names, and the images' features (N, D), normalised."""
        import numpy as np

        from mocoop.backbone.backbone import load_backbone
        from mocoop.data.cache import FeatureCache
        from mocoop.data.features import image_features
        from mocoop.data.sources import open_dataset
        from mocoop.data.survey import settled
        from mocoop.grouping.clustering.embed import slot_names
        from mocoop.grouping.clustering.vectors import unit

        dataset = settled(open_dataset(self._data))
        examples = [one for one in dataset.train or (*dataset.val, *dataset.test) if one.path is not None]
        drawn = random.Random(_SEED).sample(examples, min(self._most, len(examples)))
        backbone = load_backbone(str(self._choice.backbone), self._choice.pretrained, device="cpu", precision="float32")
        found = image_features(
            backbone, drawn, reading=dataset.reading, cache=FeatureCache(), on_bad_image="skip", notice=_unheard
        )
        self._paths = [path for place in found.kept if (path := drawn[place].path) is not None]
        self._reading = dataset.reading
        names = self._choice.class_names or dataset.classnames
        return (
            backbone,
            slot_names(replace(self._choice, class_names=names)),
            unit(np.asarray(found.features[0], float)),
        )

    def _shared(
        self, document: Document, backbone: Backbone, names: tuple[str, ...], features: Array
    ) -> dict[str, list[dict[str, Any]]]:
        """For each group, the images with the largest share of the gate for it."""
        import numpy as np

        from mocoop.grouping.clustering.vectors import unit

        self._encode(document, backbone, names)
        groups = document["groups"]
        prototypes = unit(np.stack([np.mean([self._means[text] for text in texts_of(one)], axis=0) for one in groups]))
        cosines = features @ prototypes.T  # (N, E)
        logits = (cosines - cosines.mean(axis=0)) * backbone.logit_scale
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
        best = np.argsort(-shares, axis=0, kind="stable")[:MOST_SHOWN].T  # (E, MOST_SHOWN)
        return {
            group["id"]: [
                {"number": int(one), "name": self._paths[one].name, "share": round(float(shares[one, place]), 3)}
                for one in best[place]
            ]
            for place, group in enumerate(groups)
        }

    def _encode(self, document: Document, backbone: Backbone, names: tuple[str, ...]) -> None:
        """Encode the templates that have no mean yet."""
        from mocoop.backbone.hard_features import hard_features, text_cache

        new = sorted({text for group in document["groups"] for text in texts_of(group)} - self._means.keys())
        if new:
            (table,) = hard_features(backbone, [new], names, cache=text_cache())  # (T, C, D)
            self._means |= dict(zip(new, table.double().mean(dim=1).numpy(), strict=True))


def _unheard(_note: str) -> None:
    """The page shows images, and has no room for remarks on them."""
