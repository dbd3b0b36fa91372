"""The training loop: everything that happens to one model, in the order it happens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

from pipeline.config import RunConfig
from pipeline.data.faults import tally_metrics
from pipeline.data.loader import Batch
from pipeline.training.checkpoint import load_checkpoint, save_checkpoint
from pipeline.training.context import Interrupted, StopRun, WorkerContext
from pipeline.training.damage import SkippedSamples, damage_in_one_line
from pipeline.training.ema import Ema
from pipeline.training.engine import Engine
from pipeline.training.figures import FigureLog
from pipeline.training.losses import get_loss
from pipeline.training.meter import Meter, flops_per_sample, memory_mib
from pipeline.training.phases import learning_rate_at
from pipeline.training.profile import StepProfile
from pipeline.training.schedule import draw_k
from pipeline.training.state import TrainingState
from pipeline.training.training_plan import TrainingPlan
from pipeline.training.validate import Validator
from pipeline.training.worker_log import WorkerLog


@dataclass(frozen=True)
class Summary:
    """What a finished run says of itself."""

    steps: int
    best_psnr: float
    best_step: int
    skipped_steps: int
    samples_per_second: float
    skipped_samples: int = 0


def train(config: RunConfig, context: WorkerContext) -> Summary:
    """Train ``config.task`` to its last step, from the latest checkpoint if there is one.

    Every rank calls it. The best weights on the validation images leave as ``best/`` in each checkpoint.

    Raises:
        StopRun: the checkpoint belongs to another sample order, or too many losses were not finite.
        DamagedData: this rank met a damaged sample that ``data.on_damage`` does not let pass.
        Interrupted: a rank was asked to leave; the step is finished and saved.
    """
    log = WorkerLog(context)
    try:
        summary = _train(config, context, log)
    except BaseException as error:
        log.ends(error)
        raise
    log.says("done")
    return summary


def _train(config: RunConfig, context: WorkerContext, log: WorkerLog) -> Summary:
    settings = config.training
    plan = TrainingPlan(config, context)
    engine = Engine(plan.build_model(), settings, context)
    ema = Ema(engine, settings.ema_decay) if settings.ema_decay else None
    validator = Validator(plan, ema or engine, context)
    loss = get_loss(plan.loss, settings.perceptual_weights, context.device)
    state, figures = TrainingState(data_digest=plan.data_digest), FigureLog(context)
    with context.latest_checkpoint() as folder:
        if folder is not None:
            state = load_checkpoint(folder, engine, ema, validator, plan)
            figures.tell_again(folder)
    log.step = state.step
    log.says(f"resumes with sample {state.position}" if state.step else "starts")

    stream = plan.open_stream(start_position=state.position)
    micro_batches = iter(stream)
    meter = Meter()
    flops = [flops_per_sample(config, validator.model, phase) for phase in plan.phases] if settings.peak_tflops else []
    profile = StepProfile(settings.profile_steps, context)
    skipped = SkippedSamples(context, state.skipped_samples)
    meter.lap("start")
    while state.step < settings.steps:
        profile.before(state.step + 1)
        with damage_in_one_line():
            batches = list(take_step(micro_batches))
        meter.lap("data")
        result = engine.step(
            [(batch.lq, batch.gt) for batch in batches],
            loss,
            learning_rate_at(plan.phases, state.step),
            draw_k(config.seed, state.step, settings.random_k),
            meter.lap,
            stream.faults.tally(),
        )
        log.step = state.step = state.step + 1
        state.position = position_after(batches)
        if ema is not None and result.loss is not None:
            ema.update()
            meter.lap("average")
        skipped.update(stream.faults.faults, sum(result.tally[:-1]))
        profile.after(state.step)
        phase = batches[-1].phase
        samples = plan.phases[phase].global_batch_size
        meter.count(samples, samples * flops[phase] / context.world_size if flops else 0.0)
        if result.loss is None:
            state.skipped_steps += 1
            if state.skipped_steps > settings.max_skipped_steps:
                raise StopRun(_diverged(state, [key for batch in batches for key in batch.keys]))
        if context.rank == 0 and result.loss is not None and (state.step % settings.log_every == 0 or state.step == 1):
            found = {"loss": result.loss, **tally_metrics(result.tally), "memory_mib": memory_mib(context.device)}
            found["workers"] = context.world_size
            figures.tell(state.step, {**found, **meter.rates(settings.peak_tflops)})
        last = state.step == settings.steps
        if state.step % settings.validate_every == 0 or last:
            with damage_in_one_line():
                psnr = validator.validate(state)
            figures.tell(state.step, {"val_psnr": psnr})
            meter.lap("validation")
        if state.step % settings.checkpoint_every == 0 or last or result.leaving:
            folder = Path(mkdtemp(prefix="semanir-checkpoint-"))
            saving = save_checkpoint(folder, state, engine, ema, validator, plan, context)
            figures.save(folder)
            context.save(saving, {"best_psnr": state.best_psnr}, folder)
            meter.lap("checkpoint")
        if context.rank == 0 and (last or result.leaving):
            figures.tell(state.step, meter.pauses())  # no step follows whose figures would tell of them
        if result.leaving and not last:
            raise Interrupted(f"asked to leave at step {state.step} of {settings.steps}, which is saved")
    speed, skipped_samples = meter.average(), len(state.skipped_samples)
    return Summary(state.step, state.best_psnr, state.best_step, state.skipped_steps, speed, skipped_samples)


def take_step(micro_batches: Iterator[Batch]) -> Iterator[Batch]:
    """The micro-batches of one optimizer step."""
    for batch in micro_batches:
        yield batch
        if batch.next_position is not None:
            return


def position_after(batches: Sequence[Batch]) -> int:
    """The data position once these micro-batches are trained."""
    position = batches[-1].next_position
    assert position is not None, "a step ends with the micro-batch that completes it"
    return position


def _diverged(state: TrainingState, keys: list[str]) -> str:
    return (
        f"the loss was not finite {state.skipped_steps} times, last at step {state.step} on samples "
        f"{', '.join(keys[:8])}{' …' if len(keys) > 8 else ''}: lower training.learning_rate, set "
        "training.gradient_clipping, or look at these images"
    )
