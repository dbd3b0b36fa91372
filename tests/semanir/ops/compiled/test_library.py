"""The compiled kernels equal the readable ones, with every instruction set, whatever the shapes and values."""

from __future__ import annotations

import ctypes
import logging
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from semanir.ops import key_semantic_dictionary
from semanir.ops.attention.mask import mask_attention
from semanir.ops.compiled import library
from semanir.ops.compiled.library import attend
from semanir.ops.dictionary.bits import num_words, pack_bits
from semanir.ops.dictionary.naive import naive_dictionary
from semanir.ops.dictionary.select_torch import Divided, keep_top, labels_of

SOURCES = Path(library.__file__).parent
FUZZ = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def select(scores: Tensor, labels: Tensor | None, k: int) -> Tensor | None:
    """The words, or None where the kernel leaves the scores to torch."""
    words = torch.full((*scores.shape[:2], num_words(scores.shape[2])), -1, dtype=torch.int32)
    return words if library.select(scores, labels, k, words) else None


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """The kernels as a processor without AVX2 runs them, with every access to memory watched as far as C can."""
    compiler = shutil.which("cc")
    assert compiler, "the tests' installation has a C compiler"
    made = tmp_path_factory.mktemp("kernels") / "plain.so"
    flags = ["-O1", "-Wno-psabi", "-Wall", "-Wextra", "-Werror", "-DNO_AVX2", "-shared", "-fPIC"]
    trap = ["-fsanitize=undefined", "-fsanitize-undefined-trap-on-error"]
    subprocess.run([compiler, *flags, *trap, "-o", str(made), str(SOURCES / "kernels.c"), "-lm"], check=True)
    return library.declared(ctypes.CDLL(str(made)))


