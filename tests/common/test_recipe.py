"""The recipe: checked when made, written to and read from JSON, compared."""

import dataclasses
import json

import pytest

from common.errors import UserError
from common.recipe import Recipe, differences, from_dict, idle, setting


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"optimizer": "momentun"}, "did you mean momentum"),
        ({"schedule": "quadratic"}, "choose one of"),
        ({"learning_rate": 0.0}, "above 0"),
        ({"learning_rate": float("nan")}, "learning_rate"),
        ({"momentum": 1.5}, r"in \[0, 1\)"),
        ({"batch_size": 0}, "batch_size"),
        ({"scale_range": (480, 256)}, "smaller first"),
        ({"schedule_boundaries": (48000, 32000)}, "rising"),
        ({"schedule": "piecewise"}, "--schedule_boundaries"),
        ({"warmup": "gradual"}, "--warmup_epochs"),
        ({"warmup": "gradual", "warmup_epochs": 1.0, "warmup_factor": 1.1}, "warmup_factor"),
        ({"learning_rate": 0.01, "minimum_learning_rate": 0.1}, "above --learning_rate"),
    ],
)
def test_mistakes_are_named(fields, words):
    with pytest.raises(UserError, match=words) as raised:
        Recipe(**fields)
    assert raised.value.exit_code == 2
    assert "\n" not in str(raised.value)


def test_fields_that_mean_nothing_are_named():
    recipe = Recipe(schedule="cosine", focal_gamma=3.0, warmup_epochs=2.0, optimizer="lars")
    assert idle(recipe, ("focal_gamma", "warmup_epochs", "momentum", "minimum_learning_rate", "epochs")) == [
        "note: --warmup_epochs means nothing with --warmup none, only with constant or gradual",
        "note: --focal_gamma means nothing with --loss cross_entropy, only with focal",
    ]
    assert idle(recipe, ()) == []
    used = Recipe(loss="focal", warmup="gradual", warmup_epochs=2.0, auto_augment="rand", schedule="plateau")
    assert idle(used, [one.name for one in dataclasses.fields(Recipe)][:3]) == []


def test_what_a_field_goes_with_exists():
    """Each names another field and values that it may have."""
    fields = {one.name: one for one in dataclasses.fields(Recipe)}
    conditional = [one for one in fields.values() if one.metadata["of"]]
    assert len(conditional) > 15
    for one in conditional:
        other, *values = one.metadata["of"]
        assert set(values) < set(setting(fields[other]).names)
        assert setting(one).help.startswith(", ".join(values) + ": ")


def test_goes_through_json_unchanged():
    recipe = Recipe(schedule="piecewise", schedule_boundaries=(32000, 48000), learning_rate=0.1, epochs=3)
    assert from_dict(json.loads(json.dumps(dataclasses.asdict(recipe)))) == recipe


def test_unknown_field_is_refused():
    with pytest.raises(UserError, match="did you mean learning_rate"):
        from_dict({"learnin_rate": 0.1})


def test_differences_name_field_and_both_values():
    assert differences(Recipe(), Recipe()) == []
    assert differences(Recipe(), Recipe(l1=0.5, epochs=4)) == ["epochs: None -> 4", "l1: 0.0 -> 0.5"]
