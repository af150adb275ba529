import json
from dataclasses import asdict, fields
from pathlib import Path

import pytest
import yaml

import tiny
from cli import budget, config_file, flag_tables, flags
from common.errors import UserError
from common.recipe import Recipe
from common.runs.config import RunConfig


@pytest.fixture
def write(tmp_path):
    def write(content, name="run.yaml"):
        path = tmp_path / name
        path.write_text(content, encoding="utf-8")
        return str(path)

    return write


def test_values_of_a_file_are_flags_and_those_beside_it_win(write):
    file = write("mode: train\nlearning_rate: 0.5\nflip: false\nschedule_boundaries: [10, 20]\nepochs: null\n")
    options = flags.parse(["--learning_rate", "0.25", "--config", file])
    assert (options.mode, options.learning_rate, options.flip) == ("train", 0.25, False)
    assert options.schedule_boundaries == (10, 20)
    assert "epochs" not in options.given
    assert {"learning_rate", "flip", "schedule_boundaries"} <= options.given


def test_json_is_read_too(write):
    options = flags.parse([f"--config={write(json.dumps({'mode': 'train', 'optimizer': 'adam'}), 'a.json')}"])
    assert (options.mode, options.optimizer) == ("train", "adam")


@pytest.mark.parametrize(
    ("content", "name", "value"),
    [
        ("device_normalise: off", "device_normalise", "off"),  # `off` is a bool in YAML 1.1
        ("device_normalise: on\nckpt: run", "device_normalise", "on"),
        ("ckpt: yes\nepochs: 2", "ckpt", "yes"),
        ("profile: 20:40", "profile", (20, 40)),  # 1240 in base 60 in YAML 1.1
        ("seed: 010", "seed", 10),  # 8 in YAML 1.1
        ("learning_rate: 1e-05", "learning_rate", 1e-5),
        ("flip: yes", "flip", True),
        ("flip: Off", "flip", False),
        ('{"flip": false}', "flip", False),
        ("snapshots: true", "snapshots", "all"),
        ("snapshots: false", "snapshots", None),
        ("epochs: ~", "epochs", None),
    ],
)
def test_a_value_means_what_the_flag_takes(write, content, name, value):
    options = flags.parse(["--mode=train", "--config", write(content)])
    assert options.values[name] == value
    assert (name in options.given) == (value is not None)


def test_image_files_may_stand_in_it(write):
    options = flags.parse(["--config", write("mode: predict\nimages: [a.jpg, b.jpg]\nrestore: run\n")])
    assert (options.images, options.restore) == (["a.jpg", "b.jpg"], "run")


@pytest.mark.parametrize(
    "given", [["--images", "c.jpg", "d.jpg"], ["--images=c.jpg,d.jpg"], ["-images=c.jpg", "d.jpg"]]
)
def test_image_files_beside_it_replace_those_in_it(write, given):
    file = write("mode: predict\nimages: [a.jpg, b.jpg]\nrestore: run\n")
    for arguments in (["--config", file, *given], [*given, "--config", file]):
        assert flags.parse(arguments).images == ["c.jpg", "d.jpg"]


