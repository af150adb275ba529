"""Source -> prepared data set: a plan, its shards in parallel, then dataset.json.

Work in progress is kept in DIR/.prepare: the plan, and a note beside each finished shard. A shard gets its final name
when it is whole, dataset.json is written last. So a run may be killed at any moment; the same command goes on from
there, and the result is byte for byte that of an undisturbed run.
"""

import csv
import hashlib
import io
import json
import math
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from common.errors import UserError
from common.input import color_statistics, records
from common.runs import locks
from data import pool, rebuild, shards
from data.source import Source, shuffle

SKIPPED, REPAIRED, MEAN_IMAGE = "skipped.csv", "repaired.csv", "mean_image.npy"
PER_SHARD = 1280  # images, at most: 1,001 shards for ImageNet


@dataclass(frozen=True)
class Options:
    """What to make of a source.

    Attributes:
        resize: short side in pixels that larger images are scaled down to; None: images as they are.
        seed: of the order of the records.
        shards: of the training split; the other splits' are of about the same size. None: by the number of images.
        mean_image: also write the mean image.
    """

    resize: int | None = None
    seed: int = 0
    shards: int | None = None
    mean_image: bool = False


@dataclass(frozen=True)
class Outcome:
    """A finished data set, (file, reason) of its skipped and repaired images, and whether it was there already.

    `rebuilt`: the damaged shards of one that was there, made anew.
    """

    info: records.DatasetInfo
    skipped: tuple[tuple[str, str], ...]
    repaired: tuple[tuple[str, str], ...]
    existed: bool = False
    rebuilt: tuple[str, ...] = ()


def shard_counts(sizes: dict[str, int], wanted: int | None) -> dict[str, int]:
    """How many shards each split of so many images gets: one per `PER_SHARD` images, or as `Options.shards` says."""
    if wanted is None:
        return {name: max(1, math.ceil(n / PER_SHARD)) for name, n in sizes.items()}
    return {
        name: min(max(1, n), max(1, wanted if name == "train" else round(wanted * n / max(1, sizes["train"]))))
        for name, n in sizes.items()
    }


def make_plan(source: Source, options: Options) -> dict:
    """All that the written bytes depend on, in a form that can be saved and compared."""
    plan = {"source": source.kind, "name": source.name, "flip": source.flip, "suggested": source.suggested}
    plan |= source.settings | {"resize": options.resize, "seed": options.seed, "mean_image": options.mean_image}
    counts = shard_counts({name: len(items) for name, items in source.splits.items()}, options.shards)
    plan["classes"] = hashlib.sha256("\n".join(source.classes).encode()).hexdigest()
    for split, items in source.splits.items():
        digest = hashlib.sha256()
        for item in items:
            digest.update(f"{item.name}\0{item.label}\0{item.size}\n".encode("utf-8", "surrogateescape"))
        plan[f"{split} shards"] = counts[split]
        plan[f"{split} files"] = digest.hexdigest()
    return plan


def _differences(old: dict, new: dict) -> str:
    """Where two plans differ, in words."""
    found = []
    for key in [*new, *(key for key in old if key not in new)]:
        if old.get(key) != new.get(key):
            digest = key == "classes" or key.endswith(" files")
            found.append(f"other {key}" if digest else f"{key} {old.get(key)} -> {new.get(key)}")
    return ", ".join(found)


def write(
    source: Source, folder: Path, options: Options, workers: int = 0, strict: bool = False, quiet: bool = True
) -> Outcome:
    """Writes a prepared data set, or finishes one, or finds it finished and makes its damaged shards anew.

    Args:
        source: what to write.
        folder: where; new, empty, or holding the same plan's work.
        options: how.
        workers: processes; 0: this one.
        strict: any skipped image is an error.
        quiet: no progress.

    Raises:
        UserError (exit code 1): another plan's data is in `folder`, or other files; a class or split ends up empty;
        `strict` and an image was skipped; the disk is full.
    """
    plan = make_plan(source, options)
    _check_folder(folder, plan)
    _check_classes(source)
    try:
        work = folder / shards.WORK
        work.mkdir(parents=True, exist_ok=True)
        with locks.hold(work / "lock", f"--out={folder}", (lambda _: None) if quiet else print):
            outcome = _write(source, folder, options, plan, workers, strict, quiet)
        shutil.rmtree(folder / shards.WORK, ignore_errors=True)
        return outcome
    except OSError as error:
        where = error.filename or folder
        raise UserError(f"{where}: {error.strerror}" if error.strerror else str(error), 1) from error


def _check_folder(folder: Path, plan: dict) -> None:
    """Refuses a folder that holds anything but this plan's work, finished or not."""
    if folder.exists() and not folder.is_dir():
        raise UserError(f"--out={folder}: this is a file; name a folder", 1)
    if (folder / records.INFO_FILE).exists():
        old, state = records.read_info(folder).extra.get("plan", {}), "a finished data set"
    else:
        path = folder / shards.WORK / "plan.json"
        try:
            old, state = json.loads(path.read_bytes()), "an unfinished data set"
        except FileNotFoundError:
            if folder.exists() and any(path.name != shards.WORK for path in folder.iterdir()):
                raise UserError(
                    f"--out={folder}: there are other files in this folder; choose an empty or a new one", 1
                ) from None
            return
        except ValueError:
            raise UserError(f"{path}: damaged; remove {folder} and start again", 1) from None
    if old != plan:
        raise UserError(
            f"--out={folder}: it holds {state} of another plan ({_differences(old, plan)}); remove it or name another",
            1,
        )


