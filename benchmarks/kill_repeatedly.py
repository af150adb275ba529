"""Kills a training run again and again and compares what it ends with to an undisturbed run's.

    python benchmarks/kill_repeatedly.py                 50 times SIGKILL and 5 times SIGTERM, with --keep 1 and 2 each
    python benchmarks/kill_repeatedly.py --kills 8 --stops 4 --damages 3

The run is LeNet-5 on digits: 76 steps, a checkpoint every 5. It is started, killed, and started again with the same
command, until the kills are used up; then it may finish. Of four kills one comes at any moment (while the network is
built, while it trains, while it writes), one while a checkpoint is written, one in a validation, one in the final test.
After some of them the newest checkpoint is damaged, where another is left to go back to. After every kill the newest
sound checkpoint must be at least as new as before: nothing is lost but the steps since the last save. In the end all
variables of the last checkpoint, metrics.csv, the figures of results.json and the steps of TensorBoard's curves must be
the undisturbed run's, bit for bit. After that every file of a checkpoint is cut off at several places and has bits
flipped at others: none may load, and the run must go back to the checkpoint before.

Every start is a process of its own, forked from this one after it has imported TensorFlow and before it computes
anything with it: a signal meets it as it meets a command, and a start takes a second, not ten. The last start of each
series is the command itself, in a fresh interpreter. About 15 minutes on a CPU. Exits 1 at the first difference.
"""

import argparse
import importlib
import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

SCRIPT = "train.py"
COMMAND = ["--arch=lenet5", "--mode=train", "--learning_rate=0.02", "--schedule=cosine", "--dropout=0.2", "--ema=0.9"]
COMMAND += ["--epochs=4", "--log_every=4", "--save_every=5"]
IMPORTED = ("cli.train", "common.evaluation.error_analysis", "sklearn.datasets")  # once, before the forks


def arguments(run: str, keep: int) -> list[str]:
    """The training command's, for RUN."""
    return [*COMMAND, f"--keep={keep}", f"--ckpt={run}"]


def _train(folder: Path, run: str, log: Path, keep: int) -> None:
    """The training command in this process, a forked one."""
    file = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.chdir(folder)
    sys.argv = [SCRIPT, *arguments(run, keep)]
    importlib.import_module("train").main()


def start(folder: Path, run: str, log: Path, keep: int) -> BaseProcess:
    """A process that trains RUN in `folder`, its output appended to `log`."""
    process = multiprocessing.get_context("fork").Process(target=_train, args=(folder, run, log, keep))
    process.start()
    return process


def fail(what: str, log: Path) -> None:
    """Exits 1 with the end of the log, which goes with the temporary folder."""
    sys.exit(f"{what}; it said last:\n" + "\n".join(log.read_text().splitlines()[-20:]))


def finish(folder: Path, run: str, log: Path, keep: int) -> None:
    """Trains RUN to its end by the command itself. Exits where the program fails."""
    with open(log, "ab") as file:
        command = [sys.executable, str(ROOT / SCRIPT), *arguments(run, keep)]
        if subprocess.run(command, cwd=folder, stdout=file, stderr=file, check=False).returncode:
            fail("the training failed", log)


def newest_state(run: Path) -> dict:
    """state.json of the newest checkpoint, empty where there is none (or where it is just being replaced)."""
    from common.runs import checkpoints

    try:
        return checkpoints.read_json(checkpoints.folders(run)[0] / checkpoints.STATE_FILE)
    except Exception:  # whatever a run that is at work leaves at this moment
        return {}


# What a kill waits for, how many seconds after that it comes at most, and how probably it is the first such moment.
MOMENTS: dict[str, tuple[Callable[[Path], bool], float, float]] = {
    "saving": (lambda run: any((run / "checkpoints").glob(".writing-*")), 0.03, 0.5),
    "validation": (lambda run: bool(newest_state(run).get("validation_due")), 0.3, 0.7),
    "the final test": (lambda run: bool(newest_state(run).get("finished")), 2.0, 1.0),
}


def wait_for(process: BaseProcess, run: Path, moment: str, longest: float, draws: random.Random) -> bool:
    """Waits until a kill is due: at `moment`, or at any within `longest` seconds. False where the process has ended."""
    due, delay, first = MOMENTS.get(moment, (lambda _: True, longest, 1.0))

    def wait(wanted: bool) -> None:
        while process.exitcode is None and due(run) != wanted:
            time.sleep(0.002)

    wait(True)
    while draws.random() > first:
        wait(False)
        wait(True)
    process.join(draws.uniform(0.0, delay))
    return process.exitcode is None


def damage_newest(run: Path, draws: random.Random) -> bool:
    """Damages a file of the newest checkpoint, where another sound one is left. Returns whether it did."""
    from common.runs import checkpoints

    sound = [folder for folder in checkpoints.folders(run) if checkpoints.is_sound(folder)]
    if len(sound) < 2:
        return False
    file = draws.choice(sorted(path for path in sound[0].iterdir() if not path.name.startswith(".")))
    content = bytearray(file.read_bytes())
    if draws.random() < 0.5:
        del content[draws.randrange(len(content) - 1) :]
    else:
        content[draws.randrange(len(content))] ^= 4
    file.write_bytes(content)
    return not checkpoints.is_sound(sound[0])


def sound_step(run: Path) -> int:
    """Step of the newest sound checkpoint, 0 without one."""
    from common.runs import checkpoints

    return next((int(folder.name[-8:]) for folder in checkpoints.folders(run) if checkpoints.is_sound(folder)), 0)


