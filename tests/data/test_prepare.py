"""data/prepare.py: the command line, real kills, and odd files in a class folder."""

import contextlib
import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tensorflow as tf

from common.input import records
from data import prepare, repair, shards
from tests.images import contents, jpeg, stored, tree
from tests.images import run_prepare as run

SCRIPT = Path(__file__).parents[2] / "data" / "prepare.py"


@pytest.fixture(scope="module")
def pets(tmp_path_factory):
    return tree(tmp_path_factory.mktemp("source") / "pets", {"ant": 150, "bee": 150})


@pytest.fixture(scope="module")
def prepared(pets, tmp_path_factory):
    folder = tmp_path_factory.mktemp("prepared") / "pets"
    assert run("--source", pets, "--out", folder, "--shards", "20") == 0
    return folder


def test_help_is_quick_and_needs_neither_tensorflow_nor_the_current_folder(tmp_path):
    def without_tensorflow(*command):
        found = subprocess.run(
            [sys.executable, "-X", "importtime", *command], capture_output=True, text=True, cwd=tmp_path
        )
        assert found.returncode == 0, found.stderr
        assert "tensorflow" not in found.stderr
        assert "numpy" not in found.stderr
        return found.stdout

    help_text = without_tensorflow(SCRIPT, "--help")
    for flag in ("--source", "--out", "--resize", "--strict", "--verify", "--mean_image", "--workers", "tfds:NAME"):
        assert flag in help_text


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "--source and --out are needed"),
        (["--resise", "4"], 2, "--resise"),
        (["--resize", "small"], 2, "--resize"),
        (["--resize", "0"], 2, "not a whole number above 0"),
        (["--source", "digits", "--out", "x", "--test_share", "1"], 2, "1 is not in [0, 1)"),
        (["--source", "nowhere", "--out", "x"], 2, "--source=nowhere: no such file or folder"),
        (["--source", "file.zip", "--out", "x"], 2, "of files only .npz is read"),
        (["--source", "tree", "--out", "tree/records"], 2, "it lies inside the source"),
        (["--source", "tree", "--out", "tree"], 2, "it lies inside the source"),
        (["--source", "tree", "--out", "file.zip"], 1, "this is a file"),
        (["--source", "empty", "--out", "x"], 1, "no class folders here"),
        (["--verify"], 2, "name the folder to check"),
        (["--verify", "empty", "--resize", "4"], 2, "--resize: --verify DIR takes no other option"),
        (["--verify", "empty", "--out", "x"], 2, "--out: --verify DIR takes no other option"),
        (["--source", "tree", "--out", "x", "--labels", "file.zip"], 2, "--labels: this tree of class folders has its"),
        (
            ["--source", "split", "--out", "x", "--test_share", "0.1"],
            2,
            "--test_share: this tree of class folders needs",
        ),
        (
            ["--source", "digits", "--out", "x", "--validation_share", "0.2"],
            2,
            "--validation_share: the set of digits needs",
        ),
        (["--verify", "empty"], 2, "there is no prepared data set here"),
    ],
)
def test_mistakes_are_one_line(arguments, code, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    tree(tmp_path / "tree", {"a": 1})
    tree(tmp_path / "split", {"train/a": 1, "val/a": 1})
    (tmp_path / "empty").mkdir()
    (tmp_path / "file.zip").write_bytes(b"PK")
    assert prepare.main([*arguments, *([] if "--verify" in arguments else ["--workers", "0"])]) == code
    error = capsys.readouterr().err
    assert error.startswith("prepare.py: ")
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "x").exists()


def test_says_what_it_did_and_that_it_is_done(pets, prepared, tmp_path, capsys):
    arguments = ("--source", pets, "--out", tmp_path / "out", "--shards", "20")
    assert run(*arguments) == 0
    said = capsys.readouterr().out
    assert "folders: pets, 2 classes, train 240, validation 30, test 30" in said
    assert contents(tmp_path / "out") == contents(prepared)
    assert run(*arguments) == 0
    assert "is finished already and all shards are sound; nothing to do" in capsys.readouterr().out
    assert run(*arguments, "--resize", "8") == 1
    assert "resize None -> 8" in capsys.readouterr().err
    assert contents(tmp_path / "out") == contents(prepared)


