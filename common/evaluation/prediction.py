"""What one network, or several together, predict for every picture of a split: one pass, batches of views.

Scores are averaged as probabilities: over the views of a picture, then over networks, p = mean of softmax(logits).
"""

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from common import machine
from common.distribution import Devices, distribute
from common.errors import UserError
from common.evaluation import crops, grouping, scores
from common.evaluation.predictions import Pass, Predictions
from common.evaluation.protocol import Protocol
from common.input import bad_images, images, pipeline, read_errors
from common.input.bad_images import BadImages
from common.input.pipeline import Preprocessing
from common.input.splits import UNKNOWN, Split
from common.progress import ProgressLine, duration

TOP = 5
AHEAD = 2  # batches that a device may have been given before the answer to an earlier one is asked for
NEWS_EVERY = 30.0  # seconds between two lines on how far a pass is


@dataclass(frozen=True)
class View:
    """What a network is shown of a picture: its own preprocessing, and the protocol's crops and scales."""

    preprocessing: Preprocessing
    protocol: Protocol

    @property
    def short_sides(self) -> tuple[int, ...]:
        """The scales in pixels. Raises UserError for one that is smaller than the network's input."""
        return self.protocol.short_sides(self.preprocessing.image_size, self.preprocessing.resize)

    @property
    def count(self) -> int:
        """Crops of one picture; dense: passes through the network."""
        return self.protocol.views(len(self.short_sides))

    def crops(self, image: tf.Tensor) -> tf.Tensor:
        """The crops of a picture (H, W, 3): (V, S, S, 3) float32, 0..255."""
        size, interpolation = self.preprocessing.image_size, self.preprocessing.interpolation
        return crops.views(image, self.protocol, size, self.short_sides, interpolation)


@dataclass(frozen=True)
class Member:
    """A network, in the form of `dense.convert` where its view is dense, and what it is shown."""

    model: keras.Model
    view: View


def _summed_up(each: list[tf.Tensor], labels: tf.Tensor) -> tf.Tensor:
    """(B, networks, 2 k + 1) float64 of log p (B, classes) of every network: classes, probabilities, truth.

    Of several networks the last row is that of their average.
    """
    together = [scores.average(tf.stack(each), 0)] if len(each) > 1 else []
    rows = []
    for scored in each + together:
        best = tf.math.top_k(scored, min(TOP, scored.shape[-1]))
        truth = tf.gather(scored, labels, axis=1, batch_dims=1)[:, None]
        parts = (best.indices, tf.exp(best.values), truth)
        rows.append(tf.concat([tf.cast(part, tf.float64) for part in parts], 1))
    return tf.stack(rows, 1)


def _collect(rows: np.ndarray, labels: np.ndarray) -> list[Predictions]:
    top = (rows.shape[2] - 1) // 2
    return [
        Predictions(
            labels.astype(np.int32),
            part[:, :top].astype(np.int32),
            part[:, top:-1].astype(np.float32),
            part[:, -1].astype(np.float32),
        )
        for part in np.moveaxis(rows, 1, 0)
    ]


def fit(batch_size: int, views: int) -> tuple[int, int]:
    """(pictures in a batch, crops that go through a network at once), so that those are at most `batch_size`."""
    if views <= batch_size:
        return batch_size // views, batch_size // views * views
    return 1, max(part for part in range(1, batch_size + 1) if views % part == 0)


def predict(
    members: Sequence[Member],
    split: Split,
    devices: Devices,
    batch_size: int,
    answered: Callable[[np.ndarray, Predictions], None] | None = None,
    skip_bad_images: BadImages | None = None,
    as_bytes: bool = False,
) -> Pass:
    """One pass over a split by all members: each picture is decoded once, each network sees its own view of it.

    Args:
        members: all of them dense, or none. Dense runs on one device.
        split: with labels below the number of classes.
        devices: whose strategy's scope the models were built in.
        batch_size: the most crops that go through a network at once, over all devices.
        answered: takes each batch's places in the split, (B,) int64, and what all members together say of its pictures,
            when that is known; no progress is shown then.
        skip_bad_images: image files that cannot be decoded are taken down there and left out; None: an error.
        as_bytes: views are rounded to whole grey levels and normalised on the device.

    Raises:
        UserError: a scale too small for a network, a file that cannot be read, which it names, or none that can.
    """
    views = list(dict.fromkeys(member.view for member in members))
    dense = views[0].protocol.crops == "dense"
    source = _dense if dense else _cropped
    step, batches = source(members, views, split, devices, batch_size, skip_bad_images, as_bytes)
    start = time.perf_counter()
    begun, counted, told = start, 0, start
    found: list[tuple[np.ndarray, ...]] = []
    progress, seen = ProgressLine(split.examples), 0
    for rows, labels, index in _read(_results(step, batches, split), AHEAD if answered is None else 0):
        valid = index >= 0
        found.append((rows[valid], labels[valid], index[valid]))
        seen += int(valid.sum())
        now = time.perf_counter()
        if len(found) == 1:
            begun, counted = now, seen
        if answered is not None:
            answered(index[valid], _collect(rows[valid], labels[valid])[-1])
        elif len(found) > 1 and now - told > NEWS_EVERY:
            told, speed = now, (seen - counted) / (now - begun)
            left = duration((split.examples - seen) / speed)
            progress.show(seen, f"{seen:,} of {split.examples:,} images  {speed:.1f} images/s  ETA {left}")
    progress.close()
    end = time.perf_counter()
    several = len(found) > 1
    speed = (seen - counted * several) / max(end - (begun if several else start), 1e-9)
    if not seen:
        raise UserError(f"none of the {split.examples:,} images can be decoded, so nothing is measured", 1)
    rows, labels, index = (np.concatenate(parts) for parts in zip(*found, strict=True))
    order = np.argsort(index, kind="stable")
    each = _collect(rows[order], labels[order])
    return Pass(tuple(each[: len(members)]), each[-1], end - start, speed, index[order])