@pytest.fixture(params=["installed", "plain"])
def either(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the installation made, and the same for any processor."""
    if request.param == "plain":
        kernels = request.getfixturevalue("plain")
        monkeypatch.setattr(library, "kernels", lambda: kernels)
    else:
        assert library.kernels() is not None, "the tests' installation has a C compiler"


@given(
    num_tokens=st.integers(1, 140),
    share=st.floats(0, 1.1),
    levels=st.sampled_from([0, 1, 3, 1000]),
    num_regions=st.integers(0, 3),
    seed=st.integers(0, 2**32 - 1),
)
@FUZZ
@pytest.mark.usefixtures("either")
def test_selection_is_the_sort(num_tokens: int, share: float, levels: int, num_regions: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    windows = torch.randn(4, num_tokens, 5, generator=generator)
    if levels:  # exact ties, zeros of both signs
        windows = (windows * levels).round()
    regions = torch.randint(0, num_regions, (2, num_tokens), generator=generator).int() if num_regions else None
    k = max(1, round(share * num_tokens))
    labels = None if regions is None else labels_of(regions, 0, 4)
    scores = torch.bmm(windows, windows.mT)
    selected = select(scores, labels, k)
    divided = None if regions is None else Divided.find(regions, 0, 4)
    assert selected is not None
    assert torch.equal(selected, pack_bits(keep_top(scores.clone(), k, divided)))


@pytest.mark.usefixtures("either")
@pytest.mark.parametrize(
    "scores",
    [
        2.0 ** -torch.arange(64.0),  # narrowing halves: one key at a time
        torch.cat([torch.full((63,), 1e30), torch.tensor([-1e30])]),
        torch.full((64,), 7.0),
        torch.tensor([torch.finfo(torch.float32).tiny * 2.0**-step for step in range(23)] * 3),
        torch.nextafter(torch.ones(64), torch.arange(64.0)),
        torch.tensor([torch.finfo(torch.float32).max, -torch.finfo(torch.float32).max] * 20),
    ],
)
def test_awkward_scores(scores: Tensor) -> None:
    n = len(scores)
    window = scores.expand(1, n, n).contiguous()
    for k in range(1, n + 1):
        selected = select(window, None, k)
        assert selected is not None
        assert torch.equal(selected, pack_bits(keep_top(window.clone(), k, None))), k


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("at", [0, 35, 36])
@pytest.mark.usefixtures("either")
def test_what_is_not_finite_is_left_to_torch(bad: float, at: int) -> None:
    scores = torch.randn(2, 37, 37)
    scores[1, 5, at] = bad
    assert select(scores, None, 9) is None


def test_a_dictionary_of_infinite_scores_is_torchs(monkeypatch: pytest.MonkeyPatch) -> None:
    windows = torch.randn(3, 20, 4)
    windows[1, 3] = 1e25  # its square is infinite
    found = key_semantic_dictionary(windows, 6)
    monkeypatch.setattr("semanir.ops.dictionary.build.kernels", lambda: None)
    assert torch.equal(found, key_semantic_dictionary(windows, 6))
    assert torch.equal(found[[0, 2]], naive_dictionary(windows, 6)[[0, 2]])


Strided = Callable[[Tensor], Tensor]
LAYOUTS: dict[str, Strided] = {
    "as projected": lambda x: x.permute(2, 0, 3, 1, 4),
    "contiguous": lambda x: x.permute(2, 0, 3, 1, 4).contiguous(),
    "channels apart": lambda x: x.permute(2, 0, 3, 4, 1).contiguous().mT,
}


@given(
    windows=st.integers(0, 3),
    heads=st.integers(1, 3),
    num_tokens=st.integers(1, 140),
    channels=st.integers(1, 40),
    share=st.floats(0, 1),
    layout=st.sampled_from(sorted(LAYOUTS)),
    seed=st.integers(0, 2**32 - 1),
)
@FUZZ
@pytest.mark.usefixtures("either")
def test_attention_is_the_readable_one(
    windows: int, heads: int, num_tokens: int, channels: int, share: float, layout: str, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    projected = torch.randn(windows, num_tokens, 3, heads, channels, generator=generator)
    query, key, value = LAYOUTS[layout](projected).unbind(0)
    dictionary = key_semantic_dictionary(
        torch.randn(windows, num_tokens, 6, generator=generator), max(1, round(share * num_tokens))
    )
    scale = torch.rand(heads, generator=generator) * 50
    bias = torch.randn(heads, num_tokens, num_tokens, generator=generator)
    out = attend(query, key, value, dictionary, scale, bias)
    assert out.shape == (windows, num_tokens, heads, channels)
    expected = mask_attention(query, key, value, dictionary, scale, bias)
    torch.testing.assert_close(out.transpose(1, 2), expected, rtol=1e-4, atol=2e-5)


@pytest.mark.usefixtures("either")
@pytest.mark.parametrize("largest", [1e-30, 1e15])
def test_lengths_of_any_size_and_no_length(largest: float) -> None:
    query, key, value = torch.randn(3, 2, 1, 24, 8).unbind(0)
    query[0, 0, 3], key[0, 0, 4] = 0, 0
    query, key = query * largest, key * largest
    dictionary = key_semantic_dictionary(torch.randn(2, 24, 6), 5)
    arguments = (query, key, value, dictionary, torch.tensor([10.0]), torch.zeros(1, 24, 24))
    torch.testing.assert_close(attend(*arguments).transpose(1, 2), mask_attention(*arguments), rtol=1e-4, atol=1e-5)


@pytest.mark.usefixtures("either")
@pytest.mark.parametrize("where", [0, 1, 2])
@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_what_is_not_a_number_shows(where: int, bad: float) -> None:
    tensors = list(torch.randn(3, 1, 1, 24, 8).unbind(0))
    tensors[where][0, 0, 7, 3] = bad
    dictionary = key_semantic_dictionary(torch.randn(1, 24, 6), 24)
    arguments = (*tensors, dictionary, torch.tensor([10.0]), torch.zeros(1, 24, 24))
    out, expected = attend(*arguments).transpose(1, 2), mask_attention(*arguments)
    assert not expected.isfinite().all()
    assert torch.equal(out.isfinite(), expected.isfinite())


@pytest.mark.usefixtures("either")
def test_bits_beyond_the_last_token_are_not_read() -> None:
    query, key, value = torch.randn(3, 1, 1, 5, 4).unbind(0)
    rest = (query, key, value)
    dictionary = key_semantic_dictionary(torch.randn(1, 5, 3), 2)
    scale, bias = torch.ones(1), torch.zeros(1, 5, 5)
    out = attend(*rest, dictionary | ~31, scale, bias)
    assert torch.equal(out, attend(*rest, dictionary, scale, bias))


def test_an_older_build_is_named_and_left_alone(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(library, "KERNELS", -1)
    with caplog.at_level(logging.WARNING, logger="semanir"):
        assert library.kernels.__wrapped__() is None
    assert "another version" in caplog.text


@pytest.mark.parametrize("found", [None, SimpleNamespace(origin=None), SimpleNamespace(origin="/nowhere/kernels.so")])
def test_without_a_build_the_log_says_so(
    found: object, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(library, "find_spec", lambda name: found)
    with caplog.at_level(logging.INFO, logger="semanir"):
        assert library.kernels.__wrapped__() is None
    assert "slower" in caplog.text
