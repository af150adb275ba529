"""The peer of benchmarks/input.py: PyTorch's DataLoader and PIL, in a process without TensorFlow.

The first line of its standard input is a JSON object: the arguments of `batches`, `sources` as the name of a pickle.
Each further line is a number of seconds for which it fetches batches; the answer is a line with the images/s.
"""

import io
import json
import pickle
import sys
import time
from collections.abc import Callable, Iterator

import numpy as np
from PIL import Image

USED_UP = 5  # batches: two prefetched by each of two workers, and one


def picture(encoded: bytes, short_side: int, size: int, mean: tuple[float, ...], place, mirrored: bool) -> np.ndarray:
    """A training picture, (size, size, 3) float32: short side to `short_side`, size x size crop, flip, mean subtracted.

    PIL resizes the crop's part of the stored picture alone, which is less work than resizing all of it. `place`: where
    the crop lies, top and left, each 0..1 of the room there is.
    """
    image = Image.open(io.BytesIO(encoded)).convert("RGB")
    scale = min(image.size) / short_side
    resized = [round(side / scale) for side in image.size]
    left, top = ((side - size) * share for side, share in zip(resized, reversed(place), strict=True))
    box = [int(left) * scale, int(top) * scale, (int(left) + size) * scale, (int(top) + size) * scale]
    box[2:] = [min(edge, side) for edge, side in zip(box[2:], image.size, strict=True)]
    image = image.resize((size, size), Image.Resampling.BILINEAR, box=box)
    if mirrored:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return np.asarray(image, np.float32) - np.asarray(mean, np.float32)


class Pictures:
    """What a DataLoader asks for: `len` and pictures by number."""

    def __init__(self, sources: list, short_side: int, size: int, mean: tuple[float, ...]):
        self.sources, self.short_side, self.size, self.mean = sources, short_side, size, mean

    def __len__(self) -> int:
        return len(self.sources)

    def __getitem__(self, number: int):
        import torch

        encoded = self.sources[number]
        if isinstance(encoded, str):
            with open(encoded, "rb") as file:
                encoded = file.read()
        draws = torch.rand(3)
        top, left, mirrored = draws.tolist()
        made = picture(encoded, self.short_side, self.size, self.mean, (top, left), mirrored < 0.5)
        return torch.from_numpy(made), 0


def batches(
    sources: list[str | bytes], short_side: int, size: int, mean: list[float], batch_size: int, workers: int
) -> Iterator:
    """Endless shuffled batches of a DataLoader with so many worker processes. `sources`: file names or their bytes."""
    from torch.utils.data import DataLoader

    pictures = Pictures(sources, short_side, size, tuple(mean))
    keep = {"drop_last": True, "shuffle": True, "persistent_workers": True}
    loader = DataLoader(pictures, batch_size=batch_size, num_workers=workers, **keep)
    while True:
        yield from loader


def turn(made: Iterator, batch_size: int, seconds: float, clock: Callable[[], float] = time.perf_counter) -> float:
    """Images/s over about so many seconds. What was made beforehand, in the turns of others, is used up first."""
    for _ in range(USED_UP):
        next(made)
    begun, fetched = clock(), 0
    while not fetched or clock() - begun < seconds:
        next(made)
        fetched += 1
    return fetched * batch_size / (clock() - begun)


def main() -> None:
    """Answers until its standard input ends."""
    task = json.loads(sys.stdin.readline())
    with open(task.pop("sources"), "rb") as file:
        sources = pickle.load(file)  # written by benchmarks/input.py a moment ago
    made = batches(sources, **task)
    for line in sys.stdin:
        print(json.dumps(turn(made, task["batch_size"], float(line))), flush=True)


if __name__ == "__main__":
    main()
