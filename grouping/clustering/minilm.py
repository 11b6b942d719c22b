"""The sentence model all-MiniLM-L6-v2 run with numpy: importing torch and transformers takes longer than all its work.

A plain BERT encoder (Devlin et al. 2019) whose last states are averaged over the tokens. Every other sentence model
goes through sentence-transformers (`embed.py`). B sentences of S tokens, D dimensions, H heads.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mocoop.files import read_json

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from tokenizers import Tokenizer

    Array = NDArray[np.float32]

BATCH = 32  # sentences: what a layer makes of them stays in the processor's own memory
# of erfc, to 1.5e-7, which is float32's own precision (Abramowitz and Stegun 1964, 7.1.26)
_TAIL = (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592, 0.0)
_TAIL_SCALE = 0.3275911 / 2**0.5


class MiniLM:
    """The model of a folder.

    Raises StorageError, OSError, KeyError or ValueError for a folder without its files or with others.
    """

    def __init__(self, folder: Path) -> None:
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        config = read_json(folder / "config.json")
        self.heads: int = config["num_attention_heads"]
        self.layers: int = config["num_hidden_layers"]
        self.width: int = config["hidden_size"]
        self._epsilon: float = config["layer_norm_eps"]
        self._tokenizer = _tokenizer(folder / "tokenizer.json")
        self._tokenizer.enable_truncation(read_json(folder / "sentence_bert_config.json")["max_seq_length"])
        try:
            self._weights = load_file(folder / "model.safetensors")
        except SafetensorError as error:
            raise ValueError(f"model.safetensors: {error}") from error

    def encode(self, sentences: Sequence[str]) -> Array:
        """The mean state of each sentence (B, D), not of length 1."""
        import numpy as np

        tokens = [encoding.ids for encoding in self._tokenizer.encode_batch(list(sentences))]
        states = np.empty((len(tokens), self.width), dtype=np.float32)
        for rows in _batches([len(ids) for ids in tokens]):
            states[rows] = self._states(np.array([tokens[row] for row in rows])).mean(axis=1)
        return states

    def _states(self, tokens: NDArray[np.int64]) -> Array:
        """The last layer's states (B, S, D) of sentences of one length (B, S): so no token is padding."""
        weights = self._weights
        states = weights["embeddings.word_embeddings.weight"][tokens]
        states = states + weights["embeddings.position_embeddings.weight"][: tokens.shape[1]]
        states = states + weights["embeddings.token_type_embeddings.weight"][0]
        states = self._normalised(states, "embeddings.LayerNorm")
        for layer in range(self.layers):
            name = f"encoder.layer.{layer}"
            attended = self._linear(self._attended(states, f"{name}.attention.self"), f"{name}.attention.output.dense")
            states = self._normalised(states + attended, f"{name}.attention.output.LayerNorm")
            inner = _gelu(self._linear(states, f"{name}.intermediate.dense"))
            states = self._normalised(states + self._linear(inner, f"{name}.output.dense"), f"{name}.output.LayerNorm")
        return states

    def _attended(self, states: Array, name: str) -> Array:
        """What each token gathers from all tokens (B, S, D)."""
        import numpy as np

        batch, length, width = states.shape
        query, key, value = (
            self._linear(states, f"{name}.{part}").reshape(batch, length, self.heads, -1).swapaxes(1, 2)
            for part in ("query", "key", "value")
        )  # (B, H, S, D / H)
        scores = query @ key.swapaxes(2, 3) * np.float32((width / self.heads) ** -0.5)  # (B, H, S, S)
        shares = np.exp(scores - scores.max(axis=3, keepdims=True))
        shares /= shares.sum(axis=3, keepdims=True)
        return (shares @ value).swapaxes(1, 2).reshape(batch, length, width)  # type: ignore[no-any-return]

    def _linear(self, states: Array, name: str) -> Array:
        flat = states.reshape(-1, states.shape[-1])  # one large product instead of one a sentence
        product = flat @ self._weights[f"{name}.weight"].T + self._weights[f"{name}.bias"]
        return product.reshape(*states.shape[:-1], -1)  # type: ignore[no-any-return]

    def _normalised(self, states: Array, name: str) -> Array:
        import numpy as np

        moved = states - states.mean(axis=-1, keepdims=True)
        moved /= np.sqrt((moved * moved).mean(axis=-1, keepdims=True) + np.float32(self._epsilon))
        return moved * self._weights[f"{name}.weight"] + self._weights[f"{name}.bias"]  # type: ignore[no-any-return]


def _tokenizer(path: Path) -> Tokenizer:
    from tokenizers import Tokenizer

    try:
        made = Tokenizer.from_file(str(path))
    except Exception as error:  # the package raises nothing narrower
        raise ValueError(f"{path.name}: {error}") from error
    made.no_padding()
    return made


def _batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Places of sentences of one length, at most BATCH at a time."""
    for length in sorted(set(lengths)):
        rows = [row for row, other in enumerate(lengths) if other == length]
        yield from (rows[start : start + BATCH] for start in range(0, len(rows), BATCH))


def _gelu(values: Array) -> Array:
    """x Phi(x): what is positive, less |x| times the normal distribution's tail beyond |x|."""
    import numpy as np

    size = np.abs(values)
    step = 1 / (1 + np.float32(_TAIL_SCALE) * size)
    tail = np.zeros_like(size)
    for factor in _TAIL:  # Horner; the last step multiplies by `step` alone
        tail *= step
        tail += np.float32(factor)
    tail *= np.exp(values * values * np.float32(-0.5)) * size * np.float32(0.5)
    return np.maximum(values, 0) - tail