class Killer:
    """Kills a run again and again. What happened is counted in `hits`: kills by moment, damages, runs that ended."""

    def __init__(self, folder: Path, run: str, log: Path, keep: int, longest: float, seed: int):
        self.folder, self.run, self.log, self.keep, self.longest = folder, run, log, keep, longest
        self.draws, self.hits = random.Random(seed), Counter()

    def kill(self, number: signal.Signals, kills: int, damages: int) -> None:
        """Starts the run until a signal has hit it `kills` times; after some of them damages its newest checkpoint.

        A run that ends before its signal comes is removed and begun again: the kills go on.
        """
        done, kept = 0, 0
        moments = ["any", *MOMENTS]
        while done < kills:
            moment = moments[done % len(moments)]
            process = start(self.folder, self.run, self.log, self.keep)
            if not wait_for(process, self.folder / self.run, moment, self.longest, self.draws):
                if process.exitcode:
                    fail("the training failed on its own", self.log)
                self.hits["ended before"] += 1
                self.longest *= 1.0 if kept else 0.8  # a whole run takes less than that
                shutil.rmtree(self.folder / self.run)
                kept = 0
                continue
            os.kill(process.pid, number)
            process.join()
            code = process.exitcode
            # A SIGTERM that comes before or after the loop ends the process as signals do; in it, it saves and exits.
            if code not in (-number, 128 + number):
                fail(f"after {number.name} the program ended with code {code}", self.log)
            done += 1
            self.hits[moment] += 1
            kept = self.check(kept)
            if damages > self.hits["damaged"] and damage_newest(self.folder / self.run, self.draws):
                self.hits["damaged"] += 1
                kept = sound_step(self.folder / self.run)
            if sys.stdout.isatty():
                print(f"\r{number.name}, --keep {self.keep}: {done} of {kills}  ", end="", flush=True)

    def check(self, kept: int) -> int:
        """The step to go on from after a kill. Exits where it is before `kept`, that of the kill before."""
        now = sound_step(self.folder / self.run)
        if now < kept:
            fail(f"{self.run}: step {kept} had been saved, now {now} is the newest sound one", self.log)
        return now


def variables(run: Path) -> dict[str, np.ndarray]:
    """Every variable of the newest checkpoint, optimizer and seeds included."""
    import tensorflow as tf

    from common.runs import checkpoints

    reader = tf.train.load_checkpoint(str(checkpoints.newest(run).folder / "variables"))
    names = sorted(set(reader.get_variable_to_shape_map()) - {"_CHECKPOINTABLE_OBJECT_GRAPH"})
    return {name: reader.get_tensor(name) for name in names}


def curve_steps(run: Path) -> dict[str, list[int]]:
    """The steps of every TensorBoard curve of the training, in the order they were written."""
    import tensorflow as tf

    from common.input import records

    found: dict[str, list[int]] = {}
    for folder in ("", "train", "validation"):
        for path in sorted((run / "tensorboard" / folder).glob("events.*")):
            content, end = path.read_bytes(), 0  # not by tf.data: this process must not compute, it is forked
            for length in records.record_lengths(path):
                begin = end + records.HEADER
                end += records.FRAME + length
                event = tf.compat.v1.Event.FromString(content[begin : begin + length])
                for value in event.summary.value:
                    found.setdefault(f"{folder}/{value.tag}", []).append(event.step)
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


def series(folder: Path, log: Path, keep: int, longest: float, options: argparse.Namespace) -> list[str]:
    """The kills and the stops of one --keep. Returns where what they end with is not the undisturbed run's."""
    found = []
    for number, count in ((signal.SIGKILL, options.kills), (signal.SIGTERM, options.stops)):
        run = f"{number.name.lower()}-{keep}"
        killer = Killer(folder, run, log, keep, longest, options.seed)
        killer.kill(number, count, options.damages if number == signal.SIGKILL else 0)
        finish(folder, run, log, keep)
        found += differences(folder / "undisturbed", folder / run)
        hits = ", ".join(f"{name} {count}" for name, count in killer.hits.items())
        print(f"{run}: {hits}; " + ("; ".join(found) or "same weights, metrics and curves"), flush=True)
    return found


def main() -> None:
    """Runs the whole trial."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50, help="by SIGKILL, for each --keep (default 50)")
    parser.add_argument("--damages", type=int, default=15, help="of checkpoints after those kills (default 15)")
    parser.add_argument("--stops", type=int, default=5, help="by SIGTERM, for each --keep (default 5)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (default 0)")
    options = parser.parse_args()
    importlib.import_module("train").start_tensorflow()
    for module in IMPORTED:
        importlib.import_module(module)
    with tempfile.TemporaryDirectory(prefix="faults-") as name:
        folder = Path(name)
        log = folder / "log"
        begun = time.monotonic()
        finish(folder, "undisturbed", log, 2)
        seconds = time.monotonic() - begun
        print(f"undisturbed: {seconds:.0f} s", flush=True)
        for keep in (1, 2):
            if series(folder, log, keep, 0.6 * seconds, options):
                sys.exit(1)
        tried, loaded = damage(folder / "undisturbed")
        print(f"damaged checkpoints: {tried}, loaded without a word: {', '.join(loaded) or 'none'}")
        sys.exit(1 if loaded else 0)


if __name__ == "__main__":
    main()
