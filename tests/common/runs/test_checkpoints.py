import json
import shutil

import keras
import numpy as np
import pytest

from common.errors import UserError
from common.runs import checkpoints


def small_model(units: int = 3) -> keras.Model:
    keras.utils.set_random_seed(1)
    x = inputs = keras.Input((4,), name="image")
    x = keras.layers.Dense(5, name="fc1")(x)
    return keras.Model(inputs, keras.layers.Dense(units, name="fc2")(x))


def values_of(model: keras.Model) -> list[np.ndarray]:
    return [variable.numpy() for variable in model.variables]


def saved(run, model, step: int, **state):
    return checkpoints.save(run, {"step": step, "best_step": None, **state}, {"model": model.variables})


def test_a_checkpoint_brings_back_every_value(tmp_path):
    model = small_model()
    wanted = values_of(model)
    saved(tmp_path, model, 7, best_top1=0.5)
    for variable in model.variables:
        variable.assign(variable * 0 - 1)
    checkpoint = checkpoints.newest(tmp_path)
    checkpoints.restore(checkpoint, {"model": model.variables})
    assert checkpoint.step == 7
    assert checkpoint.state["best_top1"] == 0.5
    for got, want in zip(values_of(model), wanted, strict=True):
        np.testing.assert_array_equal(got, want)


def test_restoring_lists_every_variable_that_does_not_fit(tmp_path):
    saved(tmp_path, small_model(3), 1)
    with pytest.raises(UserError) as caught:
        checkpoints.restore(checkpoints.newest(tmp_path), {"model": small_model(4).variables})
    assert "model:fc2/kernel is [5, 3], here [5, 4]" in str(caught.value)
    assert "model:fc2/bias is [3], here [4]" in str(caught.value)
    assert "fc1" not in str(caught.value)


def test_a_layer_that_is_missing_on_either_side_is_named(tmp_path):
    model = small_model()
    checkpoints.save(tmp_path, {"step": 1}, {"model": model.layers[1].variables})
    with pytest.raises(UserError, match="model:fc2/bias is not in the checkpoint"):
        checkpoints.restore(checkpoints.newest(tmp_path), {"model": model.variables})
    saved(tmp_path, model, 2)
    with pytest.raises(UserError, match="model:fc2/kernel is only in the checkpoint"):
        checkpoints.restore(checkpoints.newest(tmp_path), {"model": model.layers[1].variables})


