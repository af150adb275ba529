"""Multiply-adds are those of a run's own network."""

import json

import pytest

from experiments import costs


@pytest.mark.slow
def test_options_of_the_network_count(tmp_path):
    def of(**options: str) -> int:
        config = {"arch": "resnet20", "options": options, "classes": list("abcdefghij"), "image_size": 32}
        (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
        return costs.multiply_adds(tmp_path)

    # the projections of shortcuts C, map by map: three blocks a stage, the first of which widens it
    projections = 32 * 32 * 3 * 16 * 16 + 16 * 16 * (16 * 32 + 2 * 32 * 32) + 8 * 8 * (32 * 64 + 2 * 64 * 64)
    assert of(shortcut="C") - of(shortcut="A") == projections
