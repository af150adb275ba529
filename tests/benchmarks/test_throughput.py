import csv
import dataclasses
import importlib.util
import io
import json
import math
from dataclasses import asdict
from typing import ClassVar

import numpy as np
import pytest

import tiny
from benchmarks import contenders, drawing, graph, throughput, turns
from common import machine, processor
from common.training import trainer, validation
from images import tree


def task(kind, mode, precision="float32", whole=None):
    return contenders.Task(kind, "resnet20", mode, precision, 4, 8, 10, False, whole)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ours", "keras"])
def test_a_contender_answers_every_line(kind, monkeypatch, tmp_path):
    tiny.register(monkeypatch, tmp_path)
    whole = graph.to_json(graph.describe(tiny.build()))
    for mode in ("train", "test"):
        made = contenders.Task(kind, "tiny", mode, "float32", 4, 16, 10, False, whole)
        lines = io.StringIO(json.dumps(asdict(made)) + "\n1\n2\n")
        answers = []
        contenders.serve(lines, answers.append, contenders.BEGUN)
        assert len(answers) == 3
        assert all(answer["seconds"] > 0 and answer["megabytes"] > 100 for answer in answers)


@pytest.mark.slow
@pytest.mark.skipif(not importlib.util.find_spec("torch"), reason="PyTorch is not installed")
@pytest.mark.parametrize("mode", ["train", "test"])
def test_pytorch_answers_in_a_process_of_its_own(mode):
    """PyTorch's optimizers load a compiler whose LLVM does not get on with TensorFlow's in one process."""
    whole = graph.to_json(graph.describe(tiny.build()))
    made = contenders.Task("torch", "resnet20", mode, "float32", 4, 16, 10, False, whole)
    worker = turns.Worker(turns.Contender("PyTorch", "torch", made))
    worker.settle(0.0)
    worker.round()
    worker.close()
    assert worker.seconds[0] > 0
    assert worker.megabytes > 100


@pytest.mark.parametrize("kind", [pytest.param("jpegs", marks=pytest.mark.slow), "decode"])
def test_contenders_that_read_a_data_set(kind, monkeypatch, tmp_path):
    """Each step takes its own JPEGs; the synthetic batch is not used."""
    tiny.register(monkeypatch, tmp_path)
    tree(tmp_path / "data" / "train", {"a": 4, "b": 4})
    if kind == "jpegs":
        monkeypatch.setattr(contenders, "_endless", None)
    made = contenders.Task(kind, "tiny", "train", "float32", 4, 16, 10, dataset=str(tmp_path / "data"))
    answers = []
    contenders.serve(io.StringIO(json.dumps(asdict(made)) + "\n2\n"), answers.append, contenders.BEGUN)
    assert len(answers) == 2


@pytest.mark.parametrize("compiled", [False, True])
def test_ours_compiles_only_when_asked(compiled, monkeypatch, tmp_path):
    tiny.register(monkeypatch, tmp_path)
    asked = []
    monkeypatch.setattr(trainer, "make_train_step", lambda job: asked.append(job.jit))
    monkeypatch.setattr(
        validation, "make_eval_step", lambda model, devices, jit: asked.append((jit, len(model.layers)))
    )
    for mode in ("train", "test"):
        contenders.ours(contenders.Task("ours", "tiny", mode, "float32", 4, 16, 10, compiled))
    layers_without_norm = len(tiny.build().layers) - 2
    assert asked == [compiled, (compiled, layers_without_norm)]


def worker(name, owner, precision, seconds, steps=2):
    made = turns.Worker.__new__(turns.Worker)
    made.contender = turns.Contender(name, owner, task(owner, "train", precision))
    made.steps, made.seconds, made.megabytes, made.first = steps, seconds, 300.0, 9.5
    return made


@pytest.fixture
def workers():
    """Three rounds; the machine is twice as slow in the last. A round is 2 steps of 4 images."""
    return [
        worker("matrix product", "peak", "float32", [0.1, 0.1, 0.2]),
        worker("ours", "ours", "float32", [1.0, 1.0, 2.0]),
        worker("stock Keras", "keras", "float32", [1.5, 2.0, 4.0]),
        worker("PyTorch", "torch", "float32", [1.25, 1.0, 2.5]),
        worker("PyTorch, compiled", "torch", "float32", [8.0, 8.0, 8.0]),
        worker("matrix product", "peak", "mixed_bfloat16", [0.05] * 3),
        worker("ours", "ours", "mixed_bfloat16", [0.5, 0.5, 0.5]),
        worker("PyTorch", "torch", "mixed_bfloat16", [16.0, 16.0, 16.0]),
    ]


