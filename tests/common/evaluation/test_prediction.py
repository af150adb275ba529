import os

import numpy as np
import pytest
import tensorflow as tf

import images as made
import tiny
from common import distribution
from common.evaluation import crops, prediction, scores
from common.evaluation.prediction import Member, View
from common.evaluation.protocol import Protocol
from common.input import images, pipeline, splits
from common.input.pipeline import Preprocessing
from common.nn import fully_convolutional, layers, losses

MEAN = Preprocessing(16, 18, (120.0, 110.0, 100.0))


def split_of(folder, sizes, classes=10):
    """A split of one JPEG for each (height, width), labels 0, 1, 2 ... and over again."""
    names, labels = [], []
    for number, (height, width) in enumerate(sizes):
        path = folder / f"{number:02d}.jpg"
        path.write_bytes(made.jpeg(number, height, width))
        names.append(str(path))
        labels.append(number % classes)
    files, known = tf.constant([os.fsencode(name) for name in names]), tf.constant(labels, tf.int32)

    def parse(place):
        return tf.io.read_file(files[place]), known[place], files[place]

    return splits.Split(len(names), lambda seed: tf.data.Dataset.range(len(names)), parse, tuple(names), records=False)


def softmax(logits):
    shares = np.exp(logits - logits.max(-1, keepdims=True).astype(np.float64))
    return shares / shares.sum(-1, keepdims=True)


@pytest.fixture(scope="module")
def devices():
    return distribution.choose("one")


@pytest.fixture(scope="module")
def models():
    found = []
    for seed in range(2):
        model = tiny.build(dropout=0.0, norm="none")
        random = np.random.default_rng(seed)
        for variable in model.trainable_variables:
            variable.assign(random.normal(0, 0.02 if variable.path.startswith("fc") else 0.1, variable.shape))
        found.append(model)
    return found


def probabilities(model, split, view, number):
    """The protocol said again in NumPy: softmax of every crop, then the mean; (classes,)."""
    image = images.decode(tf.io.read_file(split.files[number]))
    shown = crops.views(image, view.protocol, view.preprocessing.image_size, view.short_sides)
    return softmax(model(shown - np.array(view.preprocessing.mean, np.float32)).numpy()).mean(0)


@pytest.mark.parametrize(("protocol", "batch_size"), [("1", 4), ("10", 32), ("10", 4), ("144", 40)])
def test_softmax_is_averaged_over_the_crops_whatever_the_batches(tmp_path, devices, models, protocol, batch_size):
    """4 does not hold 10 crops: 2 go through at once; 40 does not hold 144: 36. 7 pictures leave a ragged batch."""
    split = split_of(tmp_path, [(20, 26), (26, 20), (18, 18), (40, 22), (19, 33), (20, 26), (24, 20)])
    view = View(MEAN, Protocol(protocol))
    found = prediction.predict([Member(models[0], view)], split, devices, batch_size)
    wanted = np.array([probabilities(models[0], split, view, number) for number in range(7)])
    order = np.argsort(-wanted, 1)[:, :5]
    assert found.together is found.members[0]
    np.testing.assert_array_equal(found.together.top, order)
    np.testing.assert_allclose(found.together.probability, np.take_along_axis(wanted, order, 1), rtol=2e-4)
    np.testing.assert_array_equal(found.together.labels, np.arange(7))
    np.testing.assert_allclose(found.together.truth, np.log(wanted[np.arange(7), np.arange(7)]), atol=2e-4)
    assert found.together.metrics(1.0).images == 7


def test_fit_keeps_to_the_batch():
    assert prediction.fit(32, 1) == (32, 32)
    assert prediction.fit(32, 10) == (3, 30)
    assert prediction.fit(32, 144) == (1, 24)
    assert prediction.fit(1, 144) == (1, 1)
    assert prediction.fit(144, 144) == (1, 144)


@pytest.mark.parametrize(
    ("crops_", "batch_size", "wanted"), [("1", 128, 3), ("1", 2, 2), ("10", 128, 30), ("10", 25, 20), ("10", 7, 5)]
)
def test_a_batch_is_no_larger_than_the_pictures_fill(tmp_path, devices, crops_, batch_size, wanted):
    shapes = set()

    def model(pictures, training):
        shapes.add(tuple(pictures.shape))
        return tf.reduce_mean(pictures, [1, 2])

    split = split_of(tmp_path, [(20, 24)] * 3, classes=3)
    found = prediction.predict([Member(model, View(MEAN, Protocol(crops_)))], split, devices, batch_size)
    assert shapes == {(wanted, 16, 16, 3)}
    assert len(found.together.labels) == 3


