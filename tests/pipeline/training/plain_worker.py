"""One rank of a plain process group, for tests: `python plain_worker.py JOB.json RANK` writes RESULT.<rank>.json."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch._dynamo  # every optimizer does when it is made: seconds, once for all ranks
import torch.distributed as dist
from torch import nn

import semanir
from pipeline.config import RunConfig, TrainingSettings
from pipeline.data.batches import Phase
from pipeline.training import loop
from pipeline.training.context import Interrupted, PlainContext
from pipeline.training.ema import Ema
from pipeline.training.engine import Engine, import_deepspeed
from pipeline.training.engine_state import load_engine, save_engine
from pipeline.training.known_peers import know_peers
from pipeline.training.loop import train
from pipeline.training.losses import get_loss
from pipeline.training.spikes import SpikeState
from pipeline.training.state import TrainingState

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))  # the root, for what other tests share

import_deepspeed(torch.device("cpu"))  # takes seconds: once, for all ranks that are forked from a process that did

SIDE = 12


class SmallNet(nn.Module):
    """Two convolutions: enough for every ZeRO stage to have something to share out."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.last = nn.Conv2d(8, 3, 3, padding=1)

    def forward(self, x: torch.Tensor, k: int | None = None) -> torch.Tensor:
        return x + self.last(torch.relu(self.first(x)))


def small_net() -> SmallNet:
    torch.manual_seed(0)
    return SmallNet()