def test_ratios_are_of_the_same_round(workers):
    lines = {(line.contender, line.precision): line for line in throughput.results(workers, multiply_adds=10**9)}
    assert len(lines) == 6
    ours = lines["ours", "float32"]
    assert (ours.images_per_second, ours.lowest, ours.highest, ours.ours_is) == (8.0, 4.0, 8.0, 1.0)
    assert lines["stock Keras", "float32"].ours_is == 2.0  # of 1.5, 2 and 2
    assert lines["PyTorch", "float32"].ours_is == 1.25  # of 1.25, 1 and 1.25
    assert lines["PyTorch, compiled", "float32"].ours_is == 8.0  # of 8, 8 and 4
    assert lines["PyTorch", "mixed_bfloat16"].ours_is == 32.0
    peak = 2 * 2048**3 * 2 / 0.1
    np.testing.assert_allclose(ours.peak_gflops, peak / 1e9)
    np.testing.assert_allclose(ours.utilisation, 6 * 8e9 / peak)
    assert (ours.megabytes, ours.first_step_seconds, ours.rounds) == (300.0, 9.5, 3)


def test_bfloat16_meets_the_faster_variant_of_both_precisions(workers):
    assert throughput.verdicts(workers) == [
        "resnet20 train float32: 2.00 x stock Keras (float32)",
        "resnet20 train float32: 1.25 x PyTorch (float32)",
        "resnet20 train mixed_bfloat16: 4.00 x stock Keras (float32)",
        "resnet20 train mixed_bfloat16: 2.50 x PyTorch (float32)",  # of 2.5, 2 and 5
    ]


def test_training_from_jpegs_is_held_against_both_limits(workers):
    workers += [
        worker("ours, JPEGs", "jpegs", "float32", [1.25, 1.0, 2.0]),
        worker("decoder", "decode", "float32", [0.25, 0.25, 0.5]),
        worker("ours, JPEGs", "jpegs", "mixed_bfloat16", [1.0, 1.0, 1.0]),
        worker("decoder", "decode", "mixed_bfloat16", [0.5, 0.5, 0.5]),
    ]
    lines = [line for line in throughput.verdicts(workers) if "JPEGs" in line]
    # float32: 8 and 32 images/s allow 6.4; 6.4, 8 and 4 were reached, in the last round of 3.2
    says = "resnet20 train {}: from JPEGs {} images/s, {}% of what training and decoding ({}) allow together"
    assert lines == [says.format("float32", 6.4, 125.0, 32), says.format("mixed_bfloat16", 8.0, 100.0, 16)]
    assert "decoder" not in {line.contender for line in throughput.results(workers, 10**9)}


def test_a_data_set_that_is_not_there_is_named(capsys):
    with pytest.raises(SystemExit) as ended:
        throughput.main(["--dataset", "nowhere/"])
    assert ended.value.code == 2
    assert "nowhere" in capsys.readouterr().err


