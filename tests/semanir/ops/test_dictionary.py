"""The packed dictionary equals a stable descending sort, row for row, whatever the input."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from semanir.ops import key_semantic_dictionary
from semanir.ops.dictionary import build, select_torch
from semanir.ops.dictionary.bits import additive_mask, num_words, pack_bits, unpack_bits
from semanir.ops.dictionary.naive import naive_dictionary


@given(st.integers(1, 140), st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_bits_round_trip(num_tokens: int, seed: int) -> None:
    keep = torch.rand(3, num_tokens, generator=torch.Generator().manual_seed(seed)) < 0.5
    words = pack_bits(keep)
    assert words.dtype == torch.int32
    assert words.shape == (3, num_words(num_tokens))
    assert torch.equal(unpack_bits(words, num_tokens), keep)
    assert torch.equal(additive_mask(words, num_tokens) == 0, keep)


@pytest.mark.parametrize("num_regions", [0, 3])
def test_all_is_made_where_the_windows_lie(num_regions: int) -> None:
    windows = torch.randn(4, 37, 5)
    regions = torch.randint(0, num_regions, (2, 37)) if num_regions else None
    words = key_semantic_dictionary(windows, 9, regions)
    with torch.device("meta"):
        assert torch.equal(key_semantic_dictionary(windows, 9, regions), words)
        assert torch.equal(pack_bits(unpack_bits(words, 37)), words)
        assert torch.equal(additive_mask(words, 37) == 0, unpack_bits(words, 37))


def test_bit_layout() -> None:
    keep = torch.zeros(1, 40, dtype=torch.bool)
    keep[0, [0, 5, 31, 33]] = True
    assert pack_bits(keep).tolist() == [[1 + 32 - 2**31, 2]]


@given(
    num_tokens=st.integers(1, 70),
    share=st.floats(0, 1.1),
    levels=st.sampled_from([1, 2, 3, 1000]),
    num_regions=st.integers(0, 3),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=60, deadline=None)
def test_equals_stable_sort(num_tokens: int, share: float, levels: int, num_regions: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    # Few integer levels make many exact ties and zeros of both signs.
    windows = torch.randint(-levels, levels + 1, (4, num_tokens, 3), generator=generator).float()
    regions = torch.randint(0, num_regions, (2, num_tokens), generator=generator) if num_regions else None
    k = max(1, round(share * num_tokens))
    words = key_semantic_dictionary(windows, k, regions)
    assert torch.equal(words, naive_dictionary(windows, k, regions))

    kept = unpack_bits(words, num_tokens)
    if regions is None:
        available = torch.full((4, num_tokens), num_tokens)
    else:
        same = (regions[:, :, None] == regions[:, None]).repeat(2, 1, 1)
        available = same.sum(-1)
        assert not (kept & ~same).any()
    assert torch.equal(kept.sum(-1), available.clamp(max=k))


@pytest.mark.parametrize("device_rule", ["rows", "all"])
@pytest.mark.parametrize("k", [1, 3, 5])
def test_ties_and_signed_zeros(k: int, device_rule: str) -> None:
    scores = torch.tensor([[[0.0, -0.0, 1.0, -0.0, 0.0, -1.0]]]).expand(1, 6, 6).clone()
    if device_rule == "rows":
        keep = select_torch.keep_top(scores, k, None)
    else:  # the branch without synchronization, as on a GPU
        threshold = scores.topk(k, dim=-1).values[..., -1:]
        keep = select_torch._drop_late_ties(scores, threshold, scores >= threshold, k)
    expected = {1: [2], 3: [0, 1, 2], 5: [0, 1, 2, 3, 4]}[k]
    assert keep[0, 0].nonzero().flatten().tolist() == expected


def test_torch_selection_equals_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    windows = torch.randn(3, 50, 8, generator=torch.Generator().manual_seed(0))
    with_numpy = key_semantic_dictionary(windows, 7)
    monkeypatch.setattr(select_torch, "_HAS_NUMPY", False)
    assert torch.equal(key_semantic_dictionary(windows, 7), with_numpy)


@pytest.mark.parametrize("chunk_bytes", [1, 3 * 4 * 20 * 20])
def test_chunks_do_not_show(monkeypatch: pytest.MonkeyPatch, chunk_bytes: int) -> None:
    windows = torch.randn(8, 20, 5, generator=torch.Generator().manual_seed(1))
    regions = torch.arange(20) // torch.tensor([[3], [7], [20], [11]])
    whole = key_semantic_dictionary(windows, 4, regions)
    monkeypatch.setitem(build._CHUNK_BYTES, "cpu", chunk_bytes)
    assert torch.equal(key_semantic_dictionary(windows, 4, regions), whole)


def test_float32_scores_under_autocast() -> None:
    windows = torch.randn(2, 64, 16, generator=torch.Generator().manual_seed(2))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(key_semantic_dictionary(windows, 8), naive_dictionary(windows, 8))
    assert torch.equal(key_semantic_dictionary(windows, 8), naive_dictionary(windows, 8))


def test_operator_registration() -> None:
    windows = torch.randn(2, 33, 4)
    torch.library.opcheck(build.build_dictionary, (windows, 5, None))


def test_bad_input() -> None:
    windows = torch.randn(4, 10, 3)
    with pytest.raises(ValueError, match="k is 0"):
        key_semantic_dictionary(windows, 0)
    with pytest.raises(ValueError, match=r"windows must have shape .* got \(10, 3\)"):
        key_semantic_dictionary(windows[0], 1)
    with pytest.raises(ValueError, match=r"regions must have shape \(R, 10\).*got \(3, 10\)"):
        key_semantic_dictionary(windows, 1, torch.zeros(3, 10, dtype=torch.int32))
    windows[1, 2, 0] = float("nan")
    key_semantic_dictionary(windows, 1)
    with pytest.raises(ValueError, match="1 of 120 features are NaN"):
        key_semantic_dictionary(windows, 1, check_finite=True)