def global_batch(step: int, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(step)
    gt = torch.rand(size, 3, SIDE, SIDE, generator=generator)
    return gt + 0.1 * torch.randn(gt.shape, generator=generator), gt


def sizes(total: int, micro: int) -> list[Phase]:
    """One phase of batches of ``total``, ``micro`` at once."""
    return [Phase(global_batch_size=total, micro_batch_size=micro)]


def run_engines(job: dict[str, Any], context: PlainContext) -> dict[str, Any]:
    """Each of the job's ``cases`` one after another: starting processes costs more than they do."""
    return {name: run_engine(case, Path(job["folder"]) / name, context) for name, case in job["cases"].items()}


def run_engine(case: dict[str, Any], folder: Path, context: PlainContext) -> dict[str, Any]:
    """Some steps of the engine, without those in ``omit``; ``poison`` puts a NaN into the last rank's last sample."""
    settings = TrainingSettings(**case["settings"])
    micro = settings.micro_batch_size or settings.global_batch_size // context.world_size
    engine = Engine(small_net(), settings, sizes(settings.global_batch_size, micro), context)
    losses: list[float | None] = []
    for step in range(settings.steps):
        if step in case.get("omit", []):
            continue
        lq, gt = global_batch(step, settings.global_batch_size)
        if step in case.get("poison", []):
            lq[-1] = float("nan")
        mine = slice(context.rank, None, context.world_size)
        batches = list(zip(lq[mine].split(micro), gt[mine].split(micro), strict=True))
        result = engine.step(batches, get_loss("charbonnier"), settings.learning_rate, None, tally=(context.rank, 10))
        losses.append(result.loss)
    tally = list(result.tally)
    weights = engine.full_state_dict()
    moments = moments_of(engine)
    counted = engine.optimizer_steps()
    save_engine(folder, engine, None)
    dist.barrier()
    engine.step(batches, get_loss("charbonnier"), settings.learning_rate, None)
    load_engine(folder, engine, None, counted)
    again = engine.full_state_dict()
    copy = small_net()
    copy.load_state_dict(weights)
    probe = global_batch(99, 2)[0]
    copied, kept = copy.to(engine.dtype)(probe.to(engine.dtype)), engine.forward(probe)
    return {
        "losses": losses,
        "tally": tally,
        "moments": moments,
        "counted": counted,
        "weights": {name: value.tolist() for name, value in weights.items()},
        "reloaded_equal": all(torch.equal(weights[name], again[name]) for name in weights)
        and moments == moments_of(engine),
        "copy_equal": torch.equal(copied, kept),
    }


def moments_of(engine: Engine) -> list[Any]:
    return [part.tolist() for name in ("exp_avg", "exp_avg_sq") for part in engine.moment_tensors(name)]


def run_reads(job: dict[str, Any], context: PlainContext) -> dict[str, Any]:
    """Per case and step, what the host read: until the last micro-batch was queued, and then until all ranks agreed."""
    return {name: [*read_in_steps(case, context)] for name, case in job["cases"].items()}


def read_in_steps(case: dict[str, Any], context: PlainContext) -> Iterator[dict[str, list[str]]]:
    """The engine's steps on one model, counted; ``peek``: by a loss that looks at its own value."""
    from tests.pipeline.training.host_reads import counted_reads

    settings = TrainingSettings(**case["settings"])
    micro = settings.micro_batch_size or settings.global_batch_size
    engine = Engine(small_net(), settings, sizes(settings.global_batch_size, micro), context)
    plain = get_loss("charbonnier")

    def loss(restored: torch.Tensor, gt: torch.Tensor) -> torch.Tensor:
        value = plain(restored, gt)
        return value * (2 if value.item() < 0 else 1) if case.get("peek") else value

    for step in range(settings.steps):
        lq, gt = (part.split(micro) for part in global_batch(step, settings.global_batch_size))
        at: list[int] = []
        with counted_reads() as reads:
            engine.step(list(zip(lq, gt, strict=True)), loss, 1e-3, None, lambda part: at.append(len(reads)))  # noqa: B023
        *_, queued, agreed, _ = at  # after the last micro-batch's gradient, after the agreement, after the step
        yield {"queued": reads[:queued], "agreed": reads[queued:agreed]}


def run_phases(job: dict[str, Any], context: PlainContext) -> dict[str, Any]:
    """Per stage, losses of steps whose (global batch, micro-batch) sizes are ``job["sizes"]``."""
    losses: dict[str, list[float | None]] = {}
    for stage in job["stages"]:
        settings = TrainingSettings(**{**job["settings"], "zero_stage": stage})
        engine = Engine(small_net(), settings, [phase for pair in job["sizes"] for phase in sizes(*pair)], context)
        losses[str(stage)] = []
        for step, (total, micro) in enumerate(job["sizes"]):
            lq, gt = (part[context.rank :: context.world_size] for part in global_batch(step, total))
            batches = list(zip(lq.split(micro), gt.split(micro), strict=True))
            result = engine.step(batches, get_loss("charbonnier"), settings.learning_rate, None)
            losses[str(stage)].append(result.loss)
    return losses


def run_averages(job: dict[str, Any], context: PlainContext) -> dict[str, Any]:
    """Each case's moving average against the same recursion on consolidated weights; saved and loaded again."""
    return {name: run_average(case, Path(job["folder"]) / name, context) for name, case in job["cases"].items()}


def run_average(case: dict[str, Any], folder: Path, context: PlainContext) -> dict[str, Any]:
    settings = TrainingSettings(**case)
    torch.manual_seed(0)
    model = semanir.create_model("columnar_tiny", depths=(1, 1), embed_dim=12, window_size=4, k=4)
    engine = Engine(model, settings, sizes(settings.global_batch_size, 1), context)
    ema = Ema(engine, settings.ema_decay)
    expected = engine.full_state_dict()
    for step in range(settings.steps):
        lq = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(2 * step + context.rank))
        gt = lq.repeat_interleave(2, 2).repeat_interleave(2, 3)
        engine.step([(lq, gt)], get_loss("charbonnier"), settings.learning_rate, None)
        ema.update()
        for name, value in engine.full_state_dict().items():
            expected[name] = settings.ema_decay * expected[name] + (1 - settings.ema_decay) * value
    weights, average = engine.full_state_dict(), ema.full_state_dict()
    save_engine(folder, engine, ema)
    dist.barrier()
    fresh = Ema(engine, settings.ema_decay)
    load_engine(folder, engine, fresh, engine.optimizer_steps())
    loaded, after = fresh.full_state_dict(), engine.full_state_dict()
    copy = semanir.build_model(model.config)
    copy.load_state_dict(weights)
    probe = torch.rand(1, 3, 9, 11, generator=torch.Generator().manual_seed(99))
    with torch.no_grad():
        copied, kept = copy.to(engine.dtype)(probe.to(engine.dtype)), engine.forward(probe)
    return {
        "error": max((average[name] - expected[name]).abs().max().item() for name in expected),
        "moved": max((average[name] - weights[name]).abs().max().item() for name in expected),
        "copy_equal": torch.equal(copied, kept),
        "loaded_equal": all(torch.equal(loaded[name], average[name]) for name in average),
        "weights_kept": all(torch.equal(after[name], weights[name]) for name in weights),
    }


