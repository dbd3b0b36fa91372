"""Motion deblurring."""

from __future__ import annotations

from functools import cache
from typing import Annotated

from numpy.random import Generator, Philox
from pydantic import Field, field_validator, model_validator

from pipeline.degradations.blur import blur
from pipeline.degradations.image import Image
from pipeline.degradations.kernel_file import parse_kernels
from pipeline.degradations.motion_kernel import Kernel, random_motion_kernel
from pipeline.degradations.noise import gaussian_noise
from pipeline.degradations.quantize import quantize
from pipeline.degradations.ranges import Range, draw_int, spared
from pipeline.errors import UserError
from pipeline.metrics.convention import MetricConvention
from pipeline.settings.ranges import number_range
from pipeline.storage import open_storage
from pipeline.tasks.base import Strength, Task, identity, unchanged
from pipeline.tasks.settings import CleanShare, TaskSettings


class DeblurringSettings(TaskSettings):
    """Synthetic camera shake; by default every image has its own."""

    length: Annotated[Range, number_range(1, 200, "pixels")] = (10.0, 60.0)
    """Length of the camera's path during the exposure."""
    max_size: int = Field(default=31, ge=3, le=255)
    """Odd; trajectories that need a larger kernel are scaled down to this size."""
    kernel_seed: int | None = Field(default=None, ge=0, lt=2**64)
    """With a seed, all images are blurred by one kernel, the first that it draws; without, each by its own."""
    kernel_files: tuple[str, ...] = ()
    """Addresses of files with measured kernels (.mat, .npy, .png): each image gets one of all of them, equally likely,
    in place of a synthetic one. See ``pipeline.degradations.kernel_file``.
    """
    sigma: Annotated[Range, number_range(0, 255, "8-bit gray levels")] = (0.0, 0.0)
    """Sensor noise after the blur."""
    clean_share: CleanShare = None

    @field_validator("max_size")
    @classmethod
    def _odd(cls, value: int) -> int:
        if value % 2 == 0:
            raise ValueError(f"wanted an odd kernel size, got {value}")
        return value

    @model_validator(mode="after")
    def _one_origin(self) -> DeblurringSettings:
        if self.kernel_files and self.kernel_seed is not None:
            raise ValueError("kernel_files and kernel_seed exclude each other; set one of them")
        return self


def kernel_of(rng: Generator, settings: DeblurringSettings) -> Kernel:
    """The kernel for one image (n, n): the settings' fixed one, one of their files', or the next that ``rng`` draws.

    Raises:
        UserError: a kernel file is missing or holds no blur kernel.
    """
    if settings.kernel_files:
        kernels = measured_kernels(settings.kernel_files)
        return kernels[draw_int(rng, (0, len(kernels) - 1))]
    if settings.kernel_seed is None:
        return random_motion_kernel(rng, settings.length, settings.max_size)
    return _fixed_kernel(settings.kernel_seed, settings.length, settings.max_size)


@cache
def _fixed_kernel(seed: int, length: Range, max_size: int) -> Kernel:
    kernel = random_motion_kernel(Generator(Philox(key=seed)), length, max_size)
    kernel.flags.writeable = False
    return kernel


@cache
def measured_kernels(files: tuple[str, ...]) -> tuple[Kernel, ...]:
    """The kernels of all files, in their order; read once per process.

    Raises:
        UserError: a file is missing, or holds no blur kernel.
    """
    kernels: list[Kernel] = []
    for address in files:
        folder, _, name = address.rpartition("/")
        try:
            kernels += parse_kernels(open_storage(folder or ".").read(name), name)
        except FileNotFoundError as error:
            raise UserError(f"kernel file {address!r} does not exist") from error
        except (OSError, ValueError) as error:
            raise UserError(f"{address}: {error}") from error
    return tuple(kernels)


def check_kernel_files(settings: DeblurringSettings) -> None:
    """Open the settings' kernel files.

    Raises:
        UserError: a file is missing, or holds no blur kernel.
    """
    measured_kernels(settings.kernel_files)


def degrade(gt: Image, rng: Generator, settings: DeblurringSettings) -> Image:
    """Blur, add sensor noise, save in 8 bits."""
    if spared(rng, settings.clean_share):
        return gt.copy()
    blurred = blur(gt, kernel_of(rng, settings))
    noisy = gaussian_noise(blurred, rng, settings.sigma) if settings.sigma[1] > 0 else blurred
    return quantize(noisy)


def kernel_reach(settings: DeblurringSettings) -> int:
    """Pixels from which light may travel: without them a patch's edges would show mirrored motion."""
    return settings.max_size // 2


# A path of one pixel is barely soft.
STRENGTHS = (
    Strength("nothing wrong", {"clean_share": 1}),
    *(
        Strength(f"path of {length} px", {"length": length, "clean_share": None})
        for length in (1, 2, 5, 10, 20, 40, 60)
    ),
)

DEBLURRING = Task(
    name="deblurring",
    group="deblurring",
    title="Motion deblurring",
    channels=3,
    input_channels=3,
    upscale=1,
    settings=DeblurringSettings,
    degrade=degrade,
    to_input=unchanged,
    baselines={"input": identity},
    convention=MetricConvention(channel="rgb"),
    model="ushape_base",
    tiny_model="ushape_tiny",
    loss="charbonnier",
    margin=kernel_reach,
    check_files=check_kernel_files,
    strengths=STRENGTHS,
)
