"""Demosaicking of an RGGB sensor. The network refines Malvar's interpolation, as the parent codebase GRL does."""

from __future__ import annotations

from numpy.random import Generator

from pipeline.degradations.bayer import demosaic_bilinear, demosaic_malvar, mosaic
from pipeline.degradations.image import Image
from pipeline.metrics.convention import MetricConvention
from pipeline.tasks.base import Task
from pipeline.tasks.settings import NoSettings


def degrade(gt: Image, rng: Generator, settings: NoSettings) -> Image:
    """The sensor's single channel (H, W, 1). Nothing is random here."""
    del rng, settings
    return mosaic(gt)


def bilinear(lq: Image, settings: NoSettings) -> Image:
    """Baseline: bilinear interpolation of each color."""
    del settings
    return demosaic_bilinear(lq)


def malvar(lq: Image, settings: NoSettings) -> Image:
    """Baseline: what the network receives."""
    del settings
    return demosaic_malvar(lq)


DEMOSAICKING = Task(
    name="demosaicking",
    group="demosaicking",
    title="Demosaicking",
    channels=3,
    input_channels=3,
    upscale=1,
    settings=NoSettings,
    degrade=degrade,
    to_input=demosaic_malvar,
    baselines={"bilinear": bilinear, "malvar": malvar},
    convention=MetricConvention(channel="rgb"),
    model="ushape_base",
    tiny_model="ushape_tiny",
    loss="l1",
    size_multiple=2,
)
