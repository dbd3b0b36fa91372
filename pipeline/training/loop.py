"""The training loop: everything that happens to one model, in the order it happens."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pipeline.config import RunConfig
from pipeline.data.faults import tally_metrics
from pipeline.data.loader import Batch
from pipeline.training.cadence import Cadence
from pipeline.training.checkpoint import load_checkpoint, save_checkpoint
from pipeline.training.context import Interrupted, StopRun, WorkerContext
from pipeline.training.damage import SkippedSamples, damage_in_one_line
from pipeline.training.ema import Ema
from pipeline.training.engine import PASSED_OVER, Engine
from pipeline.training.figures import FigureLog
from pipeline.training.left_out import LeftOut
from pipeline.training.losses import get_loss
from pipeline.training.meter import Meter, flops_per_sample, memory_mib
from pipeline.training.phases import learning_rate_at
from pipeline.training.profile import StepProfile
from pipeline.training.schedule import draw_k
from pipeline.training.scratch import checkpoint_folder
from pipeline.training.spikes import RollBack, SpikeRule
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
    left_out_steps: int = 0


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
    plan = TrainingPlan(config, context)
    run = _Run.begin(plan, context, log)
    back: RollBack | None = None
    while True:
        state, figures = TrainingState(data_digest=plan.data_digest), FigureLog(context)
        with context.latest_checkpoint(None if back is None else back.step) as folder:
            if folder is not None:
                state = load_checkpoint(folder, run.engine, run.ema, run.validator, plan)
                figures.tell_again(folder)
            elif back is not None:
                anew = f"no checkpoint of {back.step} steps or fewer is kept: the run begins anew"
                log.says(anew)
                if context.rank == 0:
                    context.say(anew)
                del run
                gc.collect()  # the engine refers to itself, and two of them may not fit
                run = _Run.begin(plan, context, log)
        if back is not None:
            state.spikes.left_out = sorted({*state.spikes.left_out, *back.left_out})
        log.step = state.step
        log.says(f"resumes with sample {state.position}" if state.step else "starts")
        try:
            return run.steps_from(state, figures)
        except RollBack as reason:
            log.says(str(reason))
            if context.rank == 0:
                context.say(str(reason))
            # MLflow forgets nothing: from here on its curves hold the figures of the history that was given up too.
            figures.tell(log.step, {"went_back_to_step": reason.step})
            back = reason.with_traceback(None)  # which would keep the stream of samples alive


@dataclass(frozen=True)
class _Run:
    """What stays when a run goes back to an earlier checkpoint, and the steps from there to the end."""

    plan: TrainingPlan
    engine: Engine
    ema: Ema | None
    validator: Validator
    context: WorkerContext
    log: WorkerLog

    @classmethod
    def begin(cls, plan: TrainingPlan, context: WorkerContext, log: WorkerLog) -> _Run:
        """With the weights that training starts from."""
        settings = plan.config.training
        engine = Engine(plan.build_model(), settings, plan.schedule.phases, context)
        ema = Ema(engine, settings.ema_decay) if settings.ema_decay else None
        return cls(plan, engine, ema, Validator(plan, ema or engine, context), context, log)

    def steps_from(self, state: TrainingState, figures: FigureLog) -> Summary:
        """Train from ``state`` to the last step.

        Raises:
            RollBack: the loss stays up; another state is to be loaded.
        """
        plan, engine, ema, validator, context = self.plan, self.engine, self.ema, self.validator, self.context
        config, settings = plan.config, plan.config.training
        loss = get_loss(plan.loss, settings.perceptual_weights, context.device)
        stream = plan.open_stream(start_position=state.position)
        micro_batches = iter(stream)
        meter = Meter()
        flops = [flops_per_sample(config, validator.model, phase) for phase in plan.phases if settings.peak_tflops]
        profile = StepProfile(settings.profile_steps, context)
        skipped = SkippedSamples(context, state.skipped_samples)
        rule, left_out = SpikeRule(settings.spikes, state.spikes), LeftOut(context)
        cadence = Cadence(settings.checkpoint_every, settings.checkpoint_every_s, context)
        meter.lap("start")
        while state.step < settings.steps:
            if state.step in {phase.first_step for phase in plan.phases}:
                rule.forget()
            profile.before(state.step + 1)
            with damage_in_one_line():
                batches = list(take_step(micro_batches))
            meter.lap("data")
            rate = learning_rate_at(plan.phases, state.step)
            if passed_over := rule.passes_over(state.step):
                result = PASSED_OVER
            else:
                result = engine.step(
                    [(batch.lq, batch.gt) for batch in batches],
                    loss,
                    rate,
                    draw_k(config.seed, state.step, settings.random_k),
                    meter.lap,
                    [*cadence.votes(), *stream.faults.tally()],
                    rule.takes if rule.watches else None,
                )
            self.log.step = state.step = state.step + 1
            state.position = position_after(batches)
            if ema is not None and result.taken:
                ema.update()
                meter.lap("average")
            due, behind, *damage = result.tally
            if not passed_over:
                skipped.update(stream.faults.faults, sum(damage[:-1]))
            profile.after(state.step)
            phase = batches[-1].phase
            samples = plan.phases[phase].global_batch_size
            if not passed_over:  # else nothing of it was trained, and the speed would be none
                meter.count(samples, samples * flops[phase] / context.world_size if flops else 0.0)
            keys = [key for batch in batches for key in batch.keys]
            if result.loss is None and not passed_over:
                state.skipped_steps += 1
                if state.skipped_steps > settings.max_skipped_steps:
                    raise StopRun(_diverged(state, keys))
            if rule.watches and result.loss is not None:
                back = rule.note(state.step - 1, result.taken)
                if not result.taken:
                    left_out.tell(state.step, rule.why, keys)
                if too_many := rule.too_many(back):
                    raise StopRun(_spiked(too_many, state.step, keys, settings.spikes.most))
                if back is not None:
                    raise back
            if result.loss is not None and (state.step % settings.log_every == 0 or state.step == 1):
                found = {"loss": result.loss, **tally_metrics(damage), "memory_mib": memory_mib(context.device)}
                found |= {"workers": context.world_size, "learning_rate": rate}
                if result.gradient_norm is not None:
                    found["gradient_norm"] = result.gradient_norm
                figures.tell(state.step, {**found, **meter.rates(settings.peak_tflops)})
            last = state.step == settings.steps
            if state.step % settings.validate_every == 0 or last:
                with damage_in_one_line():
                    psnr = validator.validate(state)
                figures.tell(state.step, {"val_psnr": psnr})
                meter.lap("validation")
            if cadence.decides(state.step, due, behind) or last or result.leaving:
                folder = checkpoint_folder()
                saving = save_checkpoint(folder, state, engine, ema, validator, plan, context)
                figures.save(folder)
                context.save(saving, {"best_psnr": state.best_psnr}, folder)
                cadence.saved()
                meter.lap("checkpoint")
            if last or result.leaving:
                figures.tell(state.step, meter.pauses())  # no step follows whose figures would tell of them
            if result.leaving and not last:
                raise Interrupted(f"asked to leave at step {state.step} of {settings.steps}, which is saved")
        return Summary(
            state.step, state.best_psnr, state.best_step, state.skipped_steps, meter.average(),
            skipped_samples=len(state.skipped_samples), left_out_steps=len(state.spikes.left_out),
        )  # fmt: skip


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


def _spiked(left_out: int, step: int, keys: list[str], most: int) -> str:
    return (
        f"loss or gradient out of line: {left_out} steps would be left out, more than training.spikes.most {most}, "
        f"last at step {step} on samples {', '.join(keys[:8])}{' …' if len(keys) > 8 else ''}: lower "
        "training.learning_rate, set training.gradient_clipping, or look at these images"
    )