class LeavingContext(PlainContext):
    """Told to leave while it trains the step that follows ``steps`` others of one micro-batch each."""

    def __init__(self, context: PlainContext, steps: int) -> None:
        super().__init__(context.storage, context.rank, context.world_size)
        self.steps = steps

    def asked_to_leave(self) -> bool:
        self.steps -= 1
        return self.steps < 0


def run_loop(job: dict[str, Any], context: PlainContext) -> dict[str, Any]:
    """The real loop on the configuration of the job; ``leave`` maps a rank to the step in which it is told to.

    poison: steps (from 0) whose batches are spoiled. left_out: those that a fresh run passes over.
    kill, keep: DyingContext's and KeepingContext's.
    """
    from tests.pipeline.training.spoiled_runs import DyingContext, KeepingContext, poison_batches

    if job.get("poison"):
        poison_batches(job["poison"])
    if job.get("left_out"):
        left_out = partial(TrainingState, spikes=SpikeState(left_out=job["left_out"]))
        setattr(loop, "TrainingState", left_out)  # noqa: B010  a type cannot be assigned to
    if job.get("kill"):
        context = DyingContext(context, job["kill"])
    if job.get("keep"):
        context = KeepingContext(context, *job["keep"])
    leave = job.get("leave", {}).get(str(context.rank))
    if leave is not None:
        context = LeavingContext(context, leave - 1)
    try:
        summary = train(RunConfig.model_validate_json(job["config"]), context)
    except Interrupted as reason:
        return {"logged": context.logged, "interrupted": str(reason)}
    return {
        "logged": context.logged,
        "files": {name: content.decode() for name, content in context.files.items()},
        "said": context.said,
        "steps": summary.steps,
        "best_psnr": summary.best_psnr,
        "skipped_samples": summary.skipped_samples,
        "left_out_steps": summary.left_out_steps,
    }


def run_matrix(job: dict[str, Any], context: PlainContext) -> dict[str, Any]:
    """A whole run, then for each of the job's ``cells`` what a run interrupted in its fifth step does with the harm."""
    from tests.pipeline.training.checkpoint_harm import harm
    from tests.pipeline.training.test_checkpoint_matrix import interrupted

    folder, config = Path(job["folder"]), RunConfig.model_validate_json(job["config"])
    train(config, PlainContext(folder / "whole", context.rank, context.world_size))
    results = {}
    for number, cell in job["cells"].items():
        if context.rank == 0:
            harm(interrupted(folder / "whole", folder / number), **cell)
        dist.barrier()
        again = PlainContext(folder / number, context.rank, context.world_size)
        train(config, again)
        steps = [step for step, metrics in again.logged if "loss" in metrics]
        results[number] = {"said": again.said, "first": min(steps, default=0)}
    return results


def run_rank(path: Path, rank: int) -> None:
    """Do the job of a file as one of its ranks."""
    job = json.loads(path.read_text())
    world_size = job["world_size"]
    torch.set_num_threads(1)
    rendezvous = f"file://{job['folder']}/rendezvous"
    know_peers(job.get("know_peers", False))
    dist.init_process_group("gloo", init_method=rendezvous, rank=rank, world_size=world_size)
    context = PlainContext(Path(job["folder"]) / "checkpoints", rank, world_size)
    kinds = {
        "engines": run_engines, "phases": run_phases, "averages": run_averages, "loop": run_loop, "matrix": run_matrix,
        "reads": run_reads,
    }  # fmt: skip
    result = kinds[job["kind"]](job, context)
    if rank == 0 and job.get("keep_meeting"):
        shutil.copy(Path(job["folder"]) / "rendezvous", Path(job["folder"]) / "met")
    (Path(job["folder"]) / f"result.{rank}.json").write_text(json.dumps(result))


if __name__ == "__main__":
    run_rank(Path(sys.argv[1]), int(sys.argv[2]))
