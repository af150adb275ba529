import csv

import pytest

import test_networks
from benchmarks import zoo
from cli import registry, weight_names

REFERENCES = zoo.read_reference()


def test_every_network_has_its_row():
    assert {one.arch for one in REFERENCES} == registry.ARCHITECTURES.keys()
    assert len(REFERENCES) == len(registry.ARCHITECTURES)


def test_the_page_is_up_to_date():
    """Made again from the figures in it, which are those of the tests' tables, it is the same to the letter."""
    text = zoo.PAGE.read_text(encoding="utf-8")
    figures = zoo.read_page(text)
    assert {name: one.parameters for name, one in figures.items()} == test_networks.PARAMETERS
    for name, millions in test_networks.MULTIPLY_ADDS.items():
        assert figures[name].multiply_adds == pytest.approx(millions, abs=0.051)
    assert zoo.page(REFERENCES, figures) == text
    assert zoo.PICTURE.stat().st_size < 200_000


@pytest.mark.slow
def test_the_networks_have_the_figures_of_the_page():
    figures = zoo.read_page(zoo.PAGE.read_text(encoding="utf-8"))
    assert {name: zoo.count(network) for name, network in registry.ARCHITECTURES.items()} == figures


@pytest.mark.parametrize(
    ("arch", "layers"),
    [
        ("alexnet", 8),
        ("googlenet", 22),
        ("resnet20", 20),
        ("resnet50", 50),
        ("preresnet110", 110),
        ("squeezenet1_1", 18),
        ("mobilenet", 28),
        ("fractalnet20", 21),  # whose twenty are convolutions
        ("wrn16_8", 14),  # which counts the three projections beside the path, too
    ],
)
def test_depth_is_that_of_the_name(arch, layers):
    assert zoo.count(registry.find(arch)).layers == layers


def test_whose_weights_can_be_imported():
    for one in REFERENCES:
        assert ("Keras" in one.weights) == (one.arch in weight_names.KERAS), one.arch
    torch = {one.arch for one in REFERENCES if "torchvision" in one.weights}
    assert {"resnext50_32x4d", "resnext101_32x8d", "resnext101_64x4d", "wide_resnet50_2", "inception_v3"} < torch


def test_a_command_names_script_and_network():
    assert zoo.command(registry.find("alexnet")) == "python alexnet.py --mode train"
    assert zoo.command(registry.find("resnet50")) == "python resnet34.py --mode train --arch resnet50"
    assert zoo.command(registry.find("wrn16_8")) == (
        "python train.py --mode train --arch wrn16_8 --dataset datasets/cifar10"
    )


def test_a_year_and_an_idea_stand_first_in_every_family():
    with open(zoo.REFERENCE, newline="", encoding="utf-8") as opened:
        rows = list(csv.DictReader(opened))
    seen = set()
    for one in rows:
        family = registry.find(one["arch"]).family
        assert family in seen or (one["year"] and one["idea"] and ": http" in one["paper"]), one["arch"]
        seen.add(family)
        assert not one["top1"] or (one["measured_on"] and one["source"]), one["arch"]


def test_a_page_gives_its_figures_back():
    figures = {one.arch: zoo.Figures(7, 1234567, 8.9) for one in REFERENCES}
    assert zoo.read_page(zoo.page(REFERENCES, figures)) == figures
