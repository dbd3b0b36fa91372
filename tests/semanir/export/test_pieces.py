"""Pieces of the exported graph, each against what it stands for: window plan, dictionary, enlargement, padding."""

from __future__ import annotations

import pytest
import torch

import semanir
from semanir.export.attention import additive_mask
from semanir.export.enlarge import enlarge
from semanir.export.graph import Graph, Value
from semanir.export.networks import reflect_pad
from semanir.export.windows import plan_level
from semanir.ops import key_semantic_dictionary
from semanir.ops.dictionary.bits import unpack_bits
from semanir.windows import plan_grids
from semanir.windows import reflect_pad as reflect_pad_in_torch
from tests.semanir.export.run_graph import run_graph

SIZES = [(1, 1), (3, 9), (8, 8), (9, 5), (12, 8), (13, 17)]


@pytest.mark.parametrize("shifted", [False, True], ids=["plain", "shifted"])
@pytest.mark.parametrize(("height", "width"), SIZES)
def test_windows(height: int, width: int, shifted: bool) -> None:
    """Every token is read where the plan of semanir puts it, and returns from there; regions agree."""
    grid = plan_grids(height, width, 4)[shifted]
    tokens = torch.arange(1, height * width + 1).float().view(1, height, width, 1)
    expected = grid.partition(grid.pad(tokens))[..., 0]  # 0 where padding stands

    def piece(part: str, graph: Graph, x: Value) -> Value:
        level = plan_level(graph, graph.size(x, 1), graph.size(x, 2), 4)
        return getattr(level.shifted if shifted else level.plain, part)

    cut = run_graph(lambda graph, x: piece("cut", graph, x), tokens, dtype=torch.int64).view_as(expected)
    is_token = expected > 0
    assert torch.equal((cut + 1)[is_token], expected[is_token].long())

    join = run_graph(lambda graph, x: piece("join", graph, x), tokens, dtype=torch.int64)
    assert torch.equal(expected.flatten()[join], tokens.flatten())

    same = run_graph(lambda graph, x: piece("same", graph, x), tokens, dtype=torch.bool)
    regions = grid.regions(torch.device("cpu"))
    labels = torch.zeros_like(expected, dtype=torch.int32) if regions is None else regions
    assert torch.equal(same, labels[:, :, None] == labels[:, None])


@pytest.mark.parametrize("k", [1, 3, 7, 16])
@pytest.mark.parametrize(("height", "width"), SIZES)
def test_dictionary_keeps_the_same_keys(height: int, width: int, k: int) -> None:
    """Whole numbers as features: many exact ties and zeros of both signs, and products without rounding."""
    grid = plan_grids(height, width, 4)[1]
    features = torch.randint(-1, 2, (2, height, width, 3), generator=torch.Generator().manual_seed(k)).float()
    windows = grid.partition(grid.pad(features))
    dictionary = key_semantic_dictionary(windows, k, grid.regions(torch.device("cpu")))
    expected = unpack_bits(dictionary, grid.num_tokens)

    def build(graph: Graph, x: Value, cut: Value, keys: Value) -> Value:
        plan = plan_level(graph, graph.size(x, 1), graph.size(x, 2), 4).shifted
        return additive_mask(graph, cut, plan, keys)

    mask = run_graph(build, features, windows, torch.tensor([k]), dtype=torch.float32)[:, 0]
    regions = grid.regions(torch.device("cpu"))
    real = torch.ones(grid.num_windows, grid.num_tokens, dtype=torch.bool) if regions is None else regions < 4
    real = real.repeat(2, 1)  # what a padding token keeps never reaches a real one
    assert torch.equal((mask == 0)[real], expected[real])
    assert torch.equal((mask < -1e4)[real], ~expected[real])


@pytest.mark.parametrize("factor", [2, 3, 4, 8])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (2, 3), (7, 12)])
def test_enlargement(height: int, width: int, factor: int) -> None:
    image = torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(0))
    found = run_graph(lambda graph, x: enlarge(graph, x, factor), image, dtype=torch.float32)
    torch.testing.assert_close(found, semanir.imresize(image, height * factor, width * factor), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (2, 8), (3, 13)])
def test_padding_by_reflection(height: int, width: int) -> None:
    image = torch.rand(1, 2, height, width, generator=torch.Generator().manual_seed(0))

    def build(graph: Graph, x: Value) -> Value:
        return reflect_pad(graph, x, graph.size(x, 2), graph.size(x, 3), 8)

    assert torch.equal(run_graph(build, image, dtype=torch.float32), reflect_pad_in_torch(image, 8))
