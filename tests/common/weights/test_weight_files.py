import io
import json
import os
import pickle
import struct
import zipfile

import h5py
import numpy as np
import pytest
from safetensors.numpy import save_file

from common.errors import UserError
from common.weights import weight_files

KERNEL = np.random.default_rng(0).normal(size=(3, 3, 2, 4)).astype(np.float32)
BIAS = np.arange(4, dtype=np.float32)


def refusal(path) -> str:
    with pytest.raises(UserError) as caught:
        weight_files.read(path)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message


def same(found, wanted):
    assert found.keys() == wanted.keys()
    for name in wanted:
        np.testing.assert_array_equal(found[name], wanted[name])
        assert found[name].dtype == wanted[name].dtype


def test_state_dicts_keep_their_names(tmp_path):
    arrays = {"layer1.0.weight": KERNEL, "layer1.0.bias": BIAS, "half": BIAS.astype(np.float16)}
    np.savez(tmp_path / "plain.npz", **arrays)
    np.savez_compressed(tmp_path / "packed.npz", **arrays)
    save_file(arrays, tmp_path / "state.safetensors")
    for name in ("plain.npz", "packed.npz", "state.safetensors"):
        same(weight_files.read(tmp_path / name), arrays)


def keras3(path, layers, name="name"):
    """Keras 3's layout: a class's name and number above, the layer's own name beside its variables."""
    with h5py.File(path, "w") as file:
        for number, (layer, arrays) in enumerate(layers.items()):
            group = file.create_group(f"layers/conv2d_{number}/vars")
            group.attrs[name] = layer
            for i, array in enumerate(arrays):
                group.create_dataset(str(i), data=array)


def test_layers_of_keras_3_go_by_name_whatever_their_place(tmp_path):
    keras3(tmp_path / "a.weights.h5", {"second": [KERNEL, BIAS], "first": [2 * KERNEL]})
    wanted = {"second/0": KERNEL, "second/1": BIAS, "first/0": 2 * KERNEL}
    same(weight_files.read(tmp_path / "a.weights.h5"), wanted)
    with zipfile.ZipFile(tmp_path / "a.keras", "w") as archive:
        archive.write(tmp_path / "a.weights.h5", "model.weights.h5")
        archive.writestr("config.json", "not looked at")
    same(weight_files.read(tmp_path / "a.keras"), wanted)


def test_what_keras_itself_saves(tmp_path):
    import keras

    model = keras.Sequential(
        [
            keras.Input((4, 4, 2)),
            keras.layers.Conv2D(4, 3, name="conv"),
            keras.layers.BatchNormalization(name="norm"),
            keras.layers.Flatten(),
            keras.layers.Dense(3, name="fc"),
        ]
    )
    model.save(tmp_path / "m.keras")
    model.save_weights(tmp_path / "m.weights.h5")
    wanted = {f"{layer.name}/{i}": v for layer in model.layers for i, v in enumerate(layer.get_weights())}
    assert list(wanted) == [*("conv/0", "conv/1", "norm/0", "norm/1", "norm/2", "norm/3"), *("fc/0", "fc/1")]
    same(weight_files.read(tmp_path / "m.keras"), wanted)
    same(weight_files.read(tmp_path / "m.weights.h5"), wanted)


def test_the_older_h5_of_keras_2(tmp_path):
    with h5py.File(tmp_path / "old.h5", "w") as file:
        file.attrs["layer_names"] = [b"conv", b"pool"]
        group = file.create_group("conv")
        group.attrs["weight_names"] = [b"conv/kernel:0", b"conv/bias:0"]
        group["conv/kernel:0"], group["conv/bias:0"] = KERNEL, BIAS
        file.create_group("pool").attrs["weight_names"] = np.array([], "S1")
    same(weight_files.read(tmp_path / "old.h5"), {"conv/0": KERNEL, "conv/1": BIAS})


