"""Which sample stands at which position: a pure function of the shard table, the seed and the position.

Positions form one endless sequence. Sample p of epoch e stands at P = e·N + p, and each epoch is a permutation of all N
samples, so nothing remains over and batches may straddle epochs. Position P belongs to canonical stream P mod C. In
each epoch the shards are permuted, every stream takes one contiguous run of the resulting sequence (streams in a
permuted order), and the run is permuted inside blocks of at most B samples.

Only Philox's raw 64-bit words decide anything, never a NumPy distribution, whose algorithm may change between
releases: the same seed gives the same order on any NumPy.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]
ORDER_VERSION = 1  # raise it whenever a position's sample would change

# The top word of Philox's counter: each purpose has numbers of its own.
_SAMPLE, _SHARDS, _STREAMS, _BLOCK, _CYCLE = range(5)


def _philox(seed: int, key: int, word1: int, word2: int, purpose: int) -> np.random.Philox:
    return np.random.Philox(
        key=np.array([seed, key], dtype=np.uint64),
        counter=np.array([0, word1, word2, purpose], dtype=np.uint64),
    )


def _permutation(bits: np.random.Philox, count: int) -> Indices:
    return np.argsort(bits.random_raw(count), kind="stable").astype(np.int64)


def sample_generator(seed: int, position: int, crop: int = 0) -> np.random.Generator:
    """The generator that crop, flip and degradation of one sample draw from."""
    return np.random.Generator(_philox(seed, position, 0, crop, _SAMPLE))


def weight_cycle(seed: int, stream: int, weights: tuple[int, ...]) -> Indices:
    """The datasets of one cycle of a stream's rows: d appears ``weights[d]`` times, in a seeded order."""
    flat = np.repeat(np.arange(len(weights), dtype=np.int64), weights)
    return flat[_permutation(_philox(seed, stream, 0, 0, _CYCLE), len(flat))]


@dataclass(frozen=True)
class EpochOrder:
    """One epoch: the order of the shards, and each stream's run. Memory is O(shards + streams)."""

    shards: Indices  # the permuted shards
    ends: Indices  # how many samples the first i + 1 of them hold together
    first_rows: Indices  # per stream: P // C of its first position in this epoch
    starts: Indices  # per stream: where its run starts in the sequence of samples
    lengths: Indices  # per stream
    offsets: Indices  # per stream: its first block is shorter by this many samples


def epoch_order(samples_per_shard: Indices, seed: int, epoch: int, streams: int, block_size: int) -> EpochOrder:
    """Permute the shards of one epoch and share the samples out to the streams."""
    shards = _permutation(_philox(seed, epoch, 0, 0, _SHARDS), len(samples_per_shard))
    ends = np.cumsum(samples_per_shard[shards])
    total = int(ends[-1])
    stream = np.arange(streams, dtype=np.int64)
    first_rows = -((stream - epoch * total) // streams)  # the smallest row with row·C + stream ≥ e·N
    lengths = -((stream - (epoch + 1) * total) // streams) - first_rows
    turn = _permutation(_philox(seed, epoch, 0, 0, _STREAMS), streams)
    starts = np.empty(streams, dtype=np.int64)
    starts[turn] = np.cumsum(lengths[turn]) - lengths[turn]
    # Streams advance in step: without these offsets all would ask for their next block at the same moment.
    offsets = np.empty(streams, dtype=np.int64)
    offsets[turn] = stream * block_size // streams
    return EpochOrder(shards, ends, first_rows, starts, lengths, offsets)


@dataclass(frozen=True)
class Place:
    """Where a position's sample lies, and the block it is read with."""

    shard: int
    row: int
    block: tuple[int, int, int]  # (epoch, stream, number)


class SampleOrder:
    """The order of one dataset.

    Args:
        samples_per_shard: how many samples each shard holds; the only thing known of the data. Empty
            shards are fine.
        seed: in [0, 2^64).
        streams: C, fixed for a run.
        block_size: B, how many neighboring samples are permuted, and read, together.

    Raises:
        ValueError: no sample at all, or a value out of range.
    """

    def __init__(self, samples_per_shard: Indices, seed: int, streams: int, block_size: int) -> None:
        self.samples_per_shard = np.asarray(samples_per_shard, dtype=np.int64)
        self.num_samples = int(self.samples_per_shard.sum())
        if self.num_samples < 1:
            raise ValueError("an order needs at least one sample")
        if streams < 1 or block_size < 1 or not 0 <= seed < 2**64:
            raise ValueError(
                f"streams {streams} and block_size {block_size} must be at least 1, seed {seed} in [0, 2^64)"
            )
        self.seed = seed
        self.streams = streams
        self.block_size = block_size
        self._epochs: OrderedDict[int, EpochOrder] = OrderedDict()
        self._block = lru_cache(maxsize=4 * streams)(self._permuted_block)

    def epoch(self, number: int) -> EpochOrder:
        """The order of one epoch; the last few asked for are kept."""
        found = self._epochs.get(number)
        if found is None:
            found = epoch_order(self.samples_per_shard, self.seed, number, self.streams, self.block_size)
            self._epochs[number] = found
            while len(self._epochs) > 3:
                self._epochs.popitem(last=False)
        return found

    def place(self, position: int) -> Place:
        """Where the sample of a position lies."""
        number, stream = position // self.num_samples, position % self.streams
        epoch = self.epoch(number)
        shifted = position // self.streams - int(epoch.first_rows[stream]) + int(epoch.offsets[stream])
        block = (number, stream, shifted // self.block_size)
        first, members = self._block(block)
        index = int(members[shifted - first])
        shard, row = self._locate(epoch, index)
        return Place(shard, row, block)

    def block(self, block: tuple[int, int, int]) -> list[tuple[int, int]]:
        """The (shard, row) pairs of a block, in the order of its positions."""
        epoch = self.epoch(block[0])
        return [self._locate(epoch, int(index)) for index in self._block(block)[1]]

    def _permuted_block(self, block: tuple[int, int, int]) -> tuple[int, Indices]:
        number, stream, which = block
        epoch = self.epoch(number)
        offset, start = int(epoch.offsets[stream]), int(epoch.starts[stream])
        low = max(which * self.block_size, offset)
        high = min((which + 1) * self.block_size, offset + int(epoch.lengths[stream]))
        members = low + _permutation(_philox(self.seed, number, stream, which, _BLOCK), high - low)
        return low, start - offset + members

    def _locate(self, epoch: EpochOrder, index: int) -> tuple[int, int]:
        at = int(np.searchsorted(epoch.ends, index, side="right"))
        shard = int(epoch.shards[at])
        return shard, index - int(epoch.ends[at]) + int(self.samples_per_shard[shard])