def test_a_second_file_is_refused(write):
    one, two = write("mode: train\n", "one.yaml"), write("epochs: 3\n", "two.yaml")
    for arguments in (["--config", one, "--config", two], [f"--config={one}", f"-config={one}"]):
        with pytest.raises(UserError, match="--config is given twice; put all flags into one file"):
            flags.parse(arguments)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("learnig_rate: 0.1", "key: 'learnig_rate' is not known; did you mean learning_rate?"),
        ("config: other.yaml", "key: 'config' is not known"),
        ("- 1\n- 2", "give names of flags and their values"),
        ("seed: 1\nepochs: 2\nseed: 3", "seed stands twice, line 3"),
        ("xyzzy: 3", "key: 'xyzzy' is not known; --help lists the flags"),
        ("a: [1", "not YAML or JSON, line 1"),
        ("seed: !!int x", "not YAML or JSON"),
        ("mode: {a: 1}", "mode: give a value or a list"),
        ("imported: {file: a.npz}\nrecipe: {}", "use --restore"),
        ("split_seed: 3\nseed: 5\nrecipe: {}", "of an ensemble, whose splits were drawn by seed 3"),
        ("flip: maybe", "flip: maybe: give true or false"),
        ("flip: 1", "flip: 1: give true or false"),
        ("layers: [[conv1], conv2]", "layers: give a value or a list"),
        ("recipe: {learning_rate_batch: 256}", "is not a run's config.json; its recipe, options or started_from"),
        ("recipe: {learning_rate: a, learning_rate_batch: 256, batch_size: 1}", "is not a run's config.json"),
        ("recipe: {learning_rate: 1, learning_rate_batch: 256, batch_size: 0}", "is not a run's config.json"),
        ("recipe: {}\noptions: [a]", "is not a run's config.json"),
        ("recipe: {}\nstarted_from: x", "is not a run's config.json"),
    ],
)
def test_what_is_wrong_with_a_file_is_one_line(write, content, message):
    file = write(content)
    with pytest.raises(UserError) as caught:
        flags.parse(["--config", file])
    assert str(caught.value).startswith(f"--config={file}: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_run_that_trained_on_gets_its_splits_from_the_one_it_started_from(write):
    file = write(json.dumps({"seed": 5, "split_seed": 3, "recipe": {}, "started_from": {"path": "first"}}))
    assert flags.parse(["--mode=train", "--config", file]).restore == "first"
    alone = write(json.dumps({"seed": 5, "split_seed": None, "recipe": {}}))
    assert flags.parse(["--mode=train", "--config", alone]).seed == 5


def test_a_missing_file_and_no_file(tmp_path):
    with pytest.raises(UserError, match=r"nowhere.yaml: No such file"):
        flags.parse(["--mode=train", f"--config={tmp_path}/nowhere.yaml"])
    with pytest.raises(UserError, match="--config"):
        flags.parse(["--mode=train", "--config="])


def test_the_rate_of_a_run_is_given_for_the_batch_it_was_meant_for():
    """0.025 at batch 64 is 0.1 at 256; with another batch beside the file it is scaled from there."""
    recipe = {"learning_rate": 0.025, "learning_rate_batch": 256, "batch_size": 64}
    found = config_file.of_run({"arch": "resnet18", "options": {"shortcut": "B"}, "recipe": recipe, "seed": 3})
    assert found["learning_rate"] == 0.1
    assert (found["shortcut"], found["seed"], found["learning_rate_batch"]) == ("B", 3, 256)


@pytest.mark.parametrize(
    ("meant_for", "batch", "rate"),
    [(256, 20, 0.01), (256, 48, 0.1), (100, 7, 0.3), (128, 96, 0.015), (96, 128, 1e-5), (7, 1000, 1 / 3)],
)
def test_a_runs_rate_comes_back_to_the_last_bit(meant_for, batch, rate):
    """As `setup.resolve` scales it: rate times (batch / meant_for)."""
    resolved = rate * (batch / meant_for)
    recipe = {"learning_rate": resolved, "learning_rate_batch": meant_for, "batch_size": batch}
    assert config_file.of_run({"recipe": recipe})["learning_rate"] * (batch / meant_for) == resolved
    assert config_file.of_run({"recipe": recipe})["learning_rate"] == pytest.approx(rate, rel=1e-15)


def test_a_recipe_beside_a_runs_config_stands_in_for_the_runs_own(write):
    recipe = {"learning_rate": 0.025, "learning_rate_batch": 0, "batch_size": 64, "epochs": 3}
    file = write(json.dumps({"arch": "resnet18", "seed": 3, "recipe": recipe, "recipe_name": "small"}), "config.json")
    options = flags.parse(["--config", file, "--recipe", "modern", "--epochs", "5"])
    assert (options.recipe, options.arch, options.seed, options.epochs) == ("modern", "resnet18", 3, 5)
    assert not {"learning_rate", "batch_size"} & options.given
    assert flags.parse(["--config", file]).recipe == "small"
    assert flags.parse(["--config", file]).learning_rate == 0.025


def test_the_recipes_name_stands_in_the_file_of_a_run():
    found = config_file.of_run({"recipe": {"epochs": 3}, "recipe_name": "modern", "minutes": 5.0})
    assert found == {"mode": "train", "epochs": 3, "recipe": "modern", "minutes": 5.0}


def test_a_rate_beside_a_runs_config_is_taken_as_it_is(write):
    """The run's own was 0.5 at a batch of 256; as on a command line, a rate that is given is not scaled."""
    recipe = {"learning_rate": 0.125, "learning_rate_batch": 256, "batch_size": 64}
    file = write(json.dumps({"arch": "resnet18", "recipe": recipe}), "config.json")
    options = flags.parse(["--config", file, "--learning_rate", "0.05"])
    assert (options.mode, options.learning_rate) == ("train", 0.05)
    assert "learning_rate_batch" not in options.given
    assert flags.parse(["--config", file]).learning_rate == 0.5
    both = flags.parse(["--config", file, "--learning_rate", "0.05", "--learning_rate_batch", "32"])
    assert both.learning_rate_batch == 32


def test_images_of_a_file_may_have_commas_in_their_names(write, tmp_path):
    for name in ("a,b.jpg", "c.jpg"):
        (tmp_path / name).write_bytes(b"")
    names = [str(tmp_path / name) for name in ("a,b.jpg", "c.jpg")]
    file = write(f"mode: predict\nimages: {json.dumps(names)}")
    assert flags.parse(["--config", file]).images == names


def test_only_flags_of_the_command_line_count_as_typed(write):
    options = flags.parse(["--config", write("mode: train\nepochs: 3"), "--noflip", "--seed=2"])
    assert options.typed == {"config", "flip", "seed"}
    assert {"epochs", "mode"} <= options.given


def test_all_of_config_json_is_a_flag_or_known_to_be_none():
    """So that a further field is not forgotten, as `minutes` was."""
    written = {field.name for field in fields(RunConfig)} | {"versions", "command"}
    known = {flag.name for group in flag_tables.GROUPS.values() for flag in group}
    assert written - {*config_file.RECORDED} - known == {"recipe_name", "options", "started_from"}
    assert {*config_file.RECORDED} <= written


def test_a_config_json_of_an_earlier_version_is_a_file_of_flags():
    earlier = Path(__file__).parents[1] / "common/runs/earlier_config.json"
    options = flags.parse(["--mode=train", "--config", str(earlier)])
    assert (options.arch, options.shortcut, options.image_size, options.recipe) == ("resnet20", "A", 16, "lab")


def config_of(command: flags.Options, **more) -> dict:
    """config.json of a command, where nothing is found out but what it says."""
    names = ("arch", "dataset", "image_size", "seed", "precision", "jit", "deterministic", "validation_share")
    named = {name: command.values[name] for name in (*names, "minutes", "device_normalise")}
    found = {"options": {}, "classes": ("a", "b"), "preprocessing": {"resize": 64}, "recipe": Recipe(), **named, **more}
    return asdict(RunConfig(**found))


SAMPLES = {"mode": "train", "arch": "resnet18", "dataset": "tfds:mnist", "ckpt": "run", "restore": "/runs/first"}
SAMPLES |= {"snapshots": "all", "profile": "20:40", "validation_share": "0.25", "minutes": "2.5"}


def sample(flag: flag_tables.Flag) -> str:
    """A flag with a value that is not its default."""
    if flag.kind is bool:
        return f"--no{flag.name}" if flag.default else f"--{flag.name}"
    other = next((name for name in flag.setting.names if name != flag.default), None)
    return f"--{flag.name}={SAMPLES.get(flag.name) or other or (flag.default or 0) + 3}"


def test_every_flag_of_a_run_stands_in_what_a_dry_run_prints(write):
    of_runs = [flag for flag in (*flag_tables.RUN, *flag_tables.DEVICES) if "train" in flag.modes]
    of_runs = [flag for flag in of_runs if flag.name not in ("config", "dry_run")]
    first = flags.parse(["--image_size=64", *map(sample, of_runs)])
    assert all(first.values[flag.name] != flag.default for flag in of_runs)
    config = config_of(first, started_from={"path": "/runs/first", "checkpoint": "step-1"})
    file = write(config_file.text(config_file.of_command(config, first.values, first.given)))
    again = flags.parse(["--config", file])
    for flag in of_runs:
        assert again.values[flag.name] == first.values[flag.name], flag.name
    assert again.image_size == 64
    resolved = {name: value for name, value in asdict(Recipe()).items() if value not in (None, ())}
    assert {name: again.values[name] for name in resolved} == resolved


def test_a_recipe_beside_what_a_dry_run_prints_stands_in_for_its_own(write):
    first = flags.parse(["--mode=train", "--arch=resnet18", "--keep=5", "--image_size=64", "--learning_rate=0.5"])
    config = config_of(first, options={"shortcut": "A"}, recipe=Recipe(learning_rate=0.5))
    file = write(config_file.text(config_file.of_command(config, first.values, first.given)))
    options = flags.parse(["--config", file, "--recipe=small", "--epochs=3"])
    assert (options.recipe, options.arch, options.keep, options.shortcut) == ("small", "resnet18", 5, "A")
    assert options.given & ({*asdict(Recipe())} | {"image_size"}) == {"epochs"}
    options = flags.parse(["--config", file, "--recipe=small", "--image_size=96"])
    assert options.image_size == 96
    flat = write("mode: train\nlearning_rate: 0.5\nimage_size: 64\n", "flat.yaml")  # flags, which win over a recipe
    options = flags.parse(["--config", flat, "--recipe=small"])
    assert (options.learning_rate, options.image_size) == (0.5, 64)


@pytest.mark.slow
def test_what_a_dry_run_prints_is_the_same_command(monkeypatch, tmp_path, capsys, write):
    tiny.register(monkeypatch, tmp_path)
    monkeypatch.setattr(budget, "fit", lambda *_: 30)  # what fits into five minutes varies from one time to the next
    given = ["--optimizer", "adam", "--norm", "none", "--seed", "5", "--nodecay_biases_and_norms"]
    given += ["--minutes", "5", "--ensemble", "2", "--keep", "3", "--profile", "2:3", "--noreport"]
    tiny.start("run", "--dry_run", *given, "--precision", "float32")
    first = capsys.readouterr().out
    body = first[first.index("# for --config:") : first.index("expecting ")]
    assert yaml.safe_load(body)["recipe"]["optimizer"] == "adam"

    for file in (body, first):  # the flags alone, or all that was printed
        tiny.run("--dry_run", "--config", write(file))
        second = capsys.readouterr().out
        assert second[: second.index("expecting ")] == first[: first.index("expecting ")]


@pytest.mark.slow
def test_an_earlier_runs_config_begins_the_same_run(monkeypatch, tmp_path):
    tiny.register(monkeypatch, tmp_path)
    tiny.start("first", "--optimizer", "adam", "--activation", "elu", "--epochs", "1")
    tiny.run("--mode", "train", "--config", "first/config.json", "--ckpt", "second")

    one, two = (json.loads((tmp_path / name / "config.json").read_text()) for name in ("first", "second"))
    assert {**one, "command": None} == {**two, "command": None}
    rows = [(tmp_path / name / "metrics.csv").read_text() for name in ("first", "second")]
    assert rows[0] == rows[1]