def raw_npy(path, dumped: bytes) -> None:
    """A .npy file whose one object is `dumped`."""
    with open(path, "wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|O", "fortran_order": False, "shape": ()})
        file.write(dumped)


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4])
def test_a_dictionary_of_layers_in_npy(tmp_path, protocol):
    layers = {"conv1": [KERNEL, BIAS], "fc6": [np.asfortranarray(KERNEL[0, 0]), BIAS.astype(">f8")]}
    raw_npy(tmp_path / "a.npy", pickle.dumps(np.array(layers, object), protocol))
    wanted = {"conv1/0": KERNEL, "conv1/1": BIAS, "fc6/0": KERNEL[0, 0], "fc6/1": BIAS.astype(">f8")}
    same(weight_files.read(tmp_path / "a.npy"), wanted)


def test_npy_as_numpy_saves_it_and_with_named_parts(tmp_path):
    np.save(tmp_path / "a.npy", {"conv1": {"biases": BIAS, "weights": KERNEL}}, allow_pickle=True)
    same(weight_files.read(tmp_path / "a.npy"), {"conv1/0": KERNEL, "conv1/1": BIAS})


def test_npy_of_python_2(tmp_path):
    # What Python 2 wrote: protocol 2, numpy.core, the bytes as a string.
    body = (
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01K\x02\x85"
        b"cnumpy\ndtype\nU\x02f4K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        b"\x89U\x08" + np.array([1.5, -2.25], "<f4").tobytes() + b"tb."
    )
    with_bias = b"\x80\x02}U\x02fc]" + body[2:-1] + b"as."
    raw_npy(tmp_path / "old.npy", with_bias)
    same(weight_files.read(tmp_path / "old.npy"), {"fc/0": np.array([1.5, -2.25], np.float32)})


class Evil:
    def __init__(self, *call):
        self.call = call

    def __reduce__(self):
        return self.call[0], self.call[1:]


@pytest.mark.parametrize("where", ["alone", "in a layer", "in place of the dictionary"])
@pytest.mark.parametrize("protocol", [0, 2, 4, 5])  # 5 asks for _frombuffer before it comes to mkdir
def test_code_in_a_pickle_is_not_run(tmp_path, where, protocol):
    trace = tmp_path / "executed"
    evil = Evil(os.mkdir, str(trace))
    thing = {
        "alone": evil,
        "in a layer": np.array({"conv1": [KERNEL, evil]}, object),
        "in place of the dictionary": np.array(evil, object),
    }[where]
    raw_npy(tmp_path / "evil.npy", pickle.dumps(thing, protocol))
    assert "it would run" in refusal(tmp_path / "evil.npy")
    assert not trace.exists()


@pytest.mark.parametrize(
    "call",
    [(eval, "1"), (np.load, "x"), (np.ndarray, (10**12,)), (getattr, "", "x"), (__import__, "os"), (np.dtype, "V9")],
)
def test_nor_is_anything_else_called(tmp_path, call):
    raw_npy(tmp_path / "evil.npy", pickle.dumps(np.array({"conv1": [Evil(*call)]}, object), 4))
    refusal(tmp_path / "evil.npy")


def test_an_array_of_the_wrong_length_in_a_pickle(tmp_path):
    dumped = pickle.dumps(np.array({"conv1": [np.zeros((5, 7), np.float32)]}, object), 2)
    assert dumped.count(b"K\x05K\x07") == 1
    raw_npy(tmp_path / "lie.npy", dumped.replace(b"K\x05K\x07", b"K\xffK\xff"))
    assert "damaged" in refusal(tmp_path / "lie.npy")


def test_pickled_members_of_npz_are_refused(tmp_path):
    np.savez(tmp_path / "evil.npz", good=KERNEL, bad=np.array(Evil(os.mkdir, str(tmp_path / "executed")), object))
    assert "pickled" in refusal(tmp_path / "evil.npz")
    assert not (tmp_path / "executed").exists()