@pytest.mark.parametrize("crops_", ["1", "dense"])
def test_what_is_said_of_a_batch_is_passed_on_at_once(tmp_path, devices, models, crops_, capsys):
    split = split_of(tmp_path, [(20, 24), (24, 20), (20, 24), (22, 22), (30, 20)])
    model = fully_convolutional.convert(models[0]) if crops_ == "dense" else models[0]
    batches = []
    found = prediction.predict(
        [Member(model, View(MEAN, Protocol(crops_)))], split, devices, 2, lambda *batch: batches.append(batch)
    )
    assert capsys.readouterr().out == ""
    assert len(batches) >= 3
    places = np.concatenate([places for places, _ in batches])
    assert sorted(places) == [0, 1, 2, 3, 4]
    assert max(len(places) for places, _ in batches) <= 2
    for name in ("labels", "top", "probability", "truth"):
        parts = np.concatenate([getattr(said, name) for _, said in batches])
        np.testing.assert_array_equal(parts, getattr(found.together, name)[places])


def test_probabilities_are_averaged_and_not_logits():
    """Two crops, one very sure. Logits: (8 - 3, 0) / 2, class 0. Softmax: (1 + 0.0474) / 2 > 1/2 for class 0 too; with
    (8, 0), (0, 3), (0, 3) the mean logits say class 0, 2.67 to 2, and the mean softmax says class 1, 0.635."""
    logits = np.array([[8.0, 0.0], [0.0, 3.0], [0.0, 3.0]], np.float32)
    assert logits.mean(0).argmax() == 0
    found = np.exp(scores.of_crops(lambda views, training: views[:, 0, 0, :2], logits.reshape(1, 3, 1, 1, 2), 3))
    np.testing.assert_allclose(found, [softmax(logits).mean(0)], rtol=1e-5)
    assert found.argmax() == 1
    both = np.exp(scores.average(tf.nn.log_softmax(logits), 0))
    np.testing.assert_allclose(both, softmax(logits).mean(0), rtol=1e-5)


def test_a_loss_beyond_float32_is_still_a_number():
    rows = tf.constant([[0.0, -300.0]])
    found = scores.average(tf.stack([rows, rows]), 0)
    np.testing.assert_allclose(found, rows)


def test_identical_members_say_what_one_says_and_different_ones_the_mean(tmp_path, devices, models):
    split = split_of(tmp_path, [(20, 26), (26, 20), (18, 18), (40, 22), (19, 33)])
    one, two = View(MEAN, Protocol("1")), View(Preprocessing(16, 20), Protocol("1"))
    alone = prediction.predict([Member(models[0], one)], split, devices, 2)
    twice = prediction.predict([Member(models[0], one)] * 2, split, devices, 2)
    assert len(twice.members) == 2
    np.testing.assert_array_equal(twice.together.top, alone.together.top)
    np.testing.assert_allclose(twice.together.probability, alone.together.probability, rtol=0, atol=1e-6)  # of 1
    np.testing.assert_allclose(twice.together.truth, alone.together.truth, atol=1e-5)

    # Another network with another mean and another scale.
    both = prediction.predict([Member(models[0], one), Member(models[1], two)], split, devices, 2)
    np.testing.assert_allclose(both.members[0].truth, alone.together.truth, atol=1e-5)
    wanted = np.array(
        [
            [probabilities(model, split, view, number) for number in range(5)]
            for model, view in zip(models, (one, two), strict=True)
        ]
    ).mean(0)
    np.testing.assert_allclose(both.together.truth, np.log(wanted[np.arange(5), np.arange(5)]), atol=2e-4)
    np.testing.assert_array_equal(both.together.top, np.argsort(-wanted, 1)[:, :5])