def _check_classes(source: Source) -> None:
    """Refuses a source in which a split, or a class in training, is empty to begin with."""
    for split, items in source.splits.items():
        if not items:
            raise UserError(f"split {split}: there is no image in it", 1)
    labels = {item.label for item in source.splits["train"]}
    missing = [name for label, name in enumerate(source.classes) if label not in labels]
    if missing and -1 not in labels:
        raise UserError(_empty_classes(missing), 1)


def _empty_classes(names: list[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"no training image for class {', '.join(map(repr, names[:5]))}{more}; add images or remove the class"


def _write(
    source: Source, folder: Path, options: Options, plan: dict, workers: int, strict: bool, quiet: bool
) -> Outcome:
    jobs = {split: _jobs(source, split, plan[f"{split} shards"], folder, options) for split in source.splits}
    if (folder / records.INFO_FILE).exists():
        info = records.read_info(folder)
        rebuilt = rebuild.rebuild(folder, info, [job for listed in jobs.values() for job in listed], workers, quiet)
        _write_indices(folder, info)
        return Outcome(info, _read_csv(folder / SKIPPED), _read_csv(folder / REPAIRED), True, rebuilt)
    work = folder / shards.WORK
    for left_over in work.glob("*.tmp"):
        left_over.unlink()
    shards.replace(work / "plan.json", json.dumps(plan, indent=1).encode())
    pending = [job for split in jobs.values() for job in split if shards.read_note(folder, job.file) is None]
    total = sum(len(items) for items in source.splits.values())
    pool.run(pending, total, workers, quiet)
    read = {split: [shards.read_note(folder, job.file) for job in listed] for split, listed in jobs.items()}
    notes = {split: [note for note in listed if note is not None] for split, listed in read.items()}
    if notes != read:
        raise UserError(f"{folder}: shards have vanished while others were written; start again", 1)
    skipped = sorted(
        {*source.skipped, *(entry for listed in notes.values() for note in listed for entry in note.skipped)}
    )
    repaired = sorted(
        {*source.repaired, *(entry for listed in notes.values() for note in listed for entry in note.repaired)}
    )
    _write_csv(folder / SKIPPED, "reason", skipped)
    _write_csv(folder / REPAIRED, "repair", repaired)
    info = _info(source, notes, options, plan)
    for split, entry in info.splits.items():
        if not entry.examples:
            raise UserError(f"split {split}: no usable image in it, see {folder / SKIPPED}", 1)
    missing = [name for name, count in zip(info.classes, info.splits["train"].per_class, strict=True) if not count]
    if missing:
        raise UserError(f"{_empty_classes(missing)}; see {folder / SKIPPED}", 1)
    if strict and skipped:
        raise UserError(f"--strict: {len(skipped)} files were skipped, see {folder / SKIPPED}", 1)
    if options.mean_image:
        added = sum(
            (np.load(shards.sum_path(folder, job.file)).astype(np.int64) for job in jobs["train"]),
            np.zeros((), np.int64),
        )
        array = io.BytesIO()
        np.save(array, (added / info.splits["train"].examples).astype(np.float32))
        shards.replace(folder / MEAN_IMAGE, array.getvalue())
    _write_indices(folder, info)
    records.write_info(folder, info)
    return Outcome(info, tuple(skipped), tuple(repaired))


def _write_indices(folder: Path, info: records.DatasetInfo) -> None:
    """Writes the index of each split, what a worker needs to read its own records alone, unless it is there."""
    for name, split in info.splits.items():
        lengths = [length for shard in split.shards for length in records.record_lengths(folder / shard.file)]
        path, content = folder / records.index_name(name), records.index_bytes(lengths)
        if not path.exists() or path.read_bytes() != content:
            shards.replace(path, content)


def _jobs(source: Source, split: str, count: int, folder: Path, options: Options) -> list[shards.Job]:
    """The shards of one split: equal parts, to one image, of the shuffled list."""
    items = source.splits[split]
    if not source.shuffled:
        items = shuffle(items, options.seed, split)
    bounds = [len(items) * index // count for index in range(count + 1)]
    return [
        shards.Job(
            folder,
            records.shard_name(split, index, count),
            items[bounds[index] : bounds[index + 1]],
            source.read,
            source.classes,
            options.resize,
            measured=split == "train",
            mean_image=options.mean_image and split == "train",
        )
        for index in range(count)
    ]


def _info(source: Source, notes: dict[str, list[shards.Note]], options: Options, plan: dict) -> records.DatasetInfo:
    splits = {}
    for split, listed in notes.items():
        per_class = np.sum([note.per_class for note in listed], axis=0)
        splits[split] = records.SplitInfo(tuple(note.shard for note in listed), tuple(map(int, per_class)))
    found = color_statistics.summarise(color_statistics.total(note.sums for note in notes["train"]))
    return records.DatasetInfo(
        name=source.name,
        classes=source.classes,
        splits=splits,
        mean=found.mean,
        std=found.std,
        eigenvalues=found.eigenvalues,
        eigenvectors=found.eigenvectors,
        flip=source.flip,
        suggested=source.suggested,
        mean_image=MEAN_IMAGE if options.mean_image else None,
        extra=source.extra | {"plan": plan},
    )


def _write_csv(path: Path, second: str, rows: list[tuple[str, str]]) -> None:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows([("file", second), *rows])
    shards.replace(path, text.getvalue().encode("utf-8", "surrogateescape"))


def _read_csv(path: Path) -> tuple[tuple[str, str], ...]:
    try:
        text = path.read_text(encoding="utf-8", errors="surrogateescape")
    except FileNotFoundError:
        return ()
    return tuple((row[0], row[1]) for row in list(csv.reader(io.StringIO(text, newline="")))[1:])
