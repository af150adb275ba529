"""The peer of benchmarks/parity.py: ResNet for small images and AlexNet in PyTorch, and their training.

Written from the papers, on PyTorch's own layers and optimizer. Shared with the program: which files are read, how they
are decoded and resized, the mean to subtract, and the learning rate of each step. Everything else is written again
here: networks, initial weights, order, augmentation in NumPy, loss, weight decay, momentum, batch normalisation.
PyTorch's velocity does not hold the learning rate, Keras' does: they differ for some steps after a drop.
"""

import math
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from common.errors import UserError
from common.input.pipeline import Preprocessing, mean_picture
from common.input.splits import Dataset, Split
from common.recipe import Recipe
from common.runs.config import RunConfig
from common.training import schedules

# Fields of a recipe that this training follows; another may only have the value that leaves things as they are.
FOLLOWED = (
    *("optimizer", "learning_rate", "learning_rate_batch", "momentum", "batch_size", "epochs"),
    *("schedule_factor", "schedule_every", "schedule_rate", "schedule_boundaries", "cycle_multiplier"),
    *("schedule", "minimum_learning_rate", "warmup", "warmup_epochs", "warmup_factor"),
    *("weight_decay", "decay_biases_and_norms", "dropout", "label_smoothing"),
    *("initializer", "classifier_initializer", "mean", "crop", "resize", "scale_range", "flip"),
    *("brightness", "contrast", "plateau_patience", "plateau_delta", "plateau_drops"),
)
CHOICES = {
    "optimizer": ("sgd", "momentum", "nesterov"),
    "schedule": ("constant", "piecewise", "step", "exponential", "inverse_time", "cosine", "sgdr", "cyclical"),
    "crop": ("random", "pad", "none"),
    "initializer": ("gaussian", "glorot", "he"),
    "classifier_initializer": (None, "gaussian", "glorot", "he"),
}
PAD = 4  # pixels of zeros around a picture, crop "pad"


