"""The sections of the GPU report in order of what they are worth, each begun only while there is time."""

from __future__ import annotations

import argparse
import time
import traceback
from collections.abc import Callable
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
from pipeline.benchmarks.gpu_page import Section, read_by_hand, write_page
from pipeline.benchmarks.gpu_sizes import FULL, SMALL, Sizes
from pipeline.benchmarks.parity import use_ieee_float32
from pipeline.benchmarks.rows import RowFile, machine
from pipeline.benchmarks.table import format_table
from pipeline.errors import UserError, first_line

PAGE = Path(__file__).resolve().parent / "gpu.md"
SECTIONS: tuple[Callable[[Sizes, str], Section], ...] = (
    attention_section,
    dictionary_section,
    training_section,
    restoring_section,
    super_resolution_section,
    compiled_section,  # last: compiling took over a minute on an H100's host
)


def run_report(options: argparse.Namespace) -> int:
    """Returns 0, or 1 when a result was wrong or a section could not run."""
    device, page = options.device, _page(options)
    use_ieee_float32()
    provenance = machine(device, ("torch", "triton"))
    file = RowFile("gpu_report", options.output, provenance)
    end = time.monotonic() + 60 * options.minutes
    sections = []
    for measure in SECTIONS:
        title = (measure.__doc__ or measure.__name__).splitlines()[0]
        if time.monotonic() > end:
            section = Section(title, fault="not reached in the given time")
        else:
            try:
                section = measure(SMALL if options.small else FULL, device)
            except Exception as error:  # out of memory, or a kernel that does not compile: whatever its compiler raises
                traceback.print_exc()
                section = Section(title, fault=f"{type(error).__name__}: {first_line(error)}")
        sections.append(section)
        print(f"\n{section.title}\n{format_table(section.columns, section.rows)}\n{section.fault}", flush=True)
        for row in section.rows:
            file.add(section=section.title, **row)
        # After every section, so that an interrupted run leaves what it measured.
        write_page(page, provenance, sections, small=options.small)
    print(f"wrote {page}")
    return 1 if any(section.fault or section.wrong for section in sections) else 0


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
    read_by_hand(page)
    return page
