"""The promise everything leans on: one sequence of global batches, whatever the world, workers or stops."""

from __future__ import annotations

import pytest
import torch

from pipeline.data.batches import BatchSchedule, Phase
from pipeline.data.loader import open_scheduled_stream, open_training_stream
from pipeline.data.patches import make_patch_sampler
from pipeline.data.stream import DecodedSample, StreamSettings
from pipeline.errors import UserError
from pipeline.tasks import TASKS

STREAMS, BLOCK, BATCH = 8, 3, 8


def draw(sample: DecodedSample, rng) -> dict[str, torch.Tensor]:
    """A sample that shows its image, its random numbers and its phase."""
    first = torch.tensor(sample.clean[:4, :4].astype("float32")).permute(2, 0, 1)
    return {"lq": torch.tensor(rng.random((1, 2, 2)), dtype=torch.float32) + sample.phase, "gt": first}


def global_batches(datasets, *, world, start, count, workers=0, micro=1, crops=1, cache=0, schedule=None):
    """``count`` steps as lists of (position, key, lq, gt), merged over the ranks, and the next position."""
    schedule = schedule or BatchSchedule((Phase(global_batch_size=BATCH, micro_batch_size=micro),), crops)
    per_step: list[list[tuple]] = [[] for _ in range(count)]
    ends = set()
    for rank in range(world):
        settings = StreamSettings(
            seed=5,
            start_position=start,
            rank=rank,
            world_size=world,
            streams=STREAMS,
            block_size=BLOCK,
            decoded_cache_bytes=cache,
        )
        stream = open_scheduled_stream(
            datasets, make_sample=draw, schedule=schedule, settings=settings, loader_workers=workers
        )
        step = 0
        for batch in stream:
            for at, (position, key) in enumerate(zip(batch.positions, batch.keys, strict=True)):
                per_step[step].append((position, key, batch.lq[at].tolist(), batch.gt[at].tolist()))
            if batch.next_position is not None:
                ends.add((step, batch.next_position))
                step += 1
            if step == count:
                break
    assert len(ends) == count, "all ranks agree where each step ends"
    return [sorted(step, key=lambda item: item[0]) for step in per_step], max(ends)[1]


@pytest.fixture
def small(dataset):
    return dataset(21, per_shard=6)


def test_any_world_sees_the_same_global_batches(small):
    reference, _ = global_batches(small, world=1, start=0, count=8)
    for world in (2, 4, 8):
        assert global_batches(small, world=world, start=0, count=8)[0] == reference
    assert global_batches(small, world=2, start=0, count=8, micro=4)[0] == reference
    positions = [position for step in reference for position, *_ in step]
    assert positions == list(range(64))


def test_stopping_anywhere_and_changing_the_world_continues_the_sequence(small):
    reference, _ = global_batches(small, world=1, start=0, count=9)
    found, position = [], 0
    for world, count in ((8, 2), (2, 1), (1, 3), (4, 3)):
        part, position = global_batches(small, world=world, start=position, count=count)
        found += part
    assert found == reference
    assert position == 9 * BATCH


def test_every_epoch_holds_every_image_once(small):
    steps, _ = global_batches(small, world=2, start=0, count=11)
    keys = [key for step in steps for _, key, *_ in step]
    for epoch in range(4):
        assert sorted(keys[epoch * 21 : (epoch + 1) * 21]) == sorted(f"img{n:03d}" for n in range(21))
    assert keys[:21] != keys[21:42]


@pytest.mark.parametrize("workers", [1, 3])
def test_loader_workers_do_not_change_a_batch(small, workers):
    reference, _ = global_batches(small, world=2, start=16, count=3)
    assert global_batches(small, world=2, start=16, count=3, workers=workers)[0] == reference


def test_images_kept_decoded_are_the_same_images(small):
    streamed, _ = global_batches(small, world=1, start=0, count=6)
    assert global_batches(small, world=1, start=0, count=6, cache=2**30)[0] == streamed