class Block(nn.Module):
    """Two 3x3 convolutions with batch norm and a shortcut without weights (He et al. 2015, 3.3, option A)."""

    def __init__(self, before: int, channels: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(before, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.stride, self.new = stride, channels - before

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = functional.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        x = x[:, :, :: self.stride, :: self.stride]
        x = functional.pad(x, (0, 0, 0, 0, self.new // 2, self.new - self.new // 2))
        return functional.relu(x + y)


class SmallResNet(nn.Module):
    """He et al. 2015, section 4.2: 6n + 2 layers for small images; (N, 3, H, W) -> logits (N, classes)."""

    def __init__(self, depth: int, classes: int, image_size: int, dropout: float):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16)
        blocks, before = [], 16
        for stage, channels in enumerate((16, 32, 64)):
            for number in range((depth - 2) // 6):
                blocks.append(Block(before, channels, 2 if stage and not number else 1))
                before = channels
        self.blocks, self.dropout, self.classifier = nn.Sequential(*blocks), dropout, nn.Linear(64, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.blocks(functional.relu(self.bn1(self.conv1(x)))).mean((2, 3))
        return self.classifier(functional.dropout(x, self.dropout, self.training))


class AlexNet(nn.Module):
    """The lab's AlexNet, one tower: convolution, ReLU, pool, norm (Krizhevsky et al. 2012, sections 3 and 4)."""

    def __init__(self, classes: int, image_size: int, dropout: float):
        super().__init__()
        norm = partial(nn.LocalResponseNorm, 5, alpha=5e-4, beta=0.75, k=2.0)  # alpha 1e-4, which PyTorch divides by n
        self.maps = nn.Sequential(
            *(nn.Conv2d(3, 96, 11, 4), nn.ReLU(), nn.MaxPool2d(3, 2), norm()),
            *(nn.Conv2d(96, 256, 5, 1, 2), nn.ReLU(), nn.MaxPool2d(3, 2), norm()),
            *(nn.Conv2d(256, 384, 3, 1, 1), nn.ReLU()),
            *(nn.Conv2d(384, 384, 3, 1, 1), nn.ReLU()),
            *(nn.Conv2d(384, 256, 3, 1, 1), nn.ReLU(), nn.MaxPool2d(3, 2), nn.Flatten()),
        )
        with torch.no_grad():
            values = self.maps(torch.zeros(1, 3, image_size, image_size)).shape[1]
        self.fc6, self.fc7 = nn.Linear(values, 4096), nn.Linear(4096, 4096)
        self.drop, self.classifier = nn.Dropout(dropout), nn.Linear(4096, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.drop(functional.relu(self.fc6(self.maps(x))))
        return self.classifier(self.drop(functional.relu(self.fc7(x))))


NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "alexnet": AlexNet,
    **{f"resnet{depth}": partial(SmallResNet, depth) for depth in (20, 32, 44, 56)},
}


def check(recipe: Recipe) -> None:
    """Raises UserError where a recipe asks for what is not written here."""
    neutral = Recipe()
    for name, value in vars(recipe).items():
        if name in CHOICES and value not in CHOICES[name]:
            allowed = ", ".join(str(choice) for choice in CHOICES[name])
            raise UserError(f"--{name}={value}: the comparison with PyTorch knows {allowed}")
        if name not in FOLLOWED and value != getattr(neutral, name):
            raise UserError(f"--{name}={value}: the comparison with PyTorch knows {getattr(neutral, name)} only")


def initialise(network: nn.Module, recipe: Recipe) -> None:
    """Draws the weights; biases start at zero."""
    for module in network.modules():
        if not isinstance(module, nn.Conv2d | nn.Linear):
            continue
        last = module is network.classifier
        match (last and recipe.classifier_initializer) or recipe.initializer:
            case "gaussian":
                nn.init.normal_(module.weight, std=0.01)
            case "glorot":
                nn.init.xavier_uniform_(module.weight)
            case "he":
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def make_optimizer(network: nn.Module, recipe: Recipe) -> torch.optim.SGD:
    """Gradient descent; weight decay acts on kernels alone, or on everything where the recipe says so."""
    kernels = [p for p in network.parameters() if p.ndim > 1]
    others = [p for p in network.parameters() if p.ndim == 1]
    also = recipe.weight_decay if recipe.decay_biases_and_norms else 0.0
    groups = [{"params": kernels, "weight_decay": recipe.weight_decay}, {"params": others, "weight_decay": also}]
    momentum = 0.0 if recipe.optimizer == "sgd" else recipe.momentum
    sys.modules.setdefault("triton", None)  # SGD would import it, and it crashes in a process that has TensorFlow
    return torch.optim.SGD(groups, recipe.learning_rate, momentum, nesterov=recipe.optimizer == "nesterov")


def step(network: nn.Module, optimizer: Any, images: np.ndarray, labels: np.ndarray, recipe: Recipe, mixed: Any):
    """One step of training, on images (N, S, S, 3) float32: (loss without weight decay, number of correct answers)."""
    network.train()
    with mixed:
        logits = network(torch.from_numpy(images).permute(0, 3, 1, 2))
    target = torch.from_numpy(labels)
    loss = functional.cross_entropy(logits.float(), target, label_smoothing=recipe.label_smoothing)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item(), int((logits.argmax(1) == target).sum())


@dataclass(frozen=True)
class Pictures:
    """A split in memory: pictures (H, W, 3) uint8, each with its short side as the recipe resizes it; labels (N,)."""

    images: list[np.ndarray]
    labels: np.ndarray


def decode(split: Split, short_side: int) -> Pictures:
    """Reads a split with the program's own reader, decoder and resizing."""
    import tensorflow as tf

    from common import machine
    from common.input import images

    @tf.autograph.experimental.do_not_convert
    def load(element):
        encoded, label, _ = split.parse(element)
        picture = images.decode(encoded)
        shape = tf.cast(images.resized_shape(tf.shape(picture)[:2], short_side), tf.int32)
        return tf.cast(tf.round(images.resize(picture, shape)), tf.uint8), label

    pairs = list(machine.parallel_map(split.serialized(None), load).as_numpy_iterator())
    return Pictures([picture for picture, _ in pairs], np.array([label for _, label in pairs], np.int64))


def cut(picture: np.ndarray, size: int, place: np.ndarray) -> np.ndarray:
    """The size x size part of a picture at a place in [0, 1) x [0, 1) of all the places it may have."""
    top, left = (place * (np.array(picture.shape[:2]) - size + 1)).astype(int)
    return picture[top : top + size, left : left + size]


def central(picture: np.ndarray, size: int) -> np.ndarray:
    """The size x size part in the middle."""
    top, left = (np.array(picture.shape[:2]) - size) // 2
    return picture[top : top + size, left : left + size]


def augment(picture: np.ndarray, recipe: Recipe, mirrors: bool, mean: np.ndarray, random: Any) -> np.ndarray:
    """The recipe's training picture (S, S, 3) float32; `mirrors` tells whether the data set may be mirrored."""
    size = len(mean)
    image = cut(picture, size, random.random(2)) if recipe.crop == "random" else central(picture, size)
    if recipe.flip and mirrors and random.random() < 0.5:
        image = image[:, ::-1]
    image = image.astype(np.float32)
    if recipe.contrast:
        centre = image.mean((0, 1))
        image = (image - centre) * np.float32(random.uniform(1 - recipe.contrast, 1 + recipe.contrast)) + centre
    if recipe.brightness:
        image += np.float32(255 * random.uniform(-recipe.brightness, recipe.brightness))
    image -= mean
    if recipe.crop == "pad":
        image = cut(np.pad(image, ((PAD, PAD), (PAD, PAD), (0, 0))), size, random.random(2))
    return image


@torch.inference_mode()
def measure(network: nn.Module, pictures: Pictures, mean: np.ndarray, mixed: Any, batch: int) -> tuple[float, float]:
    """(top-1, mean cross-entropy) of the central crops."""
    network.eval()
    right, loss, size = 0, 0.0, len(mean)
    for start in range(0, len(pictures.labels), batch):
        images = [central(image, size) - mean for image in pictures.images[start : start + batch]]
        labels = torch.from_numpy(pictures.labels[start : start + batch])
        with mixed:
            logits = network(torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2))
        right += int((logits.argmax(1) == labels).sum())
        loss += float(functional.cross_entropy(logits.float(), labels, reduction="sum"))
    return right / len(pictures.labels), loss / len(pictures.labels)


def train(config: RunConfig, data: Dataset, split: str, file: Path, told: Callable[[dict], None]) -> None:
    """Trains the network of a configuration; `told` hears of each epoch: its number, accuracies and loss.

    Args:
        config: of the run; the recipe, precision and seed hold.
        data: training pictures are its split `train`.
        split: which split is measured after each epoch.
        file: where the state after each epoch is kept; training goes on from it, with the same numbers.
        told: called once for each epoch, also for those that `file` holds.

    Raises UserError (exit code 3) at the first loss that is not finite.
    """
    recipe, preprocessing = config.recipe, Preprocessing(**config.preprocessing)
    mean, batch = mean_picture(preprocessing), recipe.batch_size
    torch.manual_seed(config.seed)
    network = NETWORKS[config.arch](len(config.classes), config.image_size, recipe.dropout or 0.0)
    initialise(network, recipe)
    network.to(memory_format=torch.channels_last)
    optimizer, rows = make_optimizer(network, recipe), []
    if file.exists():
        saved = torch.load(file)
        network.load_state_dict(saved["network"])
        optimizer.load_state_dict(saved["optimizer"])
        rows = saved["rows"]
    for row in rows:
        told(row)
    if len(rows) == recipe.epochs:
        return
    training, tested = (decode(data.splits[name], preprocessing.resize) for name in ("train", split))
    steps = len(training.labels) // batch
    schedule = schedules.make_schedule(recipe, steps, steps * recipe.epochs)
    mixed = torch.autocast("cpu", torch.bfloat16, enabled=config.precision == "mixed_bfloat16")
    for epoch in range(len(rows), recipe.epochs):
        random, right = np.random.default_rng([config.seed, epoch]), 0
        torch.manual_seed(config.seed * 10**6 + epoch)  # dropout's masks
        order = random.permutation(len(training.labels))
        for number in range(steps):
            for group in optimizer.param_groups:
                group["lr"] = schedule.rate(epoch * steps + number)
            chosen = order[number * batch : (number + 1) * batch]
            images = np.stack([augment(training.images[i], recipe, data.info.flip, mean, random) for i in chosen])
            loss, correct = step(network, optimizer, images, training.labels[chosen], recipe, mixed)
            if not math.isfinite(loss):
                raise UserError(f"the loss is {loss} at step {epoch * steps + number + 1:,}: the run diverged", 3)
            right += correct
        top1, test_loss = measure(network, tested, mean, mixed, batch)
        means = {"train_top1": right / (steps * batch), "test_top1": top1, "test_loss": test_loss}
        rows.append({"epoch": epoch + 1, **means})
        temporary = file.with_suffix(".tmp")
        torch.save({"network": network.state_dict(), "optimizer": optimizer.state_dict(), "rows": rows}, temporary)
        os.replace(temporary, file)
        told(rows[-1])