def _normalisers(views: list[View], as_bytes: bool, any_size: bool = False) -> tuple[list[Callable], list[Callable]]:
    """What is done to the pictures of each view before they go to the device, and there."""
    normalise = [pipeline.normaliser(view.preprocessing, any_size) for view in views]
    return ([images.to_bytes] * len(views), normalise) if as_bytes else (normalise, [tf.identity] * len(views))


def _results(step: Callable, batches: Iterator, split: Split) -> Iterator[tuple[tf.Tensor, ...]]:
    """What a step says of every batch. Raises UserError for a file that cannot be read."""
    while True:
        with read_errors.named(split):
            batch = next(batches, None)
        if batch is None:
            return
        yield step(*batch)


def _read(results: Iterator[tuple[tf.Tensor, ...]], ahead: int) -> Iterator[tuple[np.ndarray, ...]]:
    """The values of results, each when `ahead` more were begun, so that the device need not wait between two.

    The first is waited for: the speed is that from there on.
    """
    waiting: deque[tuple[tf.Tensor, ...]] = deque()
    for number, result in enumerate(results):
        waiting.append(result)
        if number == 0 or len(waiting) > ahead:
            yield tuple(part.numpy() for part in waiting.popleft())
    for result in waiting:
        yield tuple(part.numpy() for part in result)


def _cropped(
    members,
    views: list[View],
    split: Split,
    devices: Devices,
    batch_size: int,
    skip_bad_images: BadImages | None,
    as_bytes: bool,
) -> tuple[Callable, Iterator]:
    """A step over batches of crops, shared out over the devices, and the batches of this worker."""
    replicas = devices.replicas
    most = batch_size // replicas
    if split.examples != UNKNOWN:
        most = min(most, -(-split.examples // replicas) * views[0].count)  # a larger batch would be filled up
    pictures, at_once = fit(most, views[0].count)
    before, in_step = _normalisers(views, as_bytes)

    def show(encoded):
        image = images.decode(encoded)
        cut = [view.crops(image) for view in views]
        return tuple(finish(part) for finish, part in zip(before, cut, strict=True))

    def replica_step(*batch):
        *handed_over, labels, _, index = batch
        shown = [finish(part) for finish, part in zip(in_step, handed_over, strict=True)]
        each = [scores.of_crops(member.model, shown[views.index(member.view)], at_once) for member in members]
        return _summed_up(each, labels), labels, index

    @tf.function(autograph=False)
    def step(*batch):
        parts = devices.strategy.run(replica_step, args=batch)
        return parts if replicas == 1 else tuple(devices.strategy.gather(part, axis=0) for part in parts)

    # All crops of a picture are made at once: many crops, few pictures at the same time.
    parallel = max(2, min(machine.cores(), 1024 // views[0].count))
    batches = pipeline.one_pass(
        split,
        show,
        batch_size=pictures * replicas,
        worker=devices.worker,
        workers=devices.workers,
        parallel=parallel,
        skip_bad_images=skip_bad_images,
    )
    return step, iter(distribute(batches, devices))


def _dense(
    members,
    views: list[View],
    split: Split,
    devices: Devices,
    batch_size: int,
    skip_bad_images: BadImages | None,
    as_bytes: bool,
) -> tuple[Callable, Iterator]:
    """A step over whole pictures of one shape, at every scale, and batches of such pictures."""
    if devices.replicas > 1:
        raise ValueError("dense testing runs on one device")
    before, in_step = _normalisers(views, as_bytes, any_size=True)
    sides = views[0].short_sides
    starts = np.cumsum([0] + [len(view.short_sides) for view in views])
    # A third: long sides are longer than short ones, and maps of a whole picture overlap less than its crops.
    pixels = batch_size * views[0].preprocessing.image_size ** 2
    at_once = max(1, pixels // (3 * max(max(view.short_sides) for view in views) ** 2))

    @tf.autograph.experimental.do_not_convert
    def load(index, element):
        encoded, label, _ = split.parse(element)
        image = images.decode(encoded)
        shown = [
            finish(picture)
            for view, finish in zip(views, before, strict=True)
            for picture in crops.pictures(image, view.short_sides, view.preprocessing.interpolation)
        ]
        return (*shown, label, index)

    pixel = tf.uint8 if as_bytes else tf.float32
    signature = [tf.TensorSpec((None, None, None, 3), pixel)] * int(starts[-1])
    signature += [tf.TensorSpec((None,), tf.int32), tf.TensorSpec((None,), tf.int64)]

    @tf.function(input_signature=signature, autograph=False)
    def step(*batch):
        *shown, labels, index = batch
        each = []
        for member in members:
            number = views.index(member.view)
            scales = [in_step[number](part) for part in shown[starts[number] : starts[number + 1]]]
            each.append(scores.of_pictures(member.model, scales))
        return _summed_up(each, labels), labels, index

    numbered = split.serialized(None).enumerate()
    loaded = machine.parallel_map(numbered, load)
    if skip_bad_images is not None and not split.records:
        nothing = (*(tf.zeros([1, 1, 3], pixel) for _ in range(starts[-1])), tf.constant(0), tf.constant(-1, tf.int64))
        loaded = bad_images.load_or_nothing(numbered, load, nothing, split, skip_bad_images)
        loaded = loaded.filter(lambda *one: one[-1] >= 0)
    batches = grouping.by_shape(loaded.prefetch(2 * len(sides)).as_numpy_iterator(), at_once, held=4 * at_once)
    return step, batches