def test_images_decoded_only_as_far_as_needed_give_the_same_patches(dataset):
    task = TASKS["denoising_color"]
    images = dataset(21, per_shard=6)

    def patches(cache: int, crops: int):
        settings = StreamSettings(
            seed=5, start_position=0, rank=0, world_size=1, streams=8, block_size=3, decoded_cache_bytes=cache
        )
        schedule = BatchSchedule((Phase(steps=9, global_batch_size=8, micro_batch_size=8),), crops)
        sampler = make_patch_sampler(task, task.settings(), 8)
        stream = open_scheduled_stream(
            images, make_sample=sampler, schedule=schedule, settings=settings, loader_workers=0
        )
        return torch.stack([torch.stack((batch.lq, batch.gt)) for batch in stream])

    for crops in (1, 2):
        assert torch.equal(patches(0, crops), patches(2**30, crops))


def test_crops_of_an_image_share_a_micro_batch_and_differ(small):
    steps, end = global_batches(small, world=2, start=0, count=4, micro=4, crops=2)
    assert end == 4 * BATCH // 2
    for step in steps:
        for first, second in zip(step[::2], step[1::2], strict=True):
            assert first[:2] == second[:2]
            assert first[2] != second[2], "each crop has random numbers of its own"
    assert steps == global_batches(small, world=4, start=0, count=4, micro=2, crops=2)[0]


def test_phases_change_the_batch_without_a_restart_and_end(small):
    schedule = BatchSchedule(
        (
            Phase(steps=2, global_batch_size=8, micro_batch_size=2),
            Phase(steps=3, global_batch_size=4, micro_batch_size=1),
        )
    )
    steps, end = global_batches(small, world=2, start=0, count=5, schedule=schedule)
    assert [len(step) for step in steps] == [8, 8, 4, 4, 4]
    assert end == 28
    assert all(min(values[2][0][0]) >= 1 for values in steps[2]), "samples know their phase"
    later, _ = global_batches(small, world=4, start=20, count=2, schedule=schedule)
    assert later == steps[3:]


def test_a_mixture_keeps_weights_and_each_datasets_epochs(dataset):
    mixture = [(dataset(7, name="a"), 2), (dataset(5, name="b", seed=1), 1)]
    steps, _ = global_batches(mixture, world=1, start=0, count=30)
    images = [str(item[3]) for step in steps for item in step]
    alone = {str(item[3]) for step in global_batches(mixture[0][0], world=1, start=0, count=2)[0] for item in step}
    from_a = sum(image in alone for image in images)
    assert from_a == 160
    counts = [images.count(image) for image in alone]
    assert max(counts) - min(counts) <= 2
    resumed, _ = global_batches(mixture, world=4, start=11 * BATCH, count=3)
    assert resumed == steps[11:14]


def test_numbers_that_do_not_fit_are_refused(small):
    def open_with(**changes):
        settings = {
            "make_sample": draw,
            "seed": 0,
            "start_position": 0,
            "rank": 0,
            "world_size": 2,
            "global_batch_size": 8,
            "micro_batch_size": 4,
            "streams": 8,
            "block_size": 4,
            "loader_workers": 0,
        }
        return open_training_stream(small, **(settings | changes))

    assert next(iter(open_with())).gt.shape == (4, 3, 4, 4)
    with pytest.raises(UserError, match="nearest allowed: 2 or 4"):
        open_with(world_size=3)
    with pytest.raises(UserError, match="inside a global batch"):
        open_with(start_position=3)
    with pytest.raises(UserError, match="rank 2 is not in a world of 2"):
        open_with(rank=2)


def test_the_data_digest_changes_with_what_decides_the_sequence(small, dataset):
    def digest(data=small, **changes):
        settings = {"seed": 0, "streams": 8, "block_size": 4, "global_batch_size": 8, "micro_batch_size": 8}
        return open_training_stream(
            data,
            make_sample=draw,
            start_position=0,
            rank=0,
            world_size=1,
            loader_workers=0,
            **(settings | changes),
        ).data_digest

    others = [
        {"seed": 1},
        {"streams": 16},
        {"block_size": 5},
        {"global_batch_size": 16},
        {"crops_per_image": 2},
    ]
    digests = [digest(), *(digest(**change) for change in others), digest(dataset(21, name="other", seed=9))]
    assert len(set(digests)) == len(digests)
    assert digest(micro_batch_size=4) == digest()
