"""Kills a training run again and again and compares what it ends with to an undisturbed run's.

    python benchmarks/kill_repeatedly.py                 20 times SIGKILL, 20 times SIGTERM, then damaged checkpoints
    python benchmarks/kill_repeatedly.py --kills 100

The run is alexnet.py on digits, a few hundred pixels smaller than the paper's. It is started, killed at a random moment
(while TensorFlow starts, while it trains, while it writes), and started again with the same command, until the kills
are used up; then it may finish. All variables of its last checkpoint, metrics.csv, the figures of results.json and the
steps of TensorBoard's curves must be the undisturbed run's, bit for bit. After that every file of a checkpoint is cut
off at several places and has bits flipped at others: none may load, and the run must go back to the checkpoint before.

About 8 minutes on a CPU for 20 kills. Exits 1 at the first difference.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

COMMAND = [str(ROOT / "alexnet.py"), "--mode=train", "--image_size=67", "--batch_size=64", "--learning_rate=0.002"]
COMMAND += [
    "--initializer=glorot",
    "--schedule=cosine",
    "--ema=0",
    "--epochs=2",
    "--log_every=4",
    "--save_every=5",
    "--keep=3",
]


def start(folder: Path, run: str, log: Path) -> subprocess.Popen:
    """The training command on RUN in `folder`, its output appended to `log`."""
    with open(log, "ab") as file:
        return subprocess.Popen([sys.executable, *COMMAND, f"--ckpt={run}"], cwd=folder, stdout=file, stderr=file)


def fail(what: str, log: Path) -> None:
    """Exits 1 with the end of the log, which goes with the temporary folder."""
    sys.exit(f"{what}; it said last:\n" + "\n".join(log.read_text().splitlines()[-20:]))


def finish(folder: Path, run: str, log: Path) -> float:
    """Trains RUN to its end and returns the seconds it took. Exits where the program fails."""
    begun = time.monotonic()
    if start(folder, run, log).wait():
        fail("the training failed", log)
    return time.monotonic() - begun


def torment(folder: Path, run: str, log: Path, number: signal.Signals, kills: int, longest: float, seed: int) -> int:
    """Starts RUN until a signal has hit it `kills` times, each at a random moment. Returns how often it had finished.

    A run that ends before its signal comes is removed and begun again: the kills go on.
    """
    moments, finished, done = random.Random(seed), 0, 0
    while done < kills:
        process = start(folder, run, log)
        try:
            process.wait(moments.uniform(0.5, longest))
            finished += 1
            if process.returncode:
                fail("the training failed on its own", log)
            subprocess.run(["rm", "-rf", str(folder / run)], check=True)
            continue
        except subprocess.TimeoutExpired:
            process.send_signal(number)
            code = process.wait()
        # A SIGTERM that comes before the loop runs ends the process as signals do; after that it saves and exits 0.
        if code not in (-number, 0):
            fail(f"after {number.name} the program ended with code {code}", log)
        done += 1
        print(f"\r{number.name}: {done} of {kills}", end="", flush=True)
    print()
    return finished


def variables(run: Path) -> dict[str, np.ndarray]:
    """Every variable of the newest checkpoint, optimizer and seeds included."""
    import tensorflow as tf

    from common.runs import checkpoints

    reader = tf.train.load_checkpoint(str(checkpoints.newest(run).folder / "variables"))
    names = sorted(set(reader.get_variable_to_shape_map()) - {"_CHECKPOINTABLE_OBJECT_GRAPH"})
    return {name: reader.get_tensor(name) for name in names}


def curve_steps(run: Path) -> dict[str, list[int]]:
    """The steps of every TensorBoard curve, in the order they were written."""
    import tensorflow as tf

    found: dict[str, list[int]] = {}
    for path in sorted((run / "tensorboard").glob("events.*")):
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            event = tf.compat.v1.Event.FromString(record)
            for value in event.summary.value:
                found.setdefault(value.tag, []).append(event.step)
    return found


def differences(one: Path, other: Path) -> list[str]:
    """What two finished runs do not share; empty where they are the same."""
    mine, theirs = variables(one), variables(other)
    found = [f"variable {name} differs" for name in mine if not np.array_equal(mine[name], theirs.get(name))]
    found += [f"variable {name} is new" for name in theirs.keys() - mine.keys()]
    if (one / "metrics.csv").read_bytes() != (other / "metrics.csv").read_bytes():
        found.append("metrics.csv differs")
    results = [json.loads((run / "results.json").read_text()) for run in (one, other)]
    found += [f"results.json: {name} differs" for name in ("top1", "top5", "loss", "images", "split")
              if results[0][name] != results[1][name]]  # fmt: skip
    if curve_steps(one) != curve_steps(other):
        found.append("TensorBoard's curves have other steps")
    return found


def damage(run: Path) -> tuple[int, list[str]]:
    """Damages every file of the newest checkpoint in several ways. Returns how often, and the ways that loaded."""
    from common.runs import checkpoints

    newest, before = checkpoints.folders(run)[:2]
    tried, loaded = 0, []
    for file in sorted(newest.iterdir()):
        whole = file.read_bytes()
        places = sorted({0, 1, len(whole) // 3, len(whole) // 2, len(whole) - 2})
        cases = {f"cut off at {place}": whole[:place] for place in places}
        cases |= {f"bit flipped at {place}": whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :]
                  for place in places}  # fmt: skip
        for name, bad in cases.items():
            file.write_bytes(bad)
            said: list[str] = []
            tried += 1
            if checkpoints.newest(run, said.append).folder != before or len(said) != 1:
                loaded.append(f"{file.name} {name}")
        file.write_bytes(whole)
    return tried, loaded


def main() -> None:
    """Runs the whole trial."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20, help="how often each signal is sent (default 20)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (default 0)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="faults-") as name:
        folder = Path(name)
        log = folder / "log"
        seconds = finish(folder, "undisturbed", log)
        print(f"undisturbed: {seconds:.0f} s")
        for number in (signal.SIGKILL, signal.SIGTERM):
            run = number.name.lower()
            torment(folder, run, log, number, options.kills, 0.6 * seconds, options.seed)
            finish(folder, run, log)
            found = differences(folder / "undisturbed", folder / run)
            print(f"{number.name}: {options.kills} times; " + ("; ".join(found) or "same weights, metrics and curves"))
            if found:
                sys.exit(1)
        tried, loaded = damage(folder / "undisturbed")
        print(f"damaged checkpoints: {tried}, loaded without a word: {', '.join(loaded) or 'none'}")
        sys.exit(1 if loaded else 0)


if __name__ == "__main__":
    main()
