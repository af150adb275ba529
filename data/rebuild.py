"""Repairing a finished data set: missing or damaged shards are written again from the source, the others stay."""

import os
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from common import machine
from common.errors import UserError
from common.input import records
from common.progress import Progress
from data import pool, shards

_MEGABYTE = 10**6


def _is_sound(path: Path, shard: records.Shard) -> bool:
    try:
        return path.stat().st_size == shard.bytes and records.checksum(path) == shard.sha256
    except OSError:
        return False


def damaged(folder: Path, info: records.DatasetInfo, quiet: bool) -> list[records.Shard]:
    """The shards that are missing or whose bytes are not those of dataset.json; reads all of them through."""
    listed = [shard for split in info.splits.values() for shard in split.shards]
    total = sum(shard.bytes for shard in listed)
    progress, read, found = Progress(total // _MEGABYTE, quiet=quiet, unit="MB of shards"), 0, []
    with ThreadPoolExecutor(machine.cores()) as threads:
        for shard, sound in zip(
            listed, threads.map(lambda shard: _is_sound(folder / shard.file, shard), listed), strict=True
        ):
            read += shard.bytes
            progress.update(read // _MEGABYTE)
            found += [] if sound else [shard]
    progress.close()
    return found


def rebuild(
    folder: Path, info: records.DatasetInfo, jobs: Sequence[shards.Job], workers: int, quiet: bool
) -> tuple[str, ...]:
    """Makes the damaged shards of a finished data set anew; returns their names.

    Each takes its place only where it is, byte for byte, what dataset.json says of it.

    Args:
        folder: the data set's.
        info: its dataset.json.
        jobs: all of its shards.
        workers, quiet: as for `pool.run`.

    Raises:
        UserError: one comes out otherwise; names it and leaves everything as it is.
    """
    wanted = {shard.file: shard for shard in damaged(folder, info, quiet)}
    if not wanted:
        return ()
    apart = folder / shards.WORK / "rebuilt"
    shutil.rmtree(apart, ignore_errors=True)
    (apart / shards.WORK).mkdir(parents=True)
    pending = [job.elsewhere(apart) for job in jobs if job.file in wanted]
    if not quiet:
        print(f"{folder}: rebuilding {len(pending)} damaged shard(s): {', '.join(sorted(wanted)[:5])}", flush=True)
    pool.run(pending, sum(len(job.items) for job in pending), workers, quiet)
    for job in pending:
        note = shards.read_note(apart, job.file)
        if note is None or note.shard != wanted[job.file]:
            raise UserError(
                f"{folder / job.file}: damaged, and what is made anew is not what dataset.json describes: "
                "an image of the source has changed, or a library that encodes images; prepare into a new folder",
                1,
            )
    for job in pending:
        os.replace(apart / job.file, folder / job.file)
    return tuple(job.file for job in pending)
