"""One contender of benchmarks/throughput.py, in a process of its own.

It builds what the first line of its standard input asks for, does one step, says so, and then runs as many steps as
each further line asks for. Every answer is a line of JSON on its standard output.
"""

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import graph as graphs
from benchmarks import limits
from benchmarks.limits import Run
from common import machine

BEGUN = time.time()
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # as the program does; Keras' contenders have it too
APPLICATIONS = {  # ours -> keras.applications'
    "vgg16": "VGG16",
    "vgg19": "VGG19",
    "resnet50": "ResNet50",
    "resnet101": "ResNet101",
    "resnet152": "ResNet152",
}


@dataclass(frozen=True)
class Task:
    """What a contender is to do.

    Attributes:
        kind: ours, jpegs (ours, fed by the program's input), keras (stock layers under compile and fit), applications,
            torch, decode (JPEGs decoded, nothing else) or peak (matrix products alone).
        arch: the network's name.
        mode: train or test.
        precision: float32 or mixed_bfloat16.
        batch_size, image_size, classes: of the synthetic images.
        compile: ours: XLA; torch: torch.compile.
        graph: the network as data, for the peers.
        dataset: where the JPEGs are, for jpegs and decode.
    """

    kind: str
    arch: str
    mode: str
    precision: str
    batch_size: int
    image_size: int
    classes: int
    compile: bool = False
    graph: dict[str, Any] | None = None
    dataset: str | None = None


def synthetic(task: Task) -> tuple:
    """The one batch of every step: images (N, S, S, 3) float32 as large as pixels less their mean, labels int32."""
    import numpy as np

    random = np.random.default_rng(0)
    shape = (task.batch_size, task.image_size, task.image_size, 3)
    images = random.normal(0, 50, shape).astype(np.float32)
    return images, random.integers(0, task.classes, task.batch_size).astype(np.int32)


def _endless(*tensors):
    import tensorflow as tf

    options = tf.data.Options()
    options.autotune.enabled = False  # `fit` gives its iterator up in every turn, and would wait seconds for the tuner
    return tf.data.Dataset.from_tensors(tensors).repeat().with_options(options)


def _pictures(task: Task, recipe):
    """Batches of a data set's training pictures, as the program makes them."""
    from common.input import datasets, pipeline

    data = datasets.open_dataset(task.dataset)
    prepared = pipeline.preprocessing(recipe, data.info, task.image_size, data.path)
    return pipeline.training(data.splits["train"], prepared, recipe, data.info, batch_size=task.batch_size, seed=0)


def _architecture(task: Task):
    from cli import registry

    return registry.find(task.arch)


def _graph(task: Task) -> graphs.Graph:
    """The network as it is trained or tested."""
    graph = graphs.from_json(task.graph)
    return graph if task.mode == "train" else graph.main()


def build_ours(task: Task):
    """Our network as it is trained: auxiliary classifiers included."""
    architecture = _architecture(task)
    from common import distribution

    auxiliary = {"auxiliary": True} if architecture.auxiliary_weight else {}
    with distribution.precision(task.precision):
        return architecture.build(
            classes=task.classes, image_size=task.image_size, initializer=architecture.recipe.initializer, **auxiliary
        )


def ours(task: Task) -> Run:
    """The program's own step: training with loss, L2, gradients, optimizer and metrics; testing, batch norm folded."""
    from dataclasses import replace

    import numpy as np

    from common import distribution
    from common.nn import batch_norm_folding, graph_rewrite
    from common.training import optimizers, trainer, validation
    from common.training.run_state import Job

    architecture, devices, model = _architecture(task), distribution.choose("one"), build_ours(task)
    images, labels = synthetic(task)
    if task.mode == "test":
        model = batch_norm_folding.fold(graph_rewrite.main_path(model))
        step = validation.make_eval_step(model, devices, task.compile)
        batches = iter(_endless(images, labels, np.ones(len(labels), bool), np.arange(len(labels))))
    else:
        recipe = replace(architecture.recipe, batch_size=task.batch_size)
        optimizer = optimizers.make_optimizer(recipe)
        optimizer.build(model.trainable_variables)
        optimizer.learning_rate.assign(1e-6)  # the labels are random; the network stays as it is
        job = Job(
            run=Path(),
            model=model,
            optimizer=optimizer,
            average=None,
            schedule=None,
            recipe=recipe,
            auxiliary_weight=architecture.auxiliary_weight,
            devices=devices,
            splits={},
            training=None,
            validation=None,
            steps_per_epoch=1,
            identity={},
            mean=None,
            jit=task.compile,
        )
        step = trainer.make_train_step(job)
        batches = iter(_pictures(task, recipe) if task.dataset else _endless(images, labels))

    def run(steps: int) -> None:
        for result in [step(*next(batches)) for _ in range(steps)]:
            result.numpy()

    return run


