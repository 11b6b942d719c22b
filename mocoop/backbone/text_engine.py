"""The text engine: token rows and learned context vectors in, text features out.

Most of the training speed comes from here. Two paths give the same features:

* *Shared prefix*, for open_clip's own causal towers. A token attends only to earlier ones, so everything before
  the class name is the same for all classes of an expert: it runs once per expert, and each class adds its own few
  tokens, which attend to the expert's keys and values. All experts run packed in one batch without padding, and
  after the last attention only the pooled position is computed.
* *Full length*, for every tower that takes token ids through an embedding layer (SigLIP, CoCa, Hugging Face towers):
  the model's own forward runs, and only the output of its embedding layer is replaced. So positions, masks and
    pooling are the model's own. This path is also the reference that the shared prefix is tested against.

Long lists of classes run in chunks; with gradients each chunk is recomputed in the backward pass, so memory is that
of one chunk. E experts (or templates), C classes, L length, W text width, D joint width.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from mocoop.backbone import ranks
from mocoop.backbone.devices import autocast, with_cast_matrices
from mocoop.backbone.prompts import TokenRows
from mocoop.backbone.ranks import SharedEncoder
from mocoop.errors import BackboneError

Autocast = Callable[[], contextlib.AbstractContextManager[object]]

CHUNK_TOKENS = 8192  # tokens in one chunk: about 1 GB of activations for ViT-B/16's text tower with gradients


class _Pass(Protocol):
    """One prepared chunk of prompts: ctx (M, W) or None -> features (E, C, D), not normalised."""

    def __call__(self, ctx: Tensor | None) -> Tensor: ...


class Encoder(Protocol):
    """Encodes one fixed set of token rows, on this rank or on several."""

    def __call__(self, ctx: Tensor | None = None) -> Tensor:
        """Text features (E, C, D), float32, not normalised, of the rows with their learned tokens from ctx (M, W)."""


class TextEncoder:
    """Encodes one fixed set of token rows; made by `TextTower.prepare`, called whenever ctx changes."""

    def __init__(self, passes: list[_Pass], autocast: Autocast) -> None:
        self._passes, self._autocast = passes, autocast

    def __call__(self, ctx: Tensor | None = None) -> Tensor:
        """Text features (E, C, D), float32, not normalised, of the rows with their learned tokens from ctx (M, W)."""
        recompute = len(self._passes) > 1 and ctx is not None and ctx.requires_grad and torch.is_grad_enabled()
        with self._autocast():
            parts = [checkpoint(run, ctx, use_reentrant=False) if recompute else run(ctx) for run in self._passes]
        return torch.cat(parts, dim=1).float()


class TextTower:
    """The text tower of an open_clip model. `shared_prefix` says which of the two paths it supports.

    `precision` ("float32", "bfloat16", "float16") is the number format of the tower's products only: its residual
    stream, similarities and losses stay in float32.
    """

    def __init__(self, model: nn.Module, name: str, precision: str = "float32") -> None:
        self.model, self._precision = model, precision
        self.embedding = _embedding_layer(model, name)
        self._causal = _causal_parts(model, precision)

    @property
    def shared_prefix(self) -> bool:
        """Whether the tower is one of open_clip's causal ones, whose prefix can be shared."""
        return self._causal is not None

    @property
    def width(self) -> int:
        """W, the width of a token embedding."""
        return int(self.embedding.embedding_dim)

    def embed(self, ids: Tensor) -> Tensor:
        """Token embeddings (..., W) of ids: what learned contexts start from."""
        vectors: Tensor = self.embedding(ids.to(self.embedding.weight.device))  # the layer itself: NLLB's scales
        return vectors.detach().clone()

    def prepare(self, rows: TokenRows, *, chunk_tokens: int = CHUNK_TOKENS, full_length: bool = False) -> TextEncoder:
        """An encoder for these rows. `full_length` forces the slow path, as a reference for tests."""
        shared = self._causal is not None and not full_length
        experts, classes, length = rows.ids.shape
        per_class = experts * (int(rows.lengths.max()) if shared else length)
        step = max(1, chunk_tokens // max(1, per_class))
        chunks = [rows.classes(start, min(start + step, classes)) for start in range(0, classes, step)]
        if shared:
            assert self._causal is not None
            return TextEncoder([_SharedPrefixPass(self._causal, chunk) for chunk in chunks], self._numbers)
        return TextEncoder([_FullLengthPass(self.model, self.embedding, chunk) for chunk in chunks], self._numbers)

    def prepare_to_learn(self, rows: TokenRows) -> Encoder:
        """The encoder of a training: `prepare`, the classes shared by the ranks where there are several."""
        if ranks.count() == 1:
            return self.prepare(rows)
        parts = ranks.parts_of_classes(rows.ids.shape[1])
        return SharedEncoder(self.prepare(rows.classes(*parts[ranks.number()])), parts)

    def _numbers(self) -> contextlib.AbstractContextManager[object]:
        return autocast(self.embedding.weight.device, self._precision)


class _FullLengthPass:
    """The model's own `encode_text`, with the embedding layer's output replaced at the learned positions."""

    def __init__(self, model: nn.Module, embedding: nn.Embedding, rows: TokenRows) -> None:
        device = embedding.weight.device
        self._model, self._embedding = model, embedding
        self._shape = rows.ids.shape[:2]
        self._ids = rows.ids.flatten(0, 1).to(device)  # (N, L)
        self._learned = rows.learned.flatten(0, 1).to(device)  # (N, L)

    def __call__(self, ctx: Tensor | None) -> Tensor:
        with _replaced_embeddings(self._embedding, self._learned, ctx) as used:
            features: Tensor = self._model.encode_text(self._ids, normalize=False)  # type: ignore[operator]
        if used != [True]:
            raise BackboneError("the text tower did not read its embedding layer once; learned tokens would be lost")
        return features.reshape(*self._shape, -1)


@contextlib.contextmanager
def _replaced_embeddings(layer: nn.Embedding, learned: Tensor, ctx: Tensor | None) -> Iterator[list[bool]]:
    """Within the context, replace the layer's output at learned positions (N, L) by the given row of ctx."""
    used: list[bool] = []

    def replace(_module: nn.Module, _args: tuple[Any, ...], output: Tensor) -> Tensor:
        used.append(output.shape[:2] == learned.shape)
        if ctx is None:
            return output
        return torch.where((learned >= 0).unsqueeze(-1), ctx[learned.clamp_min(0)].to(output.dtype), output)

    handle = layer.register_forward_hook(replace)
    try:
        yield used
    finally:
        handle.remove()


@dataclass(frozen=True, slots=True)
class _CausalParts:
    """The pieces of open_clip's causal text tower, as its own forward uses them."""

    embedding: nn.Embedding
    positions: Tensor  # (L, W)
    blocks: tuple[Any, ...]
    ln_final: nn.Module
    projection: nn.Linear | Tensor | None
    pool: str  # "argmax" or "eos"
    eos_id: int

    def pooled_position(self, ids: Tensor) -> Tensor:
        """The pooled position of each sentence, (N,), of ids (N, L)."""
        return ids.argmax(-1) if self.pool == "argmax" else (ids == self.eos_id).int().argmax(-1)

    def project(self, x: Tensor) -> Tensor:
        if self.projection is None:
            return x
        return self.projection(x) if isinstance(self.projection, nn.Linear) else x @ self.projection


class _SharedPrefixPass:
    """All prompts of all experts in one packed batch; the layout is computed once, here, and reused every step.

    Prefixes are left-padded to (E, P), which costs little; the classes' own tokens are packed without padding into
    one list and scattered to (N, S) only for attention. N = E x C prompts.
    """

    def __init__(self, parts: _CausalParts, rows: TokenRows) -> None:
        self._parts = parts
        device = parts.embedding.weight.device
        self._shape = experts, classes = rows.ids.shape[:2]
        ids, learned = rows.ids.to(device), rows.learned.to(device)
        ends = parts.pooled_position(ids.flatten(0, 1)).view(experts, classes)  # (E, C)
        shared = _shared_lengths(ids, learned, ends)  # (E,)

        # The source of every token's vector: a table of the fixed embeddings, followed by the rows of ctx.
        used, place = ids.unique(return_inverse=True)
        self._fixed = parts.embedding.weight.detach()[used]  # (U, W)
        source = torch.where(learned >= 0, len(used) + learned, place)  # (E, C, L)

        longest = int(shared.max())
        column = torch.arange(longest, device=device) - (longest - shared)[:, None]  # (E, P), negative: padding
        self._prefix_mask = column >= 0
        column = column.clamp_min(0)
        self._prefix_source = source[:, 0].gather(1, column)  # (E, P)
        self._prefix_position = column

        own = (ends + 1 - shared[:, None]).flatten()  # (N,) tokens of each prompt after the prefix
        width = int(own.max())
        step = torch.arange(width, device=device)
        filled = step < own[:, None]  # (N, S)
        position = shared.repeat_interleave(classes)[:, None] + step  # (N, S)
        gathered = source.flatten(0, 1).gather(1, position.clamp_max(ids.shape[-1] - 1))  # (N, S)
        self._own_source, self._own_position = gathered[filled], position[filled]  # (V,)
        self._slots = filled.flatten().nonzero().squeeze(1)  # (V,) places of packed tokens in N * S
        self._expert = torch.arange(experts, device=device).repeat_interleave(classes)  # (N,)
        self._last = own - 1  # (N,) place of the pooled token among its own
        self._last_packed = own.cumsum(0) - 1  # (N,) the same in the packed list
        self._padded = len(own) * width  # N * S
        self._masks = self._attention_masks(longest, width)

    def _attention_masks(self, prefix: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
        """Blocked attention: prefix (E, 1, P, P), own (E, 1, C, S, P + S), pooled token (E, 1, C, 1, P + S)."""
        device = self._slots.device
        causal = torch.ones(prefix, prefix, dtype=torch.bool, device=device).tril()
        itself = torch.eye(prefix, dtype=torch.bool, device=device)  # a padded row must attend to something: itself
        among_prefix = (causal & self._prefix_mask[:, None, :]) | itself
        back = self._prefix_mask[self._expert][:, None, :].expand(-1, width, -1)
        own = torch.ones(width, width, dtype=torch.bool, device=device).tril().expand(len(self._expert), -1, -1)
        to_all = torch.cat([back, own], dim=2)  # (N, S, P + S)
        pooled = to_all[torch.arange(len(self._last), device=device), self._last, None]  # (N, 1, P + S)
        by_expert = [mask.unflatten(0, self._shape)[:, None] for mask in (to_all, pooled)]
        return ~among_prefix[:, None], ~by_expert[0], ~by_expert[1]

    def __call__(self, ctx: Tensor | None) -> Tensor:
        table = self._fixed if ctx is None else torch.cat([self._fixed, ctx.to(self._fixed.dtype)])
        positions = self._parts.positions
        prefix = (F.embedding(self._prefix_source, table) + positions[self._prefix_position]).flatten(0, 1)
        own = F.embedding(self._own_source, table) + positions[self._own_position]  # (V, W)
        tokens = torch.cat([prefix, own])  # (E * P + V, W)
        for block in self._parts.blocks[:-1]:
            tokens = self._block(block, tokens)
        pooled = self._parts.ln_final(self._last_block(self._parts.blocks[-1], tokens))  # (N, W)
        return self._parts.project(pooled).reshape(*self._shape, -1)  # (E, C, D)

    def _block(self, block: Any, tokens: Tensor) -> Tensor:
        """One residual block over the packed tokens (open_clip's ResidualAttentionBlock)."""
        qkv = F.linear(block.ln_1(tokens), block.attn.in_proj_weight, block.attn.in_proj_bias)
        (q_prefix, *prefix), (q_own, *own) = self._by_head(qkv, block.attn.num_heads)
        among_prefix, to_all, _ = self._masks
        seen_prefix = _attend(q_prefix, prefix[0], prefix[1], among_prefix)
        seen_own = _attend_both(q_own, prefix, own, to_all)
        flat_prefix = seen_prefix.transpose(1, 2).flatten(2).flatten(0, 1)  # (E * P, W)
        flat_own = _flat(seen_own).index_select(0, self._slots)  # (V, W)
        return _finish(block, tokens, torch.cat([flat_prefix, flat_own]))

    def _last_block(self, block: Any, tokens: Tensor) -> Tensor:
        """The last block, computed only for the pooled token of each prompt, (N, W): it is the only query."""
        normed, width = block.ln_1(tokens), tokens.shape[-1]
        at_end = self._prefix_mask.numel() + self._last_packed  # (N,)
        weight, bias = block.attn.in_proj_weight, block.attn.in_proj_bias
        query = F.linear(normed[at_end], weight[:width], None if bias is None else bias[:width])  # (N, W)
        query = query.view(*self._shape, 1, block.attn.num_heads, -1).permute(0, 3, 1, 2, 4)
        prefix, own = self._by_head(
            F.linear(normed, weight[width:], None if bias is None else bias[width:]), block.attn.num_heads
        )
        seen = _attend_both(query, prefix, own, self._masks[2])  # (E, heads, C, 1, head)
        return _finish(block, tokens[at_end], _flat(seen))

    def _by_head(self, packed: Tensor, heads: int) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Split packed vectors (E * P + V, n W), n of queries, keys, values, into n tensors for each of two kinds.

        Those of the prefix are (E, heads, P, head), those of the classes' own tokens (E, heads, C, S, head).
        """
        experts, length = self._prefix_mask.shape
        of_prefix, of_own = packed.split([experts * length, len(self._slots)])
        spread = packed.new_zeros(self._padded, packed.shape[-1]).index_copy(0, self._slots, of_own)
        head = self._parts.positions.shape[-1] // heads
        prefix = of_prefix.view(experts, length, -1, heads, head).permute(2, 0, 3, 1, 4)
        own = spread.view(*self._shape, self._padded // len(self._last), -1, heads, head).permute(3, 0, 4, 1, 2, 5)
        return prefix.unbind(), own.unbind()


def _attend(query: Tensor, keys: Tensor, values: Tensor, blocked: Tensor) -> Tensor:
    """softmax(q k^T / sqrt(head)) v over the keys that are not `blocked`, (E, heads, P, head).

    Written out because for about ten tokens the fused kernels' backward pass is slow on a CPU.
    """
    scores = (query * query.shape[-1] ** -0.5) @ keys.mT
    weights: Tensor = scores.masked_fill_(blocked, float("-inf")).softmax(-1)
    return weights.to(values.dtype) @ values


def _attend_both(query: Tensor, prefix: Sequence[Tensor], own: Sequence[Tensor], blocked: Tensor) -> Tensor:
    """Attention of each prompt's tokens (E, heads, C, s, head) over its expert's prefix and its own tokens.

    An expert's prefix is not copied to its C classes: all of them attend to it in one product, and only the scores
    are concatenated. `prefix` and `own` are keys and values.
    """
    (k_prefix, v_prefix), (k_own, v_own) = prefix, own
    query = (query * query.shape[-1] ** -0.5).contiguous()  # (E, heads, C, s, head)
    back = (query.flatten(2, 3) @ k_prefix.mT).view(*query.shape[:4], -1)  # (E, heads, C, s, P)
    scores = torch.cat([back, query @ k_own.mT], dim=-1)  # (E, heads, C, s, P + S)
    weights = scores.masked_fill_(blocked, float("-inf")).softmax(-1).to(v_own.dtype)
    on_prefix, on_own = weights.split([k_prefix.shape[-2], k_own.shape[-2]], dim=-1)
    seen: Tensor = (on_prefix.flatten(2, 3) @ v_prefix).view_as(query) + on_own @ v_own
    return seen


def _flat(seen: Tensor) -> Tensor:
    """(E, heads, C, s, head) -> (E * C * s, W)."""
    return seen.permute(0, 2, 3, 1, 4).flatten(3).flatten(0, 2)


def _finish(block: Any, tokens: Tensor, seen: Tensor) -> Tensor:
    """The rest of a residual block after attention."""
    tokens = tokens + block.ls_1(block.attn.out_proj(seen))
    out: Tensor = tokens + block.ls_2(block.mlp(block.ln_2(tokens)))
    return out


def _shared_lengths(ids: Tensor, learned: Tensor, ends: Tensor) -> Tensor:
    """Number of leading tokens that all classes of an expert share, (E,); never includes the pooled token."""
    same = ((ids == ids[:, :1]) & (learned == learned[:, :1])).all(dim=1)  # (E, L)
    leading = same.int().cumprod(-1).sum(-1)
    return torch.minimum(leading, ends.min(dim=1).values)


def _embedding_layer(model: nn.Module, name: str) -> nn.Embedding:
    """The layer that embeds token ids. Raises BackboneError naming the model if there is none."""
    text: Any = getattr(model, "text", model)
    layer = getattr(text, "token_embedding", None)
    if layer is None and hasattr(getattr(text, "transformer", None), "get_input_embeddings"):
        layer = text.transformer.get_input_embeddings()
    if not isinstance(layer, nn.Embedding):
        raise BackboneError(
            f"the text tower of {name!r} ({type(text).__name__}) takes no token embeddings, so prompts cannot be "
            "learned for it",
            "use a CLIP, CoCa or SigLIP model of open_clip, or one with a Hugging Face text tower",
        )
    return layer


def _causal_parts(model: Any, precision: str) -> _CausalParts | None:
    """The pieces of a causal open_clip tower in a number format, or None if only the full length is exact."""
    from mocoop.openclip import open_clip

    text = getattr(model, "text", model)
    mask = getattr(text, "attn_mask", None)
    pool = getattr(text, "text_pool_type", getattr(text, "pool_type", None))
    if mask is None or pool not in ("argmax", "eos") or getattr(text, "cls_emb", None) is not None:
        return None
    blocks = tuple(text.transformer.resblocks)
    plain = all(type(block) is open_clip.transformer.ResidualAttentionBlock for block in blocks)
    above = torch.ones_like(mask, dtype=torch.bool).triu(1)
    if not plain or not bool((mask[above] == float("-inf")).all() and (mask[~above] == 0).all()):
        return None
    eos_id = getattr(text, "text_eos_id", getattr(text, "eos_id", -1))
    return _CausalParts(
        embedding=text.token_embedding,
        positions=text.positional_embedding.detach(),
        blocks=tuple(with_cast_matrices(block, precision) for block in blocks),
        ln_final=text.ln_final,
        projection=text.text_projection,
        pool=pool,
        eos_id=int(eos_id),
    )
