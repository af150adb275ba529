"""Runs jobs in worker processes that end when the parent does, with progress."""

import concurrent.futures
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections.abc import Sequence
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from common.errors import UserError
from common.progress import Progress
from data import shards
from data.quiet import quiet_libraries

_counter: Any = None  # in a worker: images done by all of them


def run(jobs: Sequence[shards.Job], total: int, workers: int, quiet: bool) -> None:
    """Writes the shards of all jobs.

    Args:
        jobs: what is left to do.
        total: images in the whole data set; those of no job count as done.
        workers: processes; 0: this one.
        quiet: no progress.

    Raises:
        OSError: a shard cannot be written. UserError: a worker died.
    """
    done = total - sum(len(job.items) for job in jobs)
    progress = Progress(total, done, quiet=quiet)
    try:
        if not workers:
            for job in jobs:
                shards.write_shard(job, lambda count: progress.update(progress.done + count))
        elif jobs:
            _run_parallel(jobs, done, min(workers, len(jobs)), progress)
    finally:
        progress.close()


def _run_parallel(jobs: Sequence[shards.Job], done: int, workers: int, progress: Progress) -> None:
    # Fresh interpreters: forking a process that has TensorFlow or NumPy threads in it can hang.
    context = multiprocessing.get_context("spawn")
    counter = context.Value("Q", 0)
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    executor = concurrent.futures.ProcessPoolExecutor(workers, context, _start, (counter,))
    try:
        waiting = {executor.submit(_write, job) for job in jobs}
        while waiting:
            finished, waiting = concurrent.futures.wait(waiting, 0.2, concurrent.futures.FIRST_COMPLETED)
            progress.update(done + counter.value)
            for future in finished:
                future.result()
    except BrokenProcessPool:
        raise UserError(
            "a worker process died (out of memory? try fewer --workers); the same command goes on", 1
        ) from None
    finally:
        executor.shutdown(cancel_futures=True)


def import_tensorflow() -> None:
    """Imports TensorFlow for reading and writing records: on the CPU, without its remarks about GPUs."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    with quiet_libraries():
        import tensorflow as tf

        tf.config.list_physical_devices()


def _start(counter) -> None:
    """Makes a worker: quiet, without a GPU, silent at Ctrl-C, gone when its parent is gone."""
    global _counter
    _counter = counter
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    import_tensorflow()
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    multiprocessing.connection.wait([parent.sentinel])
    os._exit(1)


def _tick(count: int) -> None:
    with _counter.get_lock():
        _counter.value += count


def _write(job: shards.Job) -> None:
    shards.write_shard(job, _tick)
