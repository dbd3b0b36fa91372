"""Only the kept pairs, as rows of a sparse matrix: on a CPU and without gradients, time grows with k and not with N.

The scores come from PyTorch's sampled product (query @ key.T at the kept places alone, added to the bias), the output
from its weighted sum of a table's rows. Neither copies a key or value once per query, as ``gather`` does.
"""

from __future__ import annotations

import warnings

import torch
import torch.nn.functional as F
from torch import Tensor

from semanir.ops.attention.call import AttentionCall
from semanir.ops.attention.cosine import cosine_operands
from semanir.ops.opaque import opaque_op
from semanir.ops.precision import no_autocast

# Pairs of a chunk of windows, kept or not: their flags and the lists made of them stay in the cache.
_CHUNK_PAIRS = 1 << 20

warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta state")


def why_not_sparse(call: AttentionCall) -> str | None:
    """The sampled product of a GPU was not tried, and PyTorch has no gradient for it."""
    if call.device.type != "cpu":
        return f"it is for CPUs, got {call.device}"
    if call.needs_grad:
        return "it has no gradient"
    return None


def sparse_attention(
    query: Tensor, key: Tensor, value: Tensor, dictionary: Tensor, scale: Tensor, bias: Tensor
) -> Tensor:
    """See :func:`semanir.ops.key_semantic_attention`. Scores and softmax in float32."""
    with no_autocast(query.device):
        query, key = cosine_operands(query, key, scale)
        return sparse_softmax(query, key, value.float(), dictionary, bias.float()).to(value.dtype)


def _fake(query: Tensor, key: Tensor, value: Tensor, dictionary: Tensor, bias: Tensor) -> Tensor:
    return value.new_empty(value.shape)


@opaque_op(
    "semanir::sparse_softmax(Tensor query, Tensor key, Tensor value, Tensor dictionary, Tensor bias) -> Tensor",
    fake=_fake,
)
def sparse_softmax(query: Tensor, key: Tensor, value: Tensor, dictionary: Tensor, bias: Tensor) -> Tensor:
    """softmax(query @ key.T + bias, kept keys only) @ value, float32; (M, H, N, d) -> (M, H, N, d)."""
    num_tokens = query.shape[2]
    out = torch.empty(value.shape, dtype=value.dtype, device=value.device)
    step = max(1, _CHUNK_PAIRS // num_tokens**2)
    for start in range(0, len(query), step):
        part = slice(start, start + step)
        starts, pairs = _kept_pairs(dictionary[part], num_tokens)
        _attend(query[part], key[part], value[part], starts, pairs, bias, out[part])
    return out


def _kept_pairs(dictionary: Tensor, num_tokens: int) -> tuple[Tensor, Tensor]:
    """Of m windows: where each row's pairs begin, (m * N + 1,), and the pairs' places in (m, N, N), ascending."""
    byte = torch.arange(256, device=dictionary.device)[:, None]
    eights = ((byte >> torch.arange(8, device=dictionary.device)) & 1).to(torch.uint8).view(torch.int64)[:, 0]
    keep = eights.index_select(0, dictionary.contiguous().view(torch.uint8).flatten().int()).view(torch.uint8)
    keep = keep.view(*dictionary.shape[:2], -1)[..., :num_tokens]
    starts = F.pad(keep.sum(-1, dtype=torch.int32).flatten().cumsum(0, dtype=torch.int32), (1, 0))
    return starts, keep.flatten().nonzero()[:, 0].int()


def _attend(
    query: Tensor, key: Tensor, value: Tensor, starts: Tensor, pairs: Tensor, bias: Tensor, out: Tensor
) -> None:
    """Fill ``out`` (m, H, N, d): head by head, the m windows as blocks on the diagonal of one sparse matrix."""
    num_windows, num_heads, num_tokens, _ = query.shape
    size = num_windows * num_tokens
    lengths = starts.diff()
    columns = pairs % num_tokens + pairs // num_tokens**2 * num_tokens
    places = pairs % num_tokens**2
    for head in range(num_heads):
        kept_bias = torch.sparse_csr_tensor(
            starts, columns, bias[head].flatten().index_select(0, places), size=(size, size), check_invariants=False
        )
        scores = torch.sparse.sampled_addmm(kept_bias, query[:, head].flatten(0, 1), key[:, head].flatten(0, 1).T)
        weights = _softmax(scores.values(), lengths)
        rows = F.embedding_bag(
            columns, value[:, head].flatten(0, 1), starts[:-1], mode="sum", per_sample_weights=weights
        )
        out[:, head] = rows.unflatten(0, (num_windows, num_tokens))


def _softmax(scores: Tensor, lengths: Tensor) -> Tensor:
    """Softmax of each row of a sparse matrix, given all rows' values behind each other and how many each has."""
    longest = int(lengths.max())
    if longest * len(lengths) == scores.numel():  # every row keeps k keys, as dictionaries are built
        return scores.unflatten(0, (-1, longest)).softmax(-1).flatten()
    highest = torch.segment_reduce(scores, "max", lengths=lengths).repeat_interleave(lengths)
    weights = (scores - highest).exp_()
    return weights / torch.segment_reduce(weights, "sum", lengths=lengths).repeat_interleave(lengths)