def test_dense_is_the_mean_over_every_window_and_its_mirror_image(tmp_path, devices):
    """A network without padding: the map holds every window's scores, so they can be had one by one."""
    image = layers.image_input(8)
    x = layers.max_pool(layers.conv(image, 4, 3, name="conv"), 2, 2, name="pool")
    x = layers.fc(layers.flatten(x, name="flatten"), 6, name="fc1")
    model = layers.network(image, layers.logits(x, 5, name="fc2"), "small")
    random = np.random.default_rng(0)
    for variable in model.trainable_variables:
        variable.assign(random.normal(0, 0.05, variable.shape))
    split = split_of(tmp_path, [(10, 12), (12, 10), (10, 12), (9, 9), (10, 12), (14, 10)], classes=5)
    view = View(Preprocessing(8, 9, (100.0, 110.0, 120.0)), Protocol("dense", (8, 10)))
    found = prediction.predict([Member(fully_convolutional.convert(model), view)], split, devices, 8)
    for number in range(6):
        decoded = images.decode(tf.io.read_file(split.files[number]))
        scales = []
        for picture in crops.pictures(decoded, (8, 10)):
            picture = picture.numpy() - np.array([100, 110, 120], np.float32)
            places = [(y, x) for y in range(0, len(picture) - 7, 2) for x in range(0, picture.shape[1] - 7, 2)]
            cut = [side[y : y + 8, x : x + 8] for side in (picture, picture[:, ::-1]) for y, x in places]
            scales.append(softmax(model(np.array(cut)).numpy()).mean(0))
        wanted = np.mean(scales, 0)
        np.testing.assert_array_equal(found.together.top[number], np.argsort(-wanted))
        np.testing.assert_allclose(found.together.probability[number], np.sort(wanted)[::-1], rtol=1e-4)
    np.testing.assert_array_equal(found.together.labels, [0, 1, 2, 3, 4, 0])


@pytest.mark.parametrize("protocol", ["1", "10", "dense"])
def test_views_as_bytes_are_normalised_in_the_step(tmp_path, devices, models, protocol):
    """Where a picture is resized by Pillow's rule, to whole numbers, the answers are the same."""
    split = split_of(tmp_path, [(20, 26), (26, 20), (18, 18), (40, 22)])
    view = View(Preprocessing(16, 18, (120.5, 110.2, 100.1), interpolation="pil_bilinear"), Protocol(protocol))
    model = fully_convolutional.convert(models[0]) if protocol == "dense" else models[0]
    plain, of_bytes = (
        prediction.predict([Member(model, view)], split, devices, 20, as_bytes=as_bytes).together
        for as_bytes in (False, True)
    )
    np.testing.assert_array_equal(of_bytes.top, plain.top)
    np.testing.assert_allclose(of_bytes.truth, plain.truth, rtol=1e-5)


def test_the_one_crop_agrees_with_validation(tmp_path, devices, models):
    from common.training import validation

    split = split_of(tmp_path, [(20, 26), (26, 20), (18, 18), (40, 22), (19, 33)])
    step = validation.make_eval_step(models[0], devices)
    validated = validation.evaluate(step, pipeline.evaluation(split, MEAN, batch_size=2), split)
    tested = prediction.predict([Member(models[0], View(MEAN, Protocol("1")))], split, devices, 2)
    metrics = tested.together.metrics(tested.seconds)
    assert (metrics.top1, metrics.top5, metrics.images) == (validated.top1, validated.top5, 5)
    assert metrics.loss == pytest.approx(validated.loss, rel=1e-5)
    images_, labels = next(iter(pipeline.evaluation(split, MEAN, batch_size=5)))[:2]
    each = losses.cross_entropy(labels, models[0](images_))
    np.testing.assert_allclose(tested.together.truth, -each.numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("ahead", "wanted"), [(0, "0a1b2c3d4e"), (2, "0a123b4cde"), (9, "0a1234bcde")])
def test_answers_are_asked_for_when_further_batches_were_begun(ahead, wanted):
    """A digit where a batch is begun, a letter where its answer is waited for."""
    events = []

    class Answer:
        def __init__(self, number):
            self.number = number

        def numpy(self):
            events.append("abcde"[self.number])
            return self.number

    def results():
        for number in range(5):
            events.append(str(number))
            yield (Answer(number),)

    assert [value for (value,) in prediction._read(results(), ahead)] == [0, 1, 2, 3, 4]
    assert "".join(events) == wanted
