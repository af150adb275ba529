"""What replicas share: one packed all-reduce a step, and statistics that each keeps until they are read."""

from collections.abc import Callable, Iterable, Sequence

import keras
import tensorflow as tf

from common.distribution import Devices


def summed(tensors: Sequence[tf.Tensor | None]) -> list[tf.Tensor | None]:
    """The sum of each float32 tensor over all replicas, on all of them, in one all-reduce. None stays None.

    They travel as one vector: what many small all-reduces cost is their number. Call it in replica context. The tensors
    have shapes that are known.
    """
    replica = tf.distribute.get_replica_context()
    if replica.num_replicas_in_sync == 1:
        return list(tensors)
    present = [tf.convert_to_tensor(tensor) for tensor in tensors if tensor is not None]
    packed = tf.concat([tf.reshape(tensor, [-1]) for tensor in present], 0)
    packed = replica.all_reduce(tf.distribute.ReduceOp.SUM, packed)
    parts = tf.split(packed, [tensor.shape.num_elements() for tensor in present])
    whole = iter(tf.reshape(part, tensor.shape) for part, tensor in zip(parts, present, strict=True))
    return [None if tensor is None else next(whole) for tensor in tensors]


def first(devices: Devices, values):
    """Of a result that is the same on all replicas, one. Call it in cross-replica context."""
    return devices.strategy.experimental_local_results(values)[0]


def make_synchronise(variables: Iterable[keras.Variable], devices: Devices) -> Callable[[], None]:
    """A function that brings together the variables of which every replica has its own value (batch norm's statistics).

    Each replica then holds the mean over all, from one all-reduce. All workers must call it before anybody reads such
    variables: before a checkpoint and a validation. With one replica it does nothing.
    """
    own = [variable for variable in variables if variable.synchronization == "on_read"]
    if devices.replicas == 1 or not own:
        return lambda: None

    def take_mean():
        whole = summed([tf.convert_to_tensor(variable) for variable in own])
        for variable, total in zip(own, whole, strict=True):
            variable.assign(total / devices.replicas)

    return tf.function(lambda: devices.strategy.run(take_mean))
