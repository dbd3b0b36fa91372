"""Dictionaries kept from one call to the next."""

from __future__ import annotations

import pytest
import torch

import semanir
from semanir import stage as stage_module


@pytest.fixture
def built(monkeypatch) -> list[int]:
    """k of each dictionary that is built."""
    calls: list[int] = []
    build = stage_module.key_semantic_dictionary

    def count(windows, k, *rest, **named):
        calls.append(k)
        return build(windows, k, *rest, **named)

    monkeypatch.setattr(stage_module, "key_semantic_dictionary", count)
    return calls


def tiny(name: str) -> semanir.SemanIR:
    torch.manual_seed(0)
    return semanir.create_model(name, zero_init_last=False).eval()


@pytest.mark.parametrize("name", ["ushape_tiny", "columnar_tiny"])
def test_on_the_same_picture_the_result_is_the_same_and_nothing_is_built(name: str, built: list[int]) -> None:
    model, image, kept = tiny(name), torch.rand(1, 3, 20, 28), semanir.Dictionaries()
    with torch.no_grad():
        alone = model(image)
        number = len(built)
        first, filled = model(image, None, kept), len(built)
        second = model(image, None, kept)
    assert torch.equal(first, alone)
    assert torch.equal(second, alone)
    assert filled == 2 * number > 0  # without the argument each call builds; the first with it too
    assert len(built) == filled


def test_another_picture_is_restored_by_the_keys_of_the_first(built: list[int]) -> None:
    model, kept = tiny("ushape_tiny"), semanir.Dictionaries()
    first, other = torch.rand(2, 1, 3, 16, 16).unbind(0)
    with torch.no_grad():
        model(first, None, kept)
        number = len(built)
        reused = model(other, None, kept)
        assert len(built) == number
        assert not torch.equal(reused, model(other))
        kept.clear()
        assert torch.equal(model(other, None, kept), model(other))


@pytest.mark.parametrize(("shape", "k"), [((1, 3, 24, 16), None), ((2, 3, 16, 16), None), ((1, 3, 16, 16), 3)])
def test_another_size_batch_or_k_builds_its_own(shape: tuple[int, ...], k: int | None) -> None:
    model, kept = tiny("ushape_tiny"), semanir.Dictionaries()
    image = torch.rand(shape)
    with torch.no_grad():
        model(torch.rand(1, 3, 16, 16), None, kept)
        assert torch.equal(model(image, k, kept), model(image, k))


def test_each_tile_keeps_its_own(built: list[int]) -> None:
    model, kept = tiny("ushape_tiny"), semanir.Dictionaries()
    image = torch.rand(3, 56, 80)
    alone = semanir.restore_tiled(model, image, 48, 16)
    number = len(built)
    first = semanir.restore_tiled(model, image, 48, 16, dictionaries=kept)
    second = semanir.restore_tiled(model, image, 48, 16, dictionaries=kept)
    assert torch.equal(first, alone)
    assert torch.equal(second, alone)
    assert len(built) == 2 * number