def stock_keras(task: Task) -> Run:
    """`model.fit` and `model.evaluate` of the same network in stock layers, with the same loss, L2 and metrics."""
    from benchmarks import stock_keras as stock
    from common import distribution

    graph, architecture = _graph(task), _architecture(task)
    with distribution.precision(task.precision):
        model = stock.build(graph, architecture.recipe.weight_decay)
    weights = [1.0] + [architecture.auxiliary_weight] * (len(graph.outputs) - 1)
    return _fit(task, model, weights)


def applications(task: Task) -> Run:
    """The same for the network of that name in keras.applications, without L2, which it does not have."""
    import keras

    from common import distribution

    make = getattr(keras.applications, APPLICATIONS[task.arch])
    with distribution.precision(task.precision):
        shape = (task.image_size, task.image_size, 3)
        model = make(weights=None, input_shape=shape, classes=task.classes, classifier_activation=None)
    return _fit(task, model, [1.0])


def _fit(task: Task, model, weights: list[float]) -> Run:
    import keras

    images, labels = synthetic(task)
    losses = [keras.losses.SparseCategoricalCrossentropy(from_logits=True) for _ in weights]
    metrics = ["accuracy", keras.metrics.SparseTopKCategoricalAccuracy(5)]
    several = len(weights) > 1
    model.compile(
        keras.optimizers.SGD(1e-6, momentum=0.9),
        loss=losses if several else losses[0],
        loss_weights=weights if several else None,
        metrics=[metrics, *([] for _ in weights[1:])] if several else metrics,
    )
    data = _endless(images, (labels,) * len(weights) if several else labels)
    if task.mode == "test":
        return lambda steps: model.evaluate(data, steps=steps, verbose=0)
    return lambda steps: model.fit(data, steps_per_epoch=steps, verbose=0)


def torch_eager_or_compiled(task: Task) -> Run:
    """Channels last, SGD with momentum and weight decay, automatic mixed precision; top-1 and top-5 as ours."""
    import torch
    from torch.nn import functional

    from benchmarks import stock_torch

    network = stock_torch.Network(_graph(task)).to(memory_format=torch.channels_last)
    images, labels = (torch.from_numpy(part) for part in synthetic(task))
    images = images.permute(0, 3, 1, 2)  # NHWC in memory, as channels_last wants it
    labels = labels.long()
    architecture = _architecture(task)
    forward = torch.compile(network) if task.compile else network
    mixed = torch.autocast("cpu", torch.bfloat16, enabled=task.precision == "mixed_bfloat16")
    groups = stock_torch.parameter_groups(network, architecture.recipe.weight_decay)
    optimizer = torch.optim.SGD(groups, lr=1e-6, momentum=0.9, fused=True)

    def correct(logits):
        found = logits.topk(min(5, logits.shape[1])).indices == labels[:, None]
        return torch.stack([found[:, 0].sum(), found.sum()])

    def train():
        optimizer.zero_grad(set_to_none=True)
        with mixed:
            outputs = forward(images)
            main, *heads = [functional.cross_entropy(logits.float(), labels) for logits in outputs]
            loss = main + sum(architecture.auxiliary_weight * head for head in heads)
        loss.backward()
        optimizer.step()
        return correct(outputs[0].detach())

    @torch.inference_mode()
    def test():
        with mixed:
            logits = forward(images)[0].float()
        functional.cross_entropy(logits, labels)
        return correct(logits)

    network.train(task.mode == "train")
    step = {"train": train, "test": test}[task.mode]

    def run(steps: int) -> None:
        for result in [step() for _ in range(steps)]:
            result.tolist()

    return run


KINDS = {
    "ours": ours,
    "jpegs": ours,
    "keras": stock_keras,
    "applications": applications,
    "torch": torch_eager_or_compiled,
    "decode": lambda task: limits.decode(task.dataset, task.batch_size),
    "peak": lambda task: limits.matrix_product(task.precision),
}


def serve(lines, answer: Callable[[dict], None], begun: float) -> None:
    """Reads the task and then numbers of steps; answers each with the seconds it took and the memory held at most."""
    run = KINDS[(task := Task(**json.loads(next(lines)))).kind](task)
    run(1)
    answer({"seconds": time.time() - begun, "megabytes": _megabytes()})
    for line in lines:
        start = time.perf_counter()
        run(int(line))
        answer({"seconds": time.perf_counter() - start, "megabytes": _megabytes()})


def _megabytes() -> float:
    """The most memory this process has held."""
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform == "darwin" else 1)
    return kilobytes * 1024 / 1e6


def main() -> None:
    """Serves; whatever libraries print goes to standard error. Freed memory is kept, as the program does: by all."""
    machine.keep_freed_memory()
    channel = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    serve(iter(sys.stdin.readline, ""), lambda values: print(json.dumps(values), file=channel), BEGUN)


if __name__ == "__main__":
    main()