def test_csv_and_picture(workers, tmp_path):
    lines = throughput.results(workers, 10**9)
    throughput.write_csv(lines, tmp_path / "a.csv")
    with open(tmp_path / "a.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    columns = (
        "processor,instruction_sets,onednn_limit,"
        "arch,mode,precision,batch_size,image_size,contender,images_per_second,lowest,highest,ours_is,utilisation,"
    )
    assert {row["processor"] for row in rows} == {processor.describe().name}
    assert ",".join(rows[0]) == columns + "peak_gflops,megabytes,first_step_seconds,rounds"
    assert [row["contender"] for row in rows] == [line.contender for line in lines]
    assert [float(row["ours_is"]) for row in rows] == [line.ours_is for line in lines]
    drawing.throughput(lines, tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert "1.25x" in throughput.table(lines)


def test_peers_that_fail_are_left_out_and_ours_may_not(monkeypatch):
    started = []

    class Fake(turns.Worker):
        def __init__(self, contender):
            if contender.name == "broken":
                raise RuntimeError("ModuleNotFoundError: No module named 'torch'")
            self.contender, self.rounds = contender, []
            started.append(self)

        def settle(self, seconds):
            assert all(not other.rounds for other in started)

        def round(self):
            order.append(self.contender.name)

        def close(self):
            order.append("closed")

    order, said = [], []
    monkeypatch.setattr(turns, "Worker", Fake)
    made = [turns.Contender(name, "torch", task("torch", "train")) for name in ("a", "broken", "b")]
    left = turns.run(made, 3, 1.0, said.append)
    assert [w.contender.name for w in left] == ["a", "b"]
    assert order == ["a", "b", "b", "a", "a", "b", "closed", "closed"]  # each begins in its turn
    assert said == ["broken, float32: left out, ModuleNotFoundError: No module named 'torch'"]
    with pytest.raises(RuntimeError, match="No module"):
        turns.run([turns.Contender("broken", "ours", task("ours", "train"))], 1, 1.0)


class Sized(turns.Worker):
    """A peer that takes 1 ms an image and 4 ms a step, needs 100 MB an image and fails at a batch of 32."""

    ended: ClassVar[list[int]] = []

    def __init__(self, contender):
        if contender.task.batch_size == 32:
            raise RuntimeError("RuntimeError: too large")
        self.contender, self.steps, self.seconds = contender, 1, []
        self.megabytes = 100.0 * contender.task.batch_size

    def settle(self, seconds):
        self.seconds, self.turn = [], seconds

    def round(self):
        self.seconds.append(0.004 + 0.001 * self.batch)

    def close(self):
        self.ended.append(self.batch)


@pytest.mark.parametrize(
    ("multiples", "memory", "best", "ended", "words"),
    [
        ((1, 2, 4), math.inf, 16, [4, 8], ["batch 16 is the best (images/s by batch 4: 500.0, 8: 666.7, 16: 800.0)"]),
        (
            (1, 2, 8),
            math.inf,
            8,
            [4],
            ["left out, RuntimeError: too large", "batch 8 is the best (images/s by batch 4: 500.0, 8: 666.7)"],
        ),
        ((1, 2, 4), 1000.0, 8, [4], ["batch 16: left out, it may take 1,600 MB", "batch 8 is the best"]),
        ((1,), math.inf, 4, [], []),
    ],
)
def test_a_peer_takes_the_batch_at_which_it_is_fastest(monkeypatch, multiples, memory, best, ended, words):
    monkeypatch.setattr(turns, "Worker", Sized)
    monkeypatch.setattr(Sized, "ended", [])
    monkeypatch.setattr(machine, "available_megabytes", lambda: memory)
    said = []
    left = turns.start(turns.Contender("PyTorch", "torch", task("torch", "train"), multiples), 9.0, said.append)
    assert (left.batch, left.seconds, left.turn) == (best, [], 9.0)
    assert Sized.ended == ended
    assert [word in line for word, line in zip(words, said, strict=True)] == [True] * len(words)


def test_the_batch_of_the_best_variant_is_named(workers):
    larger = worker("PyTorch", "torch", "float32", [1.0, 1.0, 2.0], steps=1)
    larger.contender = turns.Contender("PyTorch", "torch", dataclasses.replace(larger.contender.task, batch_size=16))
    lines = throughput.verdicts([*workers, larger])
    assert "resnet20 train float32: 0.50 x PyTorch (float32, batch 16)" in lines


@pytest.mark.parametrize("ours", [(1,), (1, 4)])
def test_pytorch_chooses_its_batch_and_ours_where_asked(ours):
    asked = f"--our_batches={','.join(map(str, ours))}"
    options = throughput.parse(["--arch=resnet20", "--precision=float32", "--peers=keras,torch", asked])
    found = throughput.contenders("resnet20", "train", options.__class__(**vars(options), classes=0))
    assert {one.owner: one.multiples for one in found} == {
        "peak": (1,),
        "ours": ours,
        "keras": (1,),
        "torch": (1, 2, 4),
    }


def test_a_task_that_fails_gives_its_last_words():
    wrong = turns.Contender("ours", "ours", task("nobody", "train"))
    with pytest.raises(RuntimeError, match="KeyError: 'nobody'"):
        turns.Worker(wrong)


@pytest.mark.parametrize(("arch", "batch"), [("se_resnet20", 128), ("resnext50_32x4d", 32), ("vgg16_bn", 16)])
def test_any_network_is_measured_without_peers(arch, batch):
    options = throughput.parse(["--peers", "none", "--precision", "float32"])
    found = throughput.contenders(arch, "train", options.__class__(**vars(options), classes=0))
    assert [(one.owner, one.task.batch_size, one.task.graph) for one in found] == [
        ("peak", batch, None),
        ("ours", batch, None),
    ]


def test_multiply_adds_count_the_heads_in_training_only():
    train, test = (throughput.multiply_adds("googlenet", mode, 10, 224) for mode in ("train", "test"))
    # each: 1x1 convolution over 4x4 places to 128, 2048 -> 1024, 1024 -> 10; after 512 and 528 maps
    assert train - test == 16 * (512 + 528) * 128 + 2 * (2048 * 1024 + 1024 * 10)


@pytest.mark.parametrize("arguments", [["--mode=trian"], ["--peers=jax"], ["--precision=float16"]])
def test_unknown_choices_are_refused(arguments, capsys):
    with pytest.raises(SystemExit):
        throughput.parse(arguments)
    assert "is not one of" in capsys.readouterr().err


def test_multiples_of_a_batch_are_whole_numbers(capsys):
    with pytest.raises(SystemExit):
        throughput.parse(["--our_batches=1,0"])
    assert "--our_batches=1,0: give whole numbers from 1" in capsys.readouterr().err
