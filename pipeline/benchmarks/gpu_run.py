"""The sections of the GPU report, each begun only while there is time."""

from __future__ import annotations

import argparse
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path

import torch

from pipeline.addresses import check_file
from pipeline.benchmarks.gpu_attention import attention_section, dictionary_section
from pipeline.benchmarks.gpu_models import (
    compiled_section,
    restoring_section,
    super_resolution_section,
    training_section,
)
from pipeline.benchmarks.gpu_page import Section, as_block, read_blocks, write_page
from pipeline.benchmarks.gpu_sizes import FULL, SMALL, Sizes
from pipeline.benchmarks.parity import use_ieee_float32
from pipeline.benchmarks.rows import RowFile, machine
from pipeline.benchmarks.table import format_table
from pipeline.errors import UserError, first_line

PAGE = Path(__file__).resolve().parent / "gpu.md"
MEASURE: Mapping[str, Callable[[Sizes, str], Section]] = {
    "attention": attention_section,
    "dictionary": dictionary_section,
    "training": training_section,
    "restoring": restoring_section,
    "super_resolution": super_resolution_section,
    "compiled": compiled_section,
}


def run_report(options: argparse.Namespace) -> int:
    """Returns 0, or 1 when a result was wrong or a section could not run."""
    device, page = options.device, _page(options)
    use_ieee_float32()
    provenance = machine(device, ("torch", "triton"))
    file = RowFile("gpu_report", options.output, provenance)
    end = time.monotonic() + 60 * options.minutes
    blocks, failed = read_blocks(page), False
    for name in dict.fromkeys(options.sections):
        measure = MEASURE[name]
        title = (measure.__doc__ or measure.__name__).splitlines()[0]
        late = time.monotonic() > end
        if late:
            section = Section(title, fault="not reached in the given time")
        else:
            try:
                section = measure(SMALL if options.small else FULL, device)
            except Exception as error:  # out of memory, or a kernel that does not compile: whatever its compiler raises
                traceback.print_exc()
                section = Section(title, fault=f"{type(error).__name__}: {first_line(error)}")
        failed = failed or bool(section.fault) or section.wrong
        print(f"\n{section.title}\n{format_table(section.columns, section.rows)}\n{section.fault}", flush=True)
        for row in section.rows:
            file.add(section=section.title, **row)
        if late and name in blocks:
            print("What the page has of it from an earlier run stays.")
            continue
        blocks[name] = as_block(section, provenance, small=options.small)
        # After every section, so that an interrupted run leaves what it measured.
        write_page(page, blocks)
    print(f"wrote {page}")
    return 1 if failed else 0


def _page(options: argparse.Namespace) -> Path:
    """Where the report goes. Raises UserError for what gives no report, before anything is measured."""
    if options.device == "cpu" and not options.small:
        raise UserError("--device cpu runs tiny sizes only, since the full ones are a GPU's; add --small --page FILE")
    if options.device == "cuda" and not torch.cuda.is_available():
        raise UserError(
            "torch sees no CUDA device here; --device cpu --small --page FILE runs the same paths without figures"
        )
    if options.small and options.page is None:
        raise UserError(f"--small gives no figures for {PAGE.name}, the measured page; give --page FILE")
    page: Path = PAGE if options.page is None else options.page
    check_file("--page", page)
    read_blocks(page)
    return page
