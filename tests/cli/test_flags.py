import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from cli import flag_tables, flags, registry
from common.errors import UserError
from common.recipe import GROUPS, Recipe

ROOT = Path(flags.__file__).parents[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--mdoe", "train"], "--mdoe: no such flag; did you mean --mode?"),
        (["--zzz=1"], "--zzz: no such flag; see --help"),
        (
            ["--mode", "trian"],
            "--mode: 'trian' is not known; did you mean train? choose one of: compare, export, features",
        ),
        (["--optimizer=sdg"], "did you mean sgd?"),
        (["--learning_rate=fast"], "--learning_rate=fast"),
        (["--batch_size", "1.5"], "--batch_size=1.5"),
        (["--scale_range=a,b"], "--scale_range: give whole numbers"),
        (["--log_every=0"], "--log_every=0: must be a whole number of at least 1"),
        (["train"], "'train' is not a flag"),
        (["--flip", "yes"], "--flip takes no value; use --flip or --noflip"),
        (["--flip=maybe"], "--flip takes no value; use --flip or --noflip"),
        (["--mode=train", "--restore", ""], "--restore is empty"),
        (["--mode=train", "--ckpt="], "--ckpt is empty"),
        (["--mode=predict", "--images", ""], "--images: a name is empty"),
        (["--seed=99999999999999999999"], "--seed=99999999999999999999: must be a whole number in [0, 2,147,483,647]"),
        (["--image_size=99999"], "--image_size=99999: must be a whole number in [1, 8,192]"),
        (["--learning_rate=inf"], "--learning_rate=inf: must be a finite number above 0"),
        (["--learning_rate=nan"], "--learning_rate=nan: must be a finite number above 0"),
        (["--beta_1=1"], "--beta_1=1.0: must be a finite number in [0, 1)"),
        (["--mode=test", "--epochs=3"], "--epochs means nothing in --mode=test"),
        (["--mode=train", "--split=validation"], "--split means nothing in --mode=train"),
    ],
)
def test_mistakes_name_the_flag_and_what_to_do(arguments, message):
    with pytest.raises(UserError) as caught:
        flags.parse(arguments)
    assert message in str(caught.value)
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)


