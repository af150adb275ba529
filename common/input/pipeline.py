"""tf.data: from serialized examples to the batches a network sees.

Order and augmentation are functions of (seed, epoch, position) alone. So a run repeats itself exactly, a resumed run
goes on with the batch it would have had, and any number of workers share the same global batches.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from common import machine
from common.errors import UserError
from common.input import augmentation, bad_images, class_balance, images, mixing, random_changes, resampling, splits
from common.input.bad_images import BadImages
from common.input.datasets import Split
from common.input.order import balanced_order, order, share_of
from common.input.records import DatasetInfo
from common.recipe import Recipe


@dataclass(frozen=True)
class Preprocessing:
    """All that is done to a picture outside training; saved with a run.

    Attributes:
        image_size: height and width of the network's input.
        resize: short side before the crop.
        mean: subtracted, RGB, 0..255.
        std: divided by, RGB; for imported weights.
        mean_image: .npy file (H, W, 3) float32 RGB, subtracted in place of `mean`; its central part where it is larger
            than the input. The paper resized all pictures to 256x256, subtracted and then cropped, so each crop met the
            matching part of the mean; here every crop meets the same central part, in training as in test.
        channels: "rgb", or "bgr" for imported weights.
        interpolation: how a picture's short side is resized in testing (`resampling.INTERPOLATIONS`).
    """

    image_size: int
    resize: int
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    mean_image: str | None = None
    channels: str = "rgb"
    interpolation: str = resampling.LAB

    def __post_init__(self):
        for name in ("mean", "std"):  # lists, where they come from JSON
            object.__setattr__(self, name, tuple(float(value) for value in getattr(self, name)))


def preprocessing(recipe: Recipe, info: DatasetInfo, image_size: int, path: str) -> Preprocessing:
    """What a recipe asks for on a data set in `path`. Raises UserError where the two do not fit."""
    if recipe.resize is not None:
        resize = recipe.resize
    elif recipe.crop in ("pad", "none"):
        resize = image_size
    else:
        resize = round(image_size * 256 / 224)
    if resize < image_size:
        raise UserError(f"--resize={resize} is smaller than the network's input of {image_size} pixels")
    mean, mean_image = (0.0, 0.0, 0.0), None
    if recipe.mean == "channel":
        mean = info.mean
    elif recipe.mean == "image":
        if info.mean_image is None:
            raise UserError(f"--mean=image: {path} holds no mean image; use --mean=channel")
        mean_image = os.path.join(path, info.mean_image)
    return Preprocessing(image_size, resize, mean, mean_image=mean_image)


def mean_picture(preprocessing: Preprocessing) -> np.ndarray:
    """What is subtracted, (S, S, 3) float32 RGB. Raises UserError where the mean image is missing or unfit."""
    size = preprocessing.image_size
    if preprocessing.mean_image is None:
        return np.broadcast_to(np.asarray(preprocessing.mean, np.float32), (size, size, 3)).copy()
    try:
        picture = np.load(preprocessing.mean_image).astype(np.float32)
    except (OSError, ValueError) as error:
        raise UserError(f"{preprocessing.mean_image}: no mean image here ({error})", 1) from error
    if picture.ndim != 3 or picture.shape[2] != 3:
        raise UserError(f"{preprocessing.mean_image}: not a picture (H, W, 3) but {picture.shape}", 1)
    shape = tf.constant(picture.shape[:2])
    choose = images.centre_crop(max(size, min(picture.shape[:2])), size)
    return images.cut(tf.constant(picture), choose(shape), size).numpy()


def normaliser(preprocessing: Preprocessing, any_size: bool = False) -> Callable[[tf.Tensor], tf.Tensor]:
    """(..., S, S, 3) float32 RGB -> normalised, as the network takes it; with `any_size` (..., h, w, 3).

    A mean image fits one size only: at any other its mean over all places is subtracted in its stead.
    """
    mean = mean_picture(preprocessing)  # a whole picture: broadcasting 3 numbers takes five times as long
    if any_size:
        mean = mean.mean((0, 1)) if preprocessing.mean_image else np.asarray(preprocessing.mean, np.float32)
    plain = preprocessing.std == (1.0, 1.0, 1.0)
    std = None if plain else np.broadcast_to(np.asarray(preprocessing.std, np.float32), mean.shape)
    return lambda image: images.normalise(image, mean, std, preprocessing.channels)


def _augment(preprocessing: Preprocessing, recipe: Recipe, info: DatasetInfo, as_bytes: bool) -> Callable:
    """(encoded bytes, name of a stream -> seed) -> the recipe's training picture, (S, S, 3) float32.

    With `as_bytes` uint8, and where the recipe relights pictures with its `random_changes.lights`: (uint8, (4,)).
    """
    size, short_side = preprocessing.image_size, preprocessing.resize
    finish = normaliser(preprocessing)
    mean = images.to_bytes(tf.constant(mean_picture(preprocessing)))
    scale_range = tuple(round(side * size / 224) for side in recipe.scale_range)

    def picture(encoded, seed_of):
        if recipe.crop == "random":
            choose = augmentation.random_crop(short_side, size, seed_of("crop"))
        elif recipe.crop == "scale":
            choose = augmentation.scale_crop(scale_range, size, seed_of("crop"))
        elif recipe.crop == "inception":
            choose = augmentation.inception_crop(seed_of("crop"))
        else:
            choose = images.centre_crop(short_side, size)
        mirror = augmentation.flip(seed_of("flip")) if recipe.flip and info.flip else None
        exact, bytes_at_once = recipe.crop in ("pad", "none"), as_bytes and not random_changes.recolours(recipe)
        image = images.read_window(encoded, choose, size, exact, mirror, bytes_at_once)
        image = random_changes.recolour(random_changes.turn(image, recipe, info, seed_of), recipe, info, seed_of)
        if not as_bytes:
            image = finish(random_changes.relight(image, recipe, info, seed_of))
            return random_changes.cover(image, recipe, seed_of)
        image = images.to_bytes(image)
        if random_changes.covers(recipe):
            image = random_changes.cover(image - mean, recipe, seed_of) + mean  # modulo 256, so nothing is lost
        return (image, random_changes.lights(recipe, info, seed_of)) if random_changes.relights(recipe) else image

    return picture


def _options(dataset: tf.data.Dataset) -> tf.data.Dataset:
    options = tf.data.Options()
    options.deterministic = True
    options.threading.max_intra_op_parallelism = 1  # pictures are what is done side by side, not parts of them
    options.experimental_optimization.apply_default_optimizations = True
    return dataset.with_options(options)


def training(
    split: Split,
    preprocessing: Preprocessing,
    recipe: Recipe,
    info: DatasetInfo,
    *,
    batch_size: int,
    seed: int,
    start_step: int = 0,
    worker: int = 0,
    workers: int = 1,
    skip_bad_images: BadImages | None = None,
    as_bytes: bool = False,
) -> tf.data.Dataset:
    """Endless batches: images (batch_size / workers, S, S, 3) float32, labels int32, mixed: targets (.., K) float32.

    With `as_bytes` images are uint8, not normalised: `device_part.finisher` does in the step what is left to be done.
    Where the recipe relights pictures, images is then a pair: uint8, and of each picture `random_changes.lights`.
    Worker w of W takes the w-th part of every global batch, so the global batches are the same for any W; it reads its
    own examples alone (`record_index`). With `skip_bad_images` files of class folders that
    cannot be decoded are replaced by others and taken down there (`bad_images`); without, they are an error.

    Raises UserError where the batch is larger than the split or does not divide among the workers.
    """
    share = share_of(batch_size, worker, workers)
    mixing.check(recipe, batch_size, workers)
    augment = _augment(preprocessing, recipe, info, as_bytes)

    @tf.autograph.experimental.do_not_convert
    def load(number, element):
        encoded, label, _ = split.parse(element)

        def seed_of(name):  # the number holds epoch and place
            return tf.stack([tf.constant(augmentation.stream_key(seed, name), tf.int64), number])

        return augment(encoded, seed_of), label

    where = {"batch_size": batch_size, "start_step": start_step, "worker": worker, "workers": workers}
    if recipe.sampling == "balanced":
        numbered = balanced_order(split, class_balance.labels(split), seed=seed, **where)
    else:
        numbered = order(split, seed=seed, **where)
    if skip_bad_images is None or split.records:
        loaded = machine.parallel_map(numbered, load)
    else:
        loaded = bad_images.load_or_next(numbered, load, split, skip_bad_images)
    batches = loaded.batch(share, drop_remainder=True)
    if mixing.is_on(recipe):
        mix = tf.autograph.experimental.do_not_convert(mixing.mixer(recipe, len(info.classes), seed))
        batches = machine.parallel_map(batches.enumerate(start_step), lambda step, batch: mix(step, batch))
    # Known to be endless, it is not asked at every step whether there is a further batch: a question to all workers.
    endless = tf.data.experimental.assert_cardinality(tf.data.experimental.INFINITE_CARDINALITY)
    return _options(batches.apply(endless).prefetch(2))


def evaluation(
    split: Split,
    preprocessing: Preprocessing,
    *,
    batch_size: int,
    worker: int = 0,
    workers: int = 1,
    skip_bad_images: BadImages | None = None,
    as_bytes: bool = False,
) -> tf.data.Dataset:
    """One pass in the stored order: images (B, S, S, 3) float32 of the central crop, and what `one_pass` adds.

    With `as_bytes` images are uint8, not normalised.
    """
    size, choose = preprocessing.image_size, images.centre_crop(preprocessing.resize, preprocessing.image_size)
    finish = images.to_bytes if as_bytes else normaliser(preprocessing)

    def show(encoded):
        if preprocessing.interpolation == resampling.LAB:
            return (finish(images.read_window(encoded, choose, size, exact=True, as_bytes=as_bytes)),)
        image = images.decode(encoded)
        return (finish(resampling.central_crop(image, preprocessing.resize, size, preprocessing.interpolation)),)

    shares = {"batch_size": batch_size, "worker": worker, "workers": workers}
    return one_pass(split, show, **shares, skip_bad_images=skip_bad_images)


def one_pass(
    split: Split,
    show: Callable[[tf.Tensor], tuple[tf.Tensor, ...]],
    *,
    batch_size: int,
    worker: int = 0,
    workers: int = 1,
    parallel: int | None = None,
    skip_bad_images: BadImages | None = None,
) -> tf.data.Dataset:
    """One pass in the stored order: batches of what `show` makes, labels (B,) int32, valid (B,) bool, index (B,) int64.

    B = batch_size / workers. The last batch is filled up with zeros whose valid is False and whose index is -1, so that
    shapes are static and every worker has as many batches as the others.

    Args:
        split: what to read.
        show: encoded bytes -> tensors of static shape.
        batch_size: pictures in a global batch.
        worker, workers: which part of every global batch is wanted.
        parallel: how many pictures are made ready at the same time; None: one a core.
        skip_bad_images: files of class folders that cannot be decoded are taken down there and are not valid, as what
            fills up the last batch; None: they are an error.
    """
    share = share_of(batch_size, worker, workers)

    @tf.autograph.experimental.do_not_convert
    def load(index, element):
        encoded, label, _ = split.parse(element)
        return (*show(encoded), label, True, index)

    numbered = split.serialized(None).enumerate()
    if workers > 1:
        begins = tf.data.Dataset.range(worker * share, split.examples, batch_size)
        own = begins.flat_map(lambda begin: tf.data.Dataset.range(begin, tf.minimum(begin + share, split.examples)))
        numbered = tf.data.Dataset.zip(own, split.fetch(own))
    batches, rest = divmod(split.examples, batch_size)
    own = batches * share + min(max(rest - worker * share, 0), share)
    missing = (batches + bool(rest)) * share - own if split.examples != splits.UNKNOWN else share - 1
    loaded = machine.parallel_map(numbered, load, parallel)
    shown = [tf.zeros(spec.shape, spec.dtype) for spec in loaded.element_spec[:-3]]
    nothing = (*shown, tf.constant(0), tf.constant(False), tf.constant(-1, tf.int64))
    if skip_bad_images is not None and not split.records:
        loaded = bad_images.load_or_nothing(numbered, load, nothing, split, skip_bad_images, parallel)
    filled = loaded.concatenate(tf.data.Dataset.from_tensors(nothing).repeat(missing))
    return _options(filled.batch(share, drop_remainder=True).prefetch(2))
