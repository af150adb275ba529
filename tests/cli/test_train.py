import dataclasses

import pytest

import cli.train
import tiny
from cli import registry
from common import distribution


@pytest.mark.parametrize(
    ("of_head", "said"),
    [("gaussian", "weight decay 0.001, he, classifier gaussian\n"), ("he", "weight decay 0.001, he\n")],
)
def test_the_start_says_how_the_weights_begin(monkeypatch, tmp_path, capsys, of_head, said):
    tiny.register(monkeypatch, tmp_path)
    tiny.run("--mode", "train", "--arch", "tiny", "--dry_run", "--classifier_initializer", of_head)
    assert said in capsys.readouterr().out


def test_the_start_names_both_weight_decays(monkeypatch, tmp_path, capsys):
    tiny.register(monkeypatch, tmp_path)
    given = ("--optimizer", "adamw", "--decoupled_weight_decay", "0.05", "--learning_rate", "0.001")
    tiny.run("--mode", "train", "--arch", "tiny", "--dry_run", *given)
    printed = capsys.readouterr().out
    assert "weight decay 0.001, decoupled 0.05, he\n" in printed
    assert "weight decay 0.001 is also part of the loss, beside adamw's own of 0.05" in printed


def test_the_start_names_the_recipe_and_the_augmentation(monkeypatch, tmp_path, capsys):
    tiny.register(monkeypatch, tmp_path)
    changed = dataclasses.replace(
        registry.find("tiny"), recipes={"modern": dict(schedule="cosine", cutmix=1.0, mixup=0.2, contrast=0.1)}
    )
    monkeypatch.setitem(registry.ARCHITECTURES, "tiny", changed)
    tiny.run("--mode", "train", "--arch", "tiny", "--dry_run", "--recipe", "modern", "--random_erasing", "0.25")
    printed = capsys.readouterr().out
    assert "augment  contrast 0.1, erasing 0.25, mixup 0.2 or CutMix 1\n" in printed  # digits are not mirrored
    assert "recipe   modern: momentum, learning rate 0.02 (cosine), batch 64" in printed
    assert "\nrecipe_name: modern\n" in printed  # of the file for --config
    tiny.run("--mode", "train", "--arch", "tiny", "--dry_run")
    printed = capsys.readouterr().out
    assert "augment" not in printed.partition("# for --config:")[0]
    assert "means nothing" not in printed
    tiny.run("--mode", "train", "--arch", "tiny", "--dry_run", "--vertical_flip", "--focal_gamma=3")
    printed = capsys.readouterr().out
    assert "note: --vertical_flip is left out: mirror images are forbidden in digits\n" in printed
    assert "note: --focal_gamma means nothing with --loss cross_entropy, only with focal\n" in printed
    assert "recipe   momentum, learning rate 0.02 (plateau), batch 64" in printed


@pytest.mark.parametrize(("worker", "said"), [(0, True), (1, False)])
def test_of_several_workers_the_chief_alone_prints_a_dry_run(monkeypatch, tmp_path, capsys, worker, said):
    tiny.register(monkeypatch, tmp_path)
    devices = dataclasses.replace(distribution.choose("one"), worker=worker)
    monkeypatch.setattr(distribution, "choose", lambda *_: devices)
    monkeypatch.setattr(cli.train, "dry_run", lambda *_: "expecting 3s")
    tiny.run("--mode", "train", "--arch", "tiny", "--dry_run")
    assert ("expecting 3s" in capsys.readouterr().out) == said
