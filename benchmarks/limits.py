"""What the machine allows: the rate of a matrix product, and of the JPEG decoder."""

from collections.abc import Callable

MATRIX = 2048  # side of the matrices

Run = Callable[[int], None]  # does that many steps and returns when the last one's result is there


def matrix_product(precision: str) -> Run:
    """A product of two square matrices, MATRIX wide: 2 MATRIX^3 floating-point operations a step."""
    import tensorflow as tf

    dtype = tf.bfloat16 if precision == "mixed_bfloat16" else tf.float32
    a = tf.cast(tf.random.stateless_normal([MATRIX, MATRIX], [0, 1]), dtype)

    @tf.function
    def product(b):
        return tf.matmul(a, b)

    def run(steps: int) -> None:
        for _ in range(steps):
            product(a)

    return run


def decode(dataset: str, batch_size: int) -> Run:
    """A step decodes `batch_size` JPEGs of a data set, whole, from memory. Raises UserError where there is none."""
    from benchmarks import input as inputs
    from common.input import datasets

    split = datasets.open_dataset(dataset).splits["train"]
    batches = inputs.decoding(inputs.encoded(split, dataset), batch_size)

    def run(steps: int) -> None:
        for _ in range(steps):
            next(batches)

    return run
