from __future__ import annotations

from pathlib import Path

import pytest
import torch

import semanir
from pipeline.errors import UserError
from pipeline.registry.torch_program import export_program

# Layers on both grids, and no more of them than that: tracing takes time.
SHALLOW = {"ushape_tiny": (1, 1, 2), "columnar_tiny": (2,)}


@pytest.mark.parametrize(("name", "size"), [
    pytest.param("ushape_tiny", (37, 50), marks=pytest.mark.slow), ("columnar_tiny", (24, 19)),
])  # fmt: skip
def test_a_program_computes_what_the_model_does(name: str, size: tuple[int, int], tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = semanir.create_model(name, depths=SHALLOW[name], zero_init_last=False).eval()
    program = export_program(model, *size, k=5)
    torch.export.save(program, tmp_path / "model.pt2")
    x = torch.rand(1, 3, *size)
    with torch.inference_mode():
        expected = model(x, k=5)
        assert not torch.equal(expected, model(x, k=30))  # k matters, so the program must have kept it
        torch.testing.assert_close(torch.export.load(tmp_path / "model.pt2").module()(x), expected, rtol=0, atol=0)


def test_what_cannot_be_is_said() -> None:
    model = semanir.create_model("ushape_tiny", depths=SHALLOW["ushape_tiny"])
    with pytest.raises(UserError, match="k is 65"):
        export_program(model, 32, 32, k=65)
    with pytest.raises(UserError, match="0x32"):
        export_program(model, 0, 32)


def test_another_size_needs_another_program() -> None:
    program = export_program(semanir.create_model("columnar_tiny", depths=(1,)), 16, 16)
    with pytest.raises(Exception, match=r"[Gg]uard|shape"):
        program.module()(torch.rand(1, 3, 24, 16))


def test_dynamic_sizes_are_specialized() -> None:
    """The documented limit: when this fails, semanir has learned to plan windows of any size; export dynamically."""
    model = semanir.create_model("columnar_tiny", depths=(2,), upscale=1).eval().requires_grad_(False)
    height = torch.export.Dim("height", min=2, max=64)
    with pytest.raises(Exception, match=r"SymInt|specialized|[Cc]onstraints|[Gg]uard"):
        torch.export.export(
            model, (torch.rand(1, 3, 32, 32),), dynamic_shapes=({2: 8 * height, 3: None},), strict=False
        )
