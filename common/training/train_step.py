"""One step of training: forward, backward and the optimizer, traced once for all devices."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial

import tensorflow as tf

from common.nn import losses, metrics
from common.training import loss_scaling, optimizers, replicas
from common.training.run_state import Job


def make_train_step(job: Job, watch: Callable[[Sequence[tf.Tensor | None]], AbstractContextManager] = nullcontext):
    """A traced function (images, labels) -> (5,) float32 in SUMS' order, over the global batch.

    Images are what the job's `finish` takes. Labels are integers, or of mixed pictures the classes' shares (N, K);
    top-1 and top-5 are then against the class of the largest share. The data loss is the mean over the global batch,
    auxiliary classifiers included with their weight; L2 is counted once over all replicas. They share one all-reduce,
    of gradients and results together. With the job's `jit` XLA compiles it, for one device. The weights move within
    `watch(gradients)`, entered in replica context while the step is traced.
    """
    optimizer, recipe, strategy, scale = job.optimizer, job.recipe, job.devices.strategy, job.loss_scale
    variables, own_gradients = job.model.trainable_variables, _in_parts(_forward_backward(job), recipe.accumulate)

    def update(*gradients):
        with watch(gradients):
            optimizers.apply_gradients(optimizer, gradients, variables, recipe.clip_norm)

    def summed_gradients(images, labels):
        results, gradients = own_gradients(images, labels)
        return replicas.summed([results, *gradients])

    def replica_step(images, labels):
        results, *gradients = summed_gradients(images, labels)
        update(*gradients)
        return results

    def scaled_gradients(images, labels):
        results, *gradients = summed_gradients(images, labels)
        return results, scale.unscaled(gradients)

    def scaled_step(images, labels):
        """The same in two parts: a choice that all replicas share cannot be made within one of them."""
        results, gradients = strategy.run(scaled_gradients, args=(images, labels))
        finite = loss_scaling.all_finite([replicas.first(job.devices, one) for one in gradients])

        def take():
            strategy.run(update, args=gradients)

        tf.cond(finite, take, lambda: None)
        scale.count(finite)
        return results

    @tf.function(jit_compile=job.jit or None)
    def step(images, labels):
        results = strategy.run(replica_step, args=(images, labels)) if scale is None else scaled_step(images, labels)
        if job.average is not None:
            job.average.update(optimizer.iterations.value)
        return replicas.first(job.devices, results)

    return step


def _forward_backward(job: Job) -> Callable:
    """A function of images and labels, a part of the global batch -> its share of a step's results, and gradients."""
    model, recipe, scale = job.model, job.recipe, job.loss_scale
    decayed = losses.decayed_variables(model, recipe.decay_biases_and_norms)
    l1 = optimizers.l1_in_loss(recipe)
    of_data = partial(losses.data_loss, loss=recipe.loss, gamma=recipe.focal_gamma, class_weights=job.class_weights)

    def forward_backward(images, labels):
        with tf.GradientTape() as tape:
            outputs = model(job.finish(images), training=True)
            each = of_data(labels, outputs, recipe.label_smoothing, job.auxiliary_weight)
            data_loss = tf.reduce_sum(each) / recipe.batch_size
            l2_loss = losses.regularisation(decayed, recipe.weight_decay, l1)
            l2_loss /= job.devices.replicas * recipe.accumulate  # so many parts make the batch
            loss = data_loss + l2_loss
            scaled = loss if scale is None else scale.scaled(loss)
        logits, label = metrics.main_logits(outputs), metrics.largest_share(labels)
        hits = [tf.reduce_sum(tf.cast(metrics.correct(label, logits, k), tf.float32)) for k in (1, 5)]
        results = tf.stack([data_loss, l2_loss, loss, hits[0] / recipe.batch_size, hits[1] / recipe.batch_size])
        return results, tape.gradient(scaled, model.trainable_variables)

    return forward_backward


def _in_parts(forward_backward: Callable, parts: int) -> Callable:
    """The same for the whole of what a replica is given, gone through in equal parts, one at a time."""
    if parts == 1:
        return forward_backward

    def summed(images, labels):
        def cut_out(part):
            return tf.nest.map_structure(
                lambda one: tf.reshape(one, [parts, -1, *one.shape[1:]])[part], (images, labels)
            )

        results, gradients = forward_backward(*cut_out(0))  # tells which variables have a gradient
        there = [index for index, gradient in enumerate(gradients) if gradient is not None]

        def add(part, *sums):
            more, gradients = forward_backward(*cut_out(part))
            return part + 1, *(a + b for a, b in zip(sums, [more, *(gradients[i] for i in there)], strict=True))

        begun = [1, results, *(gradients[i] for i in there)]
        _, results, *sums = tf.while_loop(lambda part, *_: part < parts, add, begun, parallel_iterations=1)
        for index, total in zip(there, sums, strict=True):
            gradients[index] = total
        return results, gradients

    return summed