def test_resize_and_no_flip(tmp_path):
    tree(tmp_path / "in", {"a": 4})
    assert run("--source", tmp_path / "in", "--out", tmp_path / "out", "--resize", "6", "--no_flip") == 0
    assert not records.read_info(tmp_path / "out").flip
    import tensorflow as tf

    shapes = {tf.io.decode_jpeg(encoded).shape for _, encoded in stored(tmp_path / "out", "train").values()}
    assert shapes == {(6, 8, 3)}  # 12x16 halved


def test_verify_names_the_bad_shard(prepared, tmp_path, capsys):
    shutil.copytree(prepared, tmp_path / "copy")
    assert run("--verify", tmp_path / "copy") == 0
    assert "300 images in 24 shards, all sound" in capsys.readouterr().out
    bad = tmp_path / "copy" / "train-00007-of-00020.tfrecord"
    data = bytearray(bad.read_bytes())
    data[len(data) // 2] ^= 1
    bad.write_bytes(bytes(data))
    assert prepare.main(["--verify", "--out", str(tmp_path / "copy")]) == 1
    found = capsys.readouterr()
    assert f"{bad}: corrupted at record" in found.out
    assert "1 bad shard(s): train-00007-of-00020.tfrecord" in found.err


def test_damaged_shards_are_rebuilt_by_the_same_command_and_the_others_left_alone(pets, prepared, tmp_path, capsys):
    folder = tmp_path / "copy"
    shutil.copytree(prepared, folder)
    names = [f"train-{number:05d}-of-00020.tfrecord" for number in (3, 7)]
    flipped = bytearray((folder / names[0]).read_bytes())
    flipped[100] ^= 1
    (folder / names[0]).write_bytes(flipped)
    (folder / names[1]).unlink()
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert run("--verify", folder) == 1
    assert "give the command that prepared the data set again" in capsys.readouterr().err
    arguments = ("--source", pets, "--out", folder, "--shards", "20")
    assert run(*arguments) == 0
    assert f"rebuilt, byte for byte: {', '.join(names)}" in capsys.readouterr().out
    assert contents(folder) == contents(prepared)
    assert {name for name, time in before.items() if (folder / name).stat().st_mtime_ns != time} == {names[0]}
    assert run(*arguments) == 0
    assert "nothing to do" in capsys.readouterr().out


def test_a_shard_that_cannot_be_rebuilt_as_it_was_is_named_and_nothing_changes(tmp_path, capsys):
    root, folder = tree(tmp_path / "in", {"a": 4}), tmp_path / "out"
    arguments = ("--source", root, "--out", folder, "--test_share", "0", "--validation_share", "0")
    assert run(*arguments) == 0
    (shard,) = folder.glob("train-*")
    shard.write_bytes(shard.read_bytes()[:-1])
    changed = bytearray((root / "a" / "000.jpg").read_bytes())
    changed[-20] ^= 1
    (root / "a" / "000.jpg").write_bytes(changed)
    before = contents(folder)
    assert run(*arguments) == 1
    assert f"{shard}: damaged, and what is made anew is not what dataset.json describes" in capsys.readouterr().err
    shutil.rmtree(folder / shards.WORK)
    assert contents(folder) == before


def test_what_libraries_say_of_damaged_files_does_not_reach_the_terminal(prepared, tmp_path, capfd):
    """libtiff while preparing, libjpeg while verifying; both write past Python."""
    broken = bytearray(jpeg(1, form="TIFF", compression="tiff_lzw"))
    for place in range(20, len(broken) // 2, 3):
        broken[place] ^= 0x5A
    root = tree(tmp_path / "in", {"a": 2})
    (root / "a" / "broken.tif").write_bytes(broken)
    with contextlib.suppress(repair.Unusable):
        repair.repair(bytes(broken), "broken.tif")
    assert capfd.readouterr().err  # as it would be
    assert run("--source", root, "--out", tmp_path / "out") == 0
    assert capfd.readouterr().err == ""
    odd = jpeg(1, 200, 200)
    odd = odd[:300] + b"\xff\xd9" * 3 + odd[310:]
    tf.io.decode_image(odd)
    assert "Corrupt JPEG data" in capfd.readouterr().err
    shard = tmp_path / "out" / "train-00000-of-00001.tfrecord"
    with tf.io.TFRecordWriter(str(shard)) as writer:
        writer.write(records.encode_example(odd, 0, "a", 200, 200, "odd.jpg", "JPEG"))
    info = records.read_info(tmp_path / "out")
    whole = records.SplitInfo((records.Shard(shard.name, 1, shard.stat().st_size, records.checksum(shard)),), (1,))
    records.write_info(tmp_path / "out", dataclasses.replace(info, splits={"train": whole}))
    assert run("--verify", tmp_path / "out") == 0
    assert capfd.readouterr().err == ""


def kill_after(seconds: float, command) -> bool:
    """Starts a command in a session of its own and kills all of it after so long; False: it ended first."""
    with subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL) as process:
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            return True
    return False


KILLED = """
import os, signal, sys
from data import prepare, shards
real, left = shards.write_shard, int(sys.argv.pop(1))

def write_shard(*arguments):
    global left
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
    left -= 1
    real(*arguments)

shards.write_shard = write_shard
prepare.main(sys.argv[1:])
"""


@pytest.mark.slow
def test_killed_and_started_again_gives_the_same_shards(pets, prepared, tmp_path):
    folder = tmp_path / "out"
    arguments = ["--source", pets, "--out", folder, "--shards", "20"]
    for number, done in ((1, 1), (6, 7)):
        command = [sys.executable, "-c", KILLED, str(number), *arguments, "--workers", "0"]
        assert subprocess.run(command, cwd=SCRIPT.parents[1], check=False).returncode == -signal.SIGKILL
        assert len(list((folder / shards.WORK).glob("*.tfrecord.json"))) == done
        assert not (folder / records.INFO_FILE).exists()
        assert (folder / shards.WORK / "plan.json").exists()
    assert run(*arguments) == 0
    assert contents(folder) == contents(prepared)


@pytest.mark.slow
@pytest.mark.parametrize("round_", range(3))
def test_killed_at_random_moments(pets, prepared, tmp_path, round_):
    folder, kills = tmp_path / "out", 0
    command = [sys.executable, SCRIPT, "--source", pets, "--out", folder, "--shards", "20", "--workers", "2"]
    for delay in (0.4, 1.5, 3.0 + 0.15 * round_, 3.5 + 0.15 * round_, 4.0 + 0.3 * round_):
        kills += kill_after(delay, command)
    assert kills  # the first at least, while TensorFlow is imported
    assert run(*command[2:-2]) == 0
    assert contents(folder) == contents(prepared)


@pytest.mark.slow
def test_workers_end_when_the_parent_is_killed(pets, tmp_path):
    folder = tmp_path / "out"
    command = [sys.executable, SCRIPT, "--source", pets, "--out", folder, "--shards", "200", "--workers", "1"]
    with subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None and not list((folder / shards.WORK).glob("*.tfrecord.json")):
            time.sleep(0.01)
        process.kill()
        process.wait()
        end = time.monotonic() + 300
        while _group_lives(process.pid) and time.monotonic() < end:
            time.sleep(0.05)
        assert not _group_lives(process.pid)


def _group_lives(group: int) -> bool:
    """Whether any process of the group runs; one that ended and waits to be collected does not count."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, pgrp = path.read_text().rpartition(")")[2].split()[:3]
        except (OSError, ValueError):
            continue
        if int(pgrp) == group and state not in "ZX":
            return True
    return False