def test_no_argument_says_in_two_lines_what_to_type():
    done = subprocess.run([sys.executable, "alexnet.py"], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 2
    assert "python alexnet.py --mode train" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (["--images", "a.jpg", "b.jpg"], ["a.jpg", "b.jpg"]),
        (["--images=a.jpg,b.jpg"], ["a.jpg", "b.jpg"]),
        (["--images", "one,two.jpg"], ["one,two.jpg"]),  # a file of that name
        (["--images", "*.png"], ["x.png", "y.png"]),
        (["--images", "none*.png"], ["none*.png"]),  # which reading then refuses by its name
    ],
)
def test_images_may_be_several_and_patterns(arguments, wanted, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("x.png", "y.png", "one,two.jpg"):
        (tmp_path / name).touch()
    options = flags.parse(["--mode=predict", *arguments, "--restore", "run"])
    assert (options.images, options.restore) == (wanted, "run")
    assert {"images", "restore"} <= options.given


def test_values_arrive_with_their_types():
    options = flags.parse(
        ["--mode=train", "--learning_rate", "0.5", "--noflip", "--schedule_boundaries", "10,20", "--epochs=3"]
    )
    assert (options.mode, options.learning_rate, options.flip) == ("train", 0.5, False)
    assert (options.schedule_boundaries, options.epochs) == ((10, 20), 3)
    assert options.given == {"mode", "learning_rate", "flip", "schedule_boundaries", "epochs"}
    assert (options.dataset, options.seed) == ("digits", 0)


def test_a_flag_overrides_its_field_and_no_other():
    alexnet = registry.find("alexnet")
    changed = flags.recipe(flags.parse(["--weight_decay=0.25", "--schedule=cosine"]), alexnet)
    for field in fields(Recipe):
        wanted = {"weight_decay": 0.25, "schedule": "cosine"}.get(field.name, getattr(alexnet.recipe, field.name))
        assert getattr(changed, field.name) == wanted


def test_the_papers_recipe():
    alexnet = registry.find("alexnet")
    paper = flags.recipe(flags.parse(["--recipe=paper"]), alexnet)
    assert (paper.pca_lighting, paper.brightness, paper.weight_decay) == (0.1, 0.0, 0.0005)
    assert alexnet.recipe.pca_lighting == 0
    densenet = registry.find("densenet121")  # its recipe is its paper's
    assert flags.recipe(flags.parse(["--recipe=paper"]), densenet) == densenet.recipe


@pytest.mark.parametrize("name", [name for name in registry.RECIPES if name not in ("lab", "paper")])
def test_a_named_recipe_changes_what_it_says_and_flags_beside_it_win(name):
    """For every network that has it; a name that is no hyper-parameter, or a value out of range, would be refused."""
    for network in registry.ARCHITECTURES.values():
        if name in network.recipe_names:
            changes = dict(network.changes(name))
            made = flags.recipe(flags.parse([f"--recipe={name}", "--weight_decay=0.25"]), network)
            assert changes.pop("image_size", 32) % 32 == 0
            for field in fields(Recipe):
                before = changes.get(field.name, getattr(network.recipe, field.name))
                assert getattr(made, field.name) == (0.25 if field.name == "weight_decay" else before)


def test_a_network_without_the_recipe_lists_those_it_has():
    options = flags.parse(["--recipe=modern"])
    with pytest.raises(UserError) as caught:
        flags.recipe(options, registry.find("vgg16"))
    assert str(caught.value) == "--recipe=modern: vgg16 has no such recipe, only lab, paper"
    with pytest.raises(UserError, match=r"--recipe=small: resnet20 has no such recipe, only lab, paper, modern"):
        flags.recipe(flags.parse(["--recipe=small"]), registry.find("resnet20"))
    with pytest.raises(UserError, match=r"--recipe: 'modren' is not known; did you mean modern\?"):
        flags.parse(["--recipe=modren"])


def test_help_lists_the_recipes_of_the_family():
    assert re.search(r"each \[lab, paper\] \(default lab\)", " ".join(flags.help_text("alexnet.py", "alexnet").split()))
    shown = " ".join(flags.help_text("resnet34.py", "resnet34").split())
    assert "each [lab, paper, modern, small] (default lab)" in shown


def test_every_recipe_field_is_a_flag_and_every_recipe_flag_a_field():
    named = [flag.name for group in GROUPS for flag in flag_tables.GROUPS[group]]
    assert sorted(named) == sorted(field.name for field in fields(Recipe))


@pytest.mark.parametrize("family", ["alexnet", None])
def test_help_shows_every_flag_with_its_default(family):
    text = flags.help_text("alexnet.py" if family else "train.py", family)
    own = {option.name for network in registry.FAMILIES.get(family, ()) for option in network.options}
    elsewhere = registry.OPTIONS - own if family else set()
    for group in flag_tables.GROUPS.values():
        for flag in group:
            shown = re.search(rf"^  --(\[no\])?{flag.name}\s", text, re.MULTILINE)
            assert bool(shown) == (flag.name not in elsewhere), flag.name
    assert max(map(len, text.splitlines())) <= 120
    if family:
        assert "(default 0.0005)" in text  # AlexNet's weight decay
        assert "share of values dropped (default 0.5)" in text
        assert "saved_model,keras)" in text


@pytest.mark.parametrize("spelling", ["--help", "-h", "-help", "--helpfull"])
def test_all_spellings_of_help(spelling):
    assert flags.wants_help(["--mode", "train", spelling])


def test_help_may_be_cut_short_by_what_reads_it():
    with subprocess.Popen(
        [sys.executable, "alexnet.py", "--help"], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as program:
        program.stdout.close()
        assert program.stderr.read() == b""
    assert program.returncode == 1
