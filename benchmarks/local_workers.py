"""What a step costs more by several workers: a tiny network trained by 1, 2 and 4 local processes, steps a second.

    python benchmarks/local_workers.py                      two minutes
    python benchmarks/local_workers.py --workers 1,2,4 --epochs 10 --batch_size 64

Each worker is a process of train.py on 127.0.0.1, as one of several machines would be; one worker trains without
TF_CONFIG. LeNet-5 on the digits computes next to nothing, so what a step takes is what the program and TensorFlow add
to it. All processes share this machine's cores: with more workers than cores they wait for one another as well.
"""

import argparse
import json
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SPEED = re.compile(r"([\d,.]+) images/s")


def addresses(count: int) -> list[str]:
    """Free ports of this machine, host:port."""
    sockets = [socket.socket() for _ in range(count)]  # all open at once, so that every port is another
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [f"127.0.0.1:{one.getsockname()[1]}" for one in sockets]
    finally:
        for one in sockets:
            one.close()


def configs(count: int) -> list[str | None]:
    """TF_CONFIG of every worker; None for one that is alone."""
    if count == 1:
        return [None]
    cluster = {"worker": addresses(count)}
    return [json.dumps({"cluster": cluster, "task": {"type": "worker", "index": index}}) for index in range(count)]


def speeds(output: str, batch_size: int) -> list[float]:
    """Steps a second of every log interval but the first, which builds and traces. Of what the chief printed."""
    told = [float(found.replace(",", "")) for found in SPEED.findall(output)]
    return [images / batch_size for images in told[1:]]


def train(count: int, arguments: list[str], folder: Path) -> str:
    """Trains with so many workers. Returns what the chief said. Raises RuntimeError with a failed one's last words."""
    processes = []
    for config in configs(count):
        environment = {name: value for name, value in os.environ.items() if name != "TF_CONFIG"}
        environment |= {"TF_CONFIG": config} if config else {}
        command = [sys.executable, str(ROOT / "train.py"), *arguments, "--ckpt", str(folder / str(count))]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        processes.append(subprocess.Popen(command, cwd=folder, env=environment, text=True, **pipes))
    try:
        outputs = [process.communicate(timeout=600)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    for process, output in zip(processes, outputs, strict=True):
        if process.returncode:
            raise RuntimeError(output.strip().splitlines()[-1])
    return outputs[0]


def main() -> None:
    """Trains and prints a line for every number of workers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", default="1,2,4", help="how many, divisors of the batch (default 1,2,4)")
    parser.add_argument("--epochs", type=int, default=10, help="default 10, of some 20 steps")
    parser.add_argument("--batch_size", type=int, default=64, help="over all workers (default 64)")
    options = parser.parse_args()
    arguments = ["--mode", "train", "--arch", "lenet5", "--dataset", "digits", "--log_every", "10", "--noreport"]
    arguments += ["--epochs", str(options.epochs), "--batch_size", str(options.batch_size)]
    print("workers  steps/s  ms a step  more than the first, ms")
    first = None
    with tempfile.TemporaryDirectory() as folder:
        for count in map(int, options.workers.split(",")):
            rate = statistics.median(speeds(train(count, arguments, Path(folder)), options.batch_size))
            first = first or 1e3 / rate
            print(f"{count:7d} {rate:8.1f} {1e3 / rate:10.2f} {1e3 / rate - first:24.2f}", flush=True)


if __name__ == "__main__":
    main()