def test_pytorchs_pickles_are_refused_with_what_to_do(tmp_path):
    (tmp_path / "resnet18.pth").write_bytes(pickle.dumps(Evil(os.mkdir, str(tmp_path / "executed"))))
    assert "numpy.savez" in refusal(tmp_path / "resnet18.pth")
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("name", ["a.npz", "a.safetensors", "a.weights.h5", "a.keras", "a.npy"])
def test_truncated_empty_and_foreign_contents(tmp_path, name):
    path = tmp_path / name
    if name == "a.npz":
        np.savez(path, a=KERNEL, b=BIAS)
    elif name == "a.safetensors":
        save_file({"a": KERNEL, "b": BIAS}, path)
    elif name == "a.npy":
        np.save(path, {"a": [KERNEL, BIAS]}, allow_pickle=True)
    else:
        keras3(tmp_path / "a.weights.h5", {"a": [KERNEL, BIAS]})
        if name == "a.keras":
            with zipfile.ZipFile(path, "w") as archive:
                archive.write(tmp_path / "a.weights.h5", "model.weights.h5")
    whole = path.read_bytes()
    weight_files.read(path)
    for content in (whole[: len(whole) // 2], whole[:-1], b"", b"text, not weights\n"):
        path.write_bytes(content)
        if not (name == "a.npy" and content == whole[:-1]):
            refusal(path)


def test_a_member_of_npz_that_declares_more_than_it_has(tmp_path):
    member = io.BytesIO()
    np.lib.format.write_array_header_1_0(member, {"descr": "<f4", "fortran_order": False, "shape": (10**9, 1000)})
    with zipfile.ZipFile(tmp_path / "lie.npz", "w") as archive:
        archive.writestr("huge.npy", member.getvalue() + bytes(64))
    assert "declares 4,000,000,000,000 bytes and has 64" in refusal(tmp_path / "lie.npz")


@pytest.mark.parametrize(
    "entry",
    [
        {"dtype": "F32", "shape": [4], "data_offsets": [0, 10**12]},
        {"dtype": "F32", "shape": [10**6], "data_offsets": [0, 16]},
        {"dtype": "F32", "shape": [2**62, 4], "data_offsets": [0, 16]},
        {"dtype": "F32", "shape": [4], "data_offsets": [8, 4]},
        {"dtype": "pickle", "shape": [4], "data_offsets": [0, 16]},
    ],
)
def test_a_lying_header_of_safetensors(tmp_path, entry):
    header = json.dumps({"a": entry}).encode()
    (tmp_path / "lie.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(16))
    refusal(tmp_path / "lie.safetensors")


def test_a_header_of_safetensors_longer_than_the_file(tmp_path):
    (tmp_path / "lie.safetensors").write_bytes(struct.pack("<Q", 2**60) + b"{}")
    refusal(tmp_path / "lie.safetensors")


def test_hdf5_that_points_elsewhere_or_declares_too_much(tmp_path):
    secret = tmp_path / "secret.bin"
    secret.write_bytes(bytes(16))
    cases = {
        "external": lambda group: group.create_dataset("0", (4,), "f4", external=[(str(secret), 0, 16)]),
        "link": lambda group: group.__setitem__("0", h5py.ExternalLink(str(secret), "/")),
        "soft": lambda group: group.__setitem__("0", h5py.SoftLink("/nowhere")),
        "huge": lambda group: group.create_dataset("0", (10**12,), "f4", chunks=(1024,), compression="gzip"),
        "group": lambda group: group.create_group("0"),
        "text": lambda group: group.create_dataset("0", data=["a", "b"], dtype=h5py.string_dtype()),
    }
    for name, make in cases.items():
        path = tmp_path / f"{name}.h5"
        with h5py.File(path, "w") as file:
            group = file.create_group("layers/dense/vars")
            group.attrs["name"] = "fc"
            make(group)
        refusal(path)


def test_files_without_names_or_weights(tmp_path):
    keras3(tmp_path / "anonymous.h5", {"conv": [KERNEL]}, name="another")
    assert "names no layers" in refusal(tmp_path / "anonymous.h5")
    np.savez(tmp_path / "empty.npz")
    assert "holds no arrays" in refusal(tmp_path / "empty.npz")
    np.save(tmp_path / "one.npy", KERNEL)
    assert "a dictionary of layers is needed" in refusal(tmp_path / "one.npy")
    (tmp_path / "weights.csv").write_text("1,2")
    assert "their names end in .npz" in refusal(tmp_path / "weights.csv")
