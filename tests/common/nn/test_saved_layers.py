"""Layers in .keras files that an earlier version of this program wrote, whose modules had other names."""

import json

import keras
import pytest

from common.nn import all_layers  # noqa: F401  (registers the layers)

EARLIER = """
{"module": "common.windows", "class_name": "Conv", "registered_name": "common>Conv", "config": {"name": "conv1",
 "trainable": true, "dtype": "float32", "filters": 16, "size": 3, "stride": 2, "padding": 1, "groups": 2,
 "use_bias": false, "kernel_initializer": {"module": "keras.initializers", "class_name": "VarianceScaling",
 "config": {"seed": null, "scale": 2.0, "mode": "fan_in", "distribution": "untruncated_normal"}}}}
{"module": "common.windows", "class_name": "MaxPool", "registered_name": "common>MaxPool", "config": {"name": "pool1",
 "trainable": true, "dtype": "float32", "size": 3, "stride": 2, "padding": 0, "ceil": true}}
{"module": "common.windows", "class_name": "AveragePool", "registered_name": "common>AveragePool",
 "config": {"name": "aux_pool", "trainable": true, "dtype": "float32", "size": 5, "stride": 3}}
{"module": "common.layers", "class_name": "PaddedIdentity", "registered_name": "common>PaddedIdentity",
 "config": {"name": "conv3_1_shortcut", "trainable": true, "dtype": "float32", "channels": 32, "stride": 2}}
{"module": "common.layers", "class_name": "Dropout", "registered_name": "common>Dropout",
 "config": {"name": "dropout", "trainable": true, "dtype": "float32", "rate": 0.4}}
{"module": "common.normalization", "class_name": "LocalResponseNormalization",
 "registered_name": "common>LocalResponseNormalization", "config": {"name": "norm1", "trainable": true,
 "dtype": "float32", "k": 2.0, "n": 5, "alpha": 0.0001, "beta": 0.75}}
{"module": "common.normalization", "class_name": "BatchNorm", "registered_name": "common>BatchNorm",
 "config": {"name": "conv1_bn", "trainable": true, "dtype": "float32", "momentum": 0.9, "epsilon": 1e-05,
 "synchronised": false}}
"""


@pytest.mark.parametrize("text", EARLIER.strip().replace("\n ", " ").split("\n"), ids=lambda text: text.split('"')[7])
def test_a_layer_of_an_earlier_version_is_read(text):
    saved = json.loads(text)
    layer = keras.saving.deserialize_keras_object(saved)
    assert type(layer).__name__ == saved["class_name"]
    found = layer.get_config()
    for name, value in saved["config"].items():
        if name == "dtype":
            assert layer.compute_dtype == value
        elif name == "kernel_initializer":
            assert found[name]["config"].items() >= value["config"].items()
        else:
            assert found[name] == value, name
