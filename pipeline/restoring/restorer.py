"""A model folder, loaded and checked, that restores pictures of any size."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

import semanir
from pipeline.errors import UserError, first_line
from pipeline.estimation.mosaic import cannot_be_mosaic
from pipeline.registry import sealed
from pipeline.restoring.picture import Picture, Pixels, UnusableImageError
from pipeline.tasks import TASKS, Task
from pipeline.tasks.base import Bounds
from semanir.config import check_k
from semanir.tiling import DEFAULT_OVERLAP, check_tile, default_tile, tile_grid


@dataclass(frozen=True)
class Prepared:
    """A picture, the network's input (1, C, H, W) made of it, and whether the output is to become gray again."""

    picture: Picture
    network_input: torch.Tensor
    back_to_gray: bool


class Restorer:
    """Restores pictures with the model in ``folder`` (pulled, or written by ``semanir.save``).

    k: keys per token; None: the model's own. tile, overlap: in input pixels; tile None: about 256, as the
    model's window grid allows; 0: the whole image at once. device: "auto" takes a GPU when there is one.

    strength: 0 gives the task's baseline (the input itself, or what a classical filter makes of it where a model
    enlarges or demosaics), 1 the restored picture, a value between both mixed. as_mosaic: where the model restores
    mosaics, take every one-channel picture for one, also such as cannot be.

    A sealed folder says its task, and its probe is compared first, so that this code computes what the
    registered model did. Raises UserError for a k, tile, strength or device that the model or machine does not allow,
    or an unreadable folder; AlteredModelError when the probe differs.
    """

    def __init__(
        self,
        folder: Path,
        *,
        k: int | None = None,
        tile: int | None = None,
        overlap: int = DEFAULT_OVERLAP,
        device: str = "auto",
        strength: float = 1.0,
        as_mosaic: bool = False,
    ) -> None:
        try:
            model = semanir.load(folder)
        except (ValueError, FileNotFoundError) as error:
            raise UserError(f"model in {folder}: {error}") from None
        self.config, self.folder = model.config, folder
        self.begins: Callable[[Path], None] | None = None
        """Called with each file of several, when it is its turn to be restored."""
        self.progress: Callable[[int, int], None] | None = None
        """Called with (tiles done, tiles in all) while an image larger than a tile is restored."""
        self.dictionaries: semanir.Dictionaries | None = None
        """Where dictionaries are kept from one picture to the next; None: each builds its own."""
        self.to_input: Callable[[Pixels], Pixels] | None = None
        self.task: Task | None = None
        self.setting = ""
        """What the model restores, in words; empty for weights that do not say it."""
        self.bounds: Bounds = {}
        """What the model was made for, as far as a picture can be held against it."""
        if sealed.is_sealed(folder):
            sealed.check_probe(model, folder)
            record = sealed.read_task(folder)
            self.task, self.setting = TASKS.get(record["task"]), record["setting"]
            self.bounds = {name: (limits[0], limits[1]) for name, limits in record["bounds"].items()}
            self._set_input(folder, record)
        try:
            self.model = model.to(pick_device(device))
        except RuntimeError as error:
            raise UserError(first_line(error)) from None
        self._set_options(k, tile, overlap, strength, as_mosaic)

    def with_options(
        self,
        *,
        k: int | None = None,
        tile: int | None = None,
        overlap: int = DEFAULT_OVERLAP,
        strength: float = 1.0,
        as_mosaic: bool = False,
    ) -> Restorer:
        """The same loaded model under other arguments, which mean and raise what they do in the constructor."""
        other = self.apart()
        other._set_options(k, tile, overlap, strength, as_mosaic)
        return other

    def apart(self) -> Restorer:
        """The same loaded model under the same arguments, without what was set to watch or to keep."""
        other = copy.copy(self)
        other.begins = other.progress = other.dictionaries = None
        return other

    def _set_options(self, k: int | None, tile: int | None, overlap: int, strength: float, as_mosaic: bool) -> None:
        self.k, self.strength, self.as_mosaic = k, strength, as_mosaic
        if k is not None:
            try:
                check_k(k, self.config.window_size)
            except ValueError as error:
                raise UserError(first_line(error)) from None
        if not 0 <= strength <= 1:
            raise UserError(f"strength {strength:g}: wanted 0 (the input) to 1 (the restored picture)")
        if strength < 1 and self.config.upscale > 1 and self.task is None:
            raise UserError(
                f"strength {strength:g}: {self.folder} enlarges and does not say its task, so there is nothing of its "
                "size to mix with; leave it out, or take a registered model"
            )
        self.tile = default_tile(self.model, overlap) if tile is None else tile
        self.overlap = overlap
        try:
            check_tile(self.tile or default_tile(self.model, overlap), overlap, tile_grid(self.model))
        except ValueError as error:
            raise UserError(f"{error}" + ("" if tile is None else "; tile 0 takes the whole image at once")) from None

    def _set_input(self, folder: Path, record: dict[str, Any]) -> None:
        """How observed channels become the network's, where the two differ. Raises UserError for an unknown task."""
        self.observed_channels = int(record["observed_channels"])
        if self.observed_channels == self.config.in_channels:
            return
        name, place = record["task"], folder / sealed.TASK_FILE
        if name not in TASKS:
            raise UserError(
                f"{place}: task {name!r:.80} is unknown to this program, which makes the input of "
                f"{', '.join(TASKS)}; use the program that registered the model"
            )
        try:
            made = TASKS[name].to_input(np.zeros((4, 4, self.observed_channels), np.float32)).shape[2]
        except (ValueError, IndexError) as error:
            raise UserError(f"{place}: observed_channels {self.observed_channels}: {first_line(error)}") from None
        if made != self.config.in_channels:
            raise UserError(
                f"{place}: observed_channels {self.observed_channels} become {made} for {name}; the model takes "
                f"{self.config.in_channels}"
            )
        self.to_input = TASKS[name].to_input

    def restore(self, picture: Picture) -> Picture:
        """The restored picture, ``upscale`` times larger; alpha is kept (and enlarged alike).

        A gray picture on an RGB model is repeated and comes back gray. A demosaicking model takes a
        one-channel picture as RGGB mosaic. Raises UnusableImageError for colors on a gray model, and for a gray
        picture that cannot be a mosaic on a model that takes them (unless ``as_mosaic``).
        """
        prepared = self.prepare(picture)
        return self.finish(prepared, self.run(prepared.network_input))

    def prepare(self, picture: Picture) -> Prepared:
        """The picture as the network takes it. Raises UnusableImageError for colors on a gray model."""
        pixels, back_to_gray = self._to_model(picture.pixels)
        network_input = torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))[None]
        return Prepared(picture, network_input, back_to_gray)

    def run(self, network_input: torch.Tensor) -> torch.Tensor:
        """The network's output for (1, C, H, W), tile by tile when it is larger than a tile."""
        with torch.inference_mode():
            if self.tile and max(network_input.shape[2:]) > self.tile:
                return semanir.restore_tiled(
                    self.model,
                    network_input,
                    self.tile,
                    self.overlap,
                    k=self.k,
                    progress=self.progress,
                    dictionaries=self.dictionaries,
                )
            on_device = network_input.to(next(self.model.parameters()).device)
            return self.model(on_device, k=self.k, dictionaries=self.dictionaries)

    def finish(self, prepared: Prepared, output: torch.Tensor) -> Picture:
        """The picture from the network's output (1, C_out, H * upscale, W * upscale).

        Raises UnusableImageError when the output holds values that are not finite.
        """
        picture = prepared.picture
        restored = np.ascontiguousarray(output[0].float().cpu().numpy().transpose(1, 2, 0))
        if not np.isfinite(restored).all():
            raise UnusableImageError("the model gave values that are not finite")
        if self.strength < 1:
            before = self._baseline(prepared)
            restored = (before + self.strength * (restored - before)).astype(np.float32)
        if prepared.back_to_gray:
            restored = restored.mean(axis=2, keepdims=True)
        elif restored.shape[2] == 1 and picture.pixels.shape[2] == 3:
            restored = np.repeat(restored, 3, axis=2)
        return replace(picture, pixels=restored, alpha=self._enlarge(picture.alpha))

    def _baseline(self, prepared: Prepared) -> Pixels:
        """What the output replaces: the network's input, or for a model that enlarges the task's own baseline of it."""
        shown = prepared.network_input[0].numpy().transpose(1, 2, 0)
        if self.task is None or self.config.upscale == 1:
            return shown
        return next(iter(self.task.baselines.values()))(shown, self.task.settings())

    def _to_model(self, pixels: Pixels) -> tuple[Pixels, bool]:
        """The network's input, and whether its output is to become gray again."""
        channels, wanted = pixels.shape[2], self.config.in_channels
        if self.to_input is not None and channels == self.observed_channels:
            if min(pixels.shape[:2]) < 2:
                raise UnusableImageError(f"a mosaic needs at least 2x2 pixels, got {pixels.shape[0]}x{pixels.shape[1]}")
            if not self.as_mosaic and channels == 1 and cannot_be_mosaic(pixels):
                raise UnusableImageError(
                    "an ordinary gray picture, and this model takes mosaics; choose another model, or give --as-mosaic"
                )
            return self.to_input(pixels), False
        if channels == wanted:
            return pixels, False
        if channels == 1:
            return np.repeat(pixels, wanted, axis=2), self.config.out_channels == 3
        if np.array_equal(pixels[:, :, :1], pixels[:, :, 1:2]) and np.array_equal(pixels[:, :, :1], pixels[:, :, 2:]):
            return np.ascontiguousarray(pixels[:, :, :1]), False  # gray, stored as RGB
        raise UnusableImageError(
            "it has colors, and this model restores gray images; use a color model, or convert it to gray"
        )

    def _enlarge(self, alpha: Pixels | None) -> Pixels | None:
        scale = self.config.upscale
        if alpha is None or scale == 1:
            return alpha
        height, width = alpha.shape
        enlarged = semanir.imresize(torch.from_numpy(alpha)[None], height * scale, width * scale)
        return np.asarray(enlarged[0].clamp(0, 1).numpy())


def pick_device(name: str) -> torch.device:
    """``auto``: a GPU when there is one. Raises UserError for a device that this machine does not have."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UserError(f"device {name!r} is unknown; use auto, cpu, cuda or cuda:0") from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UserError(f"device {name!r}: this machine has {torch.cuda.device_count()} CUDA devices; use auto or cpu")
    return device
