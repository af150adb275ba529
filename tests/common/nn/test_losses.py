"""Cross-entropy, auxiliary classifiers and the penalty on the weights, against NumPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from common.nn import layers, losses
from common.nn.normalization import BatchNorm

LOGITS = np.array([[2.0, -1.0, 0.5], [0.0, 0.0, 0.0], [-3.0, 4.0, 1.0], [30.0, -30.0, 0.0]])
LABELS = np.array([0, 2, 0, 1], np.int32)


def smoothed(labels, logits, smoothing):
    """Szegedy et al. 2016, section 7, written out: -sum of q log p."""
    count = logits.shape[1]
    log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    q = (1 - smoothing) * np.eye(count)[labels] + smoothing / count
    return -(q * log_p).sum(1)


@pytest.fixture
def model():
    keras.utils.set_random_seed(3)
    inputs = keras.Input((8, 8, 3))
    x = layers.conv(inputs, 4, 3, padding=1, name="conv1")
    x = BatchNorm(name="norm1")(x)
    x = keras.layers.Dense(5, name="fc")(keras.layers.Flatten()(x))
    network = keras.Model(inputs, x)
    for variable in network.trainable_variables:  # nothing at zero, so that a penalty on it would show
        variable.assign(np.random.default_rng(4).normal(size=variable.shape))
    return network


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_cross_entropy_and_label_smoothing(smoothing, dtype):
    found = losses.cross_entropy(tf.constant(LABELS), tf.constant(LOGITS, dtype), smoothing)
    assert found.dtype == tf.float32
    assert found.shape == (4,)
    np.testing.assert_allclose(found, smoothed(LABELS, LOGITS, smoothing), rtol=1e-6)


def test_of_equal_logits_it_is_ln_classes():
    found = losses.cross_entropy(tf.zeros(2, tf.int32), tf.zeros((2, 1000)), 0.1)
    np.testing.assert_allclose(found, np.log(1000), rtol=1e-6)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_low_precision_logits_are_raised_to_float32_first(dtype):
    logits = tf.cast(LOGITS, dtype)
    found = losses.cross_entropy(tf.constant(LABELS), logits, 0.1)
    assert found.dtype == tf.float32
    np.testing.assert_allclose(found, smoothed(LABELS, logits.numpy().astype(np.float64), 0.1), rtol=1e-6)


def test_gradient_is_softmax_minus_target():
    logits = tf.Variable(LOGITS[:3], dtype=tf.float32)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(losses.cross_entropy(LABELS[:3], logits, 0.3))
    p = np.exp(LOGITS[:3]) / np.exp(LOGITS[:3]).sum(1, keepdims=True)
    target = 0.7 * np.eye(3)[LABELS[:3]] + 0.1
    np.testing.assert_allclose(tape.gradient(loss, logits), p - target, atol=1e-6)


def test_auxiliary_heads_count_with_their_weight():
    main, first, second = LOGITS, LOGITS[:, ::-1].copy(), -LOGITS
    found = losses.data_loss(LABELS, [tf.constant(x, tf.float32) for x in (main, first, second)], 0.1, 0.3)
    expected = smoothed(LABELS, main, 0.1) + 0.3 * (smoothed(LABELS, first, 0.1) + smoothed(LABELS, second, 0.1))
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_one_head_is_plain_cross_entropy():
    logits = tf.constant(LOGITS, tf.float32)
    np.testing.assert_array_equal(losses.data_loss(LABELS, logits, 0.1, 0.3), losses.cross_entropy(LABELS, logits, 0.1))


SHARES = np.array([[0.7, 0.3, 0.0], [0.0, 0.5, 0.5], [1.0, 0.0, 0.0], [0.25, 0.5, 0.25]])


def by_hand(name, shares, logits, smoothing=0.0, gamma=2.0):
    """Loss (N,) and its gradient (N, K), written out in float64."""
    classes = logits.shape[1]
    t = (1 - smoothing) * shares + smoothing / classes
    log_p = logits - logits.max(1, keepdims=True)
    log_p = log_p - np.log(np.exp(log_p).sum(1, keepdims=True))
    p = np.exp(log_p)
    if name == "bce":
        s = 1 / (1 + np.exp(-logits))
        positive, negative = np.logaddexp(0, -logits), np.logaddexp(0, logits)
        return (t * positive + (1 - t) * negative).mean(1), (s - t) / classes
    power = gamma if name == "focal" else 0.0
    missing = np.maximum(1 - p, 1e-30)
    by_p = t * (power * missing ** (power - 1) * log_p - missing**power / p)
    gradient = by_p * p - p * (by_p * p).sum(1, keepdims=True)
    return -(t * missing**power * log_p).sum(1), gradient


@pytest.mark.parametrize("name", ["cross_entropy", "bce", "focal"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("labels", [LABELS, SHARES.astype(np.float32)], ids=["labels", "shares"])
def test_every_loss_and_its_gradient_against_numpy(name, smoothing, labels):
    logits, shares = tf.Variable(LOGITS, dtype=tf.float32), SHARES if labels.ndim == 2 else np.eye(3)[LABELS]
    with tf.GradientTape() as tape:
        each = losses.data_loss(tf.constant(labels), logits, smoothing, loss=name)
        total = tf.reduce_sum(each)
    loss, gradient = by_hand(name, shares, LOGITS, smoothing)
    assert each.dtype == tf.float32
    np.testing.assert_allclose(each, loss, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(tape.gradient(total, logits), gradient, atol=1e-5)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 3.0])
def test_focal_at_other_gammas_and_where_nothing_is_left_to_learn(gamma):
    logits = tf.Variable([[2.0, -1.0, 0.5], [200.0, 0.0, 0.0]])
    with tf.GradientTape() as tape:
        each = losses.data_loss(tf.constant([1, 0]), logits, loss="focal", gamma=gamma)
    loss, gradient = by_hand("focal", np.eye(3)[[1]], logits.numpy()[:1].astype(np.float64), gamma=gamma)
    np.testing.assert_allclose(each, [loss[0], 0.0], rtol=1e-5, atol=1e-6)
    found = tape.gradient(each, logits)
    np.testing.assert_allclose(found[0], gradient[0], atol=1e-5)
    np.testing.assert_allclose(found[1], 0, atol=1e-3)  # finite, though p is 1


def test_every_head_has_the_same_loss_of_the_same_shares():
    main, head = LOGITS, LOGITS[:, ::-1].copy()
    outputs = [tf.constant(x, tf.float32) for x in (main, head)]
    for name in losses.LOSSES:
        found = losses.data_loss(tf.constant(SHARES, tf.float32), outputs, 0.1, 0.3, loss=name)
        expected = by_hand(name, SHARES, main, 0.1)[0] + 0.3 * by_hand(name, SHARES, head, 0.1)[0]
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["cross_entropy", "bce", "focal"])
def test_a_class_weight_multiplies_the_losses_of_its_examples(name):
    weights, logits = np.array([0.5, 1.0, 4.0], np.float32), tf.constant(LOGITS, tf.float32)
    plain, shared = by_hand(name, np.eye(3)[LABELS], LOGITS)[0], by_hand(name, SHARES, LOGITS)[0]
    found = losses.data_loss(tf.constant(LABELS), logits, loss=name, class_weights=weights)
    np.testing.assert_allclose(found, plain * [0.5, 4.0, 0.5, 1.0], rtol=1e-5, atol=1e-6)
    found = losses.data_loss(tf.constant(SHARES, tf.float32), logits, loss=name, class_weights=weights)
    np.testing.assert_allclose(found, shared * [0.65, 2.5, 0.5, 1.625], rtol=1e-5, atol=1e-6)


def test_of_guessing_is_the_loss_of_equal_probabilities():
    """Of binary cross-entropy that is sigmoid(z) = 1 / K for every class."""
    for classes in (2, 10, 1000):
        label = np.eye(classes)[[0]]
        equal = by_hand("focal", label, np.zeros((1, classes)), gamma=1.5)[0][0]
        assert losses.of_guessing("focal", classes, 1.5) == pytest.approx(equal, rel=1e-9)
        assert losses.of_guessing("cross_entropy", classes) == pytest.approx(np.log(classes), rel=1e-12)
        logits = np.full((1, classes), -np.log(classes - 1.0))
        assert losses.of_guessing("bce", classes) == pytest.approx(by_hand("bce", label, logits)[0][0], rel=1e-9)


def test_weights_are_the_kernels(model):
    assert [v.path for v in losses.decayed_variables(model)] == ["conv1/kernel", "fc/kernel"]
    everything = {"conv1/kernel", "conv1/bias", "norm1/gamma", "norm1/beta", "fc/kernel", "fc/bias"}
    assert {v.path for v in losses.decayed_variables(model, biases_and_norms=True)} == everything


def gradients(model, weight_decay, l1=0.0, biases_and_norms=False):
    with tf.GradientTape() as tape:
        loss = losses.regularisation(losses.decayed_variables(model, biases_and_norms), weight_decay, l1)
    assert loss.dtype == tf.float32
    assert loss.shape == ()
    values = tape.gradient(loss, [v.value for v in model.trainable_variables])
    return dict(zip([v.path for v in model.trainable_variables], values, strict=True)), loss


def test_l2_gradient_is_lambda_w_exactly_and_leaves_biases_and_norms(model):
    found, loss = gradients(model, 0.0005)
    for variable in model.trainable_variables:
        if variable.path.endswith("kernel"):
            np.testing.assert_array_equal(found[variable.path], np.float32(0.0005) * variable.numpy())
        else:
            assert found[variable.path] is None
    squares = sum((v.numpy().astype(np.float64) ** 2).sum() for v in losses.decayed_variables(model))
    assert float(loss) == pytest.approx(0.0005 / 2 * squares, rel=1e-6)


def test_l2_of_everything(model):
    found, _ = gradients(model, 0.25, biases_and_norms=True)
    for variable in model.trainable_variables:
        np.testing.assert_array_equal(found[variable.path], 0.25 * variable.numpy())


def test_l1_and_elastic_net(model):
    kernels = [v.numpy().astype(np.float64) for v in losses.decayed_variables(model)]
    found, loss = gradients(model, 0.0, l1=0.125)
    assert float(loss) == pytest.approx(0.125 * sum(np.abs(w).sum() for w in kernels), rel=1e-6)
    np.testing.assert_array_equal(found["fc/kernel"], 0.125 * np.sign(model.get_layer("fc").kernel.numpy()))
    found, loss = gradients(model, 0.5, l1=0.125)
    expected = sum(0.25 * (w**2).sum() + 0.125 * np.abs(w).sum() for w in kernels)
    assert float(loss) == pytest.approx(expected, rel=1e-6)
    w = model.get_layer("fc").kernel.numpy()
    np.testing.assert_allclose(found["fc/kernel"], 0.5 * w + 0.125 * np.sign(w), rtol=1e-6)
    assert found["fc/bias"] is None


def test_without_penalty_it_is_zero(model):
    assert float(losses.regularisation(losses.decayed_variables(model), 0.0)) == 0.0
    assert float(losses.regularisation([], 0.1, 0.1)) == 0.0