def test_no_damage_loads_silently(tmp_path):
    model = small_model()
    folder = saved(tmp_path / "run", model, 1)
    for file in sorted(folder.iterdir()):
        content = file.read_bytes()
        damaged = [content[:keep] for keep in (0, 1, len(content) // 2, len(content) - 1)]
        for place in (len(content) // 3, content.find(b"1")):  # the second: a digit, so state.json stays JSON
            flipped = bytearray(content)
            flipped[place] ^= 1
            damaged.append(bytes(flipped))
        for bad in damaged:
            copy = tmp_path / "copy"
            shutil.copytree(folder, copy)
            (copy / file.name).write_bytes(bad)
            if bad.strip() == content.strip():  # state.json without its last line break is the same JSON
                checkpoints.open_checkpoint(copy)
            else:
                with pytest.raises(UserError, match="copy"):
                    checkpoints.open_checkpoint(copy)
            shutil.rmtree(copy)


def test_a_damaged_newest_gives_way_to_the_one_before(tmp_path):
    model = small_model()
    saved(tmp_path, model, 1)
    folder = saved(tmp_path, model, 2)
    (folder / "variables.index").write_bytes(b"")
    said = []
    assert checkpoints.newest(tmp_path, said.append).step == 1
    assert len(said) == 1
    assert "step-00000002/variables.index" in said[0]


def test_all_damaged_is_an_error_and_none_at_all_is_not(tmp_path):
    assert checkpoints.newest(tmp_path) is None
    folder = saved(tmp_path, small_model(), 1)
    (folder / checkpoints.STATE_FILE).write_text("{")
    with pytest.raises(UserError, match="every checkpoint is damaged"):
        checkpoints.newest(tmp_path, lambda _: None)


def test_best_is_the_step_that_the_newest_names(tmp_path):
    model = small_model()
    saved(tmp_path, model, 1)
    saved(tmp_path, model, 2)
    checkpoints.save(tmp_path, {"step": 3, "best_step": 1}, {"model": model.variables})
    assert checkpoints.best(tmp_path).step == 1
    shutil.rmtree(tmp_path / "checkpoints" / "step-00000001")
    assert checkpoints.best(tmp_path, lambda _: None).step == 3


def test_prune_keeps_the_newest_and_the_named(tmp_path):
    model = small_model()
    for step in (1, 2, 3, 4):
        saved(tmp_path, model, step)
    checkpoints.prune(tmp_path, [1], newest_kept=2)
    assert [folder.name for folder in checkpoints.folders(tmp_path)] == [
        "step-00000004",
        "step-00000003",
        "step-00000001",
    ]


def test_only_sound_checkpoints_count_as_kept(tmp_path):
    model = small_model()
    for step in (1, 2, 3, 4):
        saved(tmp_path, model, step)
    damaged = checkpoints.folder_at(tmp_path, 4)
    (damaged / "variables.index").write_bytes(b"")
    checkpoints.prune(tmp_path, [], newest_kept=1)
    assert [folder.name for folder in checkpoints.folders(tmp_path)] == ["step-00000003"]


def test_what_was_just_written_is_not_read_again(tmp_path, monkeypatch):
    model = small_model()
    written = [saved(tmp_path, model, step) for step in (1, 2)][-1]
    monkeypatch.setattr(checkpoints, "open_checkpoint", None)
    checkpoints.prune(tmp_path, [], 1, written)
    assert checkpoints.folders(tmp_path) == [written]


def test_amending_changes_the_state_and_nothing_else(tmp_path):
    model = small_model()
    folder = saved(tmp_path, model, 3, due=True, best_top1=0.25)
    before = checkpoints.open_checkpoint(folder).state
    assert checkpoints.amend(tmp_path, {"step": 3, "due": False, "best_step": 3}) == folder
    assert checkpoints.open_checkpoint(folder).state == before | {"due": False, "best_step": 3}
    (folder / checkpoints.STATE_FILE).write_text("{")
    with pytest.raises(UserError, match="damaged, not JSON"):
        checkpoints.amend(tmp_path, {"step": 3})


def test_a_kill_while_removing_leaves_nothing_that_looks_like_a_damaged_checkpoint(tmp_path, monkeypatch):
    model = small_model()
    for step in (1, 2):
        saved(tmp_path, model, step)

    def stop(_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints.shutil, "rmtree", stop)
        with pytest.raises(KeyboardInterrupt):
            checkpoints.prune(tmp_path, [])
    assert [folder.name for folder in checkpoints.folders(tmp_path)] == ["step-00000002"]
    checkpoints.sweep(tmp_path)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-00000002"]


def test_an_interrupted_write_leaves_nothing_that_looks_whole(tmp_path, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoints.os, "replace", stop)
    with pytest.raises(KeyboardInterrupt):
        saved(tmp_path, small_model(), 5)
    assert checkpoints.folders(tmp_path) == []
    assert list((tmp_path / "checkpoints").iterdir()) == []


def test_what_a_kill_left_half_written_is_swept_away(tmp_path):
    saved(tmp_path, small_model(), 1)
    leftover = tmp_path / "checkpoints" / ".writing-4711"
    leftover.mkdir()
    (leftover / "variables.index").write_bytes(b"half")
    checkpoints.sweep(tmp_path)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-00000001"]


def test_another_format_is_refused(tmp_path):
    folder = saved(tmp_path, small_model(), 1)
    state = json.loads((folder / checkpoints.STATE_FILE).read_text())
    (folder / checkpoints.STATE_FILE).write_text(json.dumps(state | {"format": 99}))
    with pytest.raises(UserError, match="format 99"):
        checkpoints.open_checkpoint(folder)


def test_transfer_takes_what_fits_and_names_what_is_new(tmp_path):
    source, target = small_model(3), small_model(4)
    for variable in source.variables:
        variable.assign(variable * 0 + 2)
    saved(tmp_path, source, 1)
    taken, left = checkpoints.transfer(checkpoints.newest(tmp_path), target.variables, None)
    assert taken == ["fc1/kernel", "fc1/bias"]
    assert left == ["fc2"]
    np.testing.assert_array_equal(target.get_layer("fc1").kernel.numpy(), np.full((4, 5), 2.0))
    assert not np.any(target.get_layer("fc2").kernel.numpy() == 2.0)
    assert checkpoints.transfer(checkpoints.newest(tmp_path), small_model(3).variables, ["fc2"])[0] == [
        "fc2/kernel",
        "fc2/bias",
    ]
