"""What classes are called for people."""

import re

import pytest

from common import class_names


def test_imagenets_classes_are_a_thousand_synsets_in_the_order_of_their_labels():
    found = class_names.imagenet()
    assert len(found) == 1000
    assert list(found) == sorted(found)
    assert all(re.fullmatch(r"n\d{8}", synset) and words for synset, words in found.items())
    labels = list(found)  # as published with every ImageNet network
    known = {0: "tench, Tinca tinca", 217: "English springer, English springer spaniel", 482: "cassette player"}
    known |= {
        491: "chain saw, chainsaw",
        497: "church, church building",
        999: "toilet tissue, toilet paper, bathroom tissue",
    }
    for label, words in known.items():
        assert found[labels[label]] == words
    assert labels[0] == "n01440764"
    assert labels[999] == "n15075141"


def test_words_that_two_of_imagenets_classes_share_have_the_synset_behind_them():
    synsets = tuple(class_names.imagenet())
    names = class_names.shown(synsets)
    assert len(set(names)) == 1000
    assert {label: name for label, name in enumerate(names) if synsets[label] in name} == {
        134: "crane (n02012849)",
        264: "Cardigan (n02113186)",
        474: "cardigan (n02963159)",
        517: "crane (n03126707)",
        638: "maillot (n03710637)",
        639: "maillot (n03710721)",
    }


@pytest.mark.parametrize(
    ("classes", "words", "names"),
    [
        (("0", "1"), (), ("0", "1")),
        (("oak", "n01440764"), (), ("oak", "tench")),
        (("n00000001", "n01440764"), ("a thing, an object", ""), ("a thing", "tench")),
        (("n01440764", "n01443537"), ("Schleie", "Goldfisch"), ("Schleie", "Goldfisch")),
        (("a", "b", "c"), ("Bank, bench", "bank, shore", "river"), ("Bank (a)", "bank (b)", "river")),
        (("tench", "n01440764"), (), ("tench", "tench (n01440764)")),
        (("n01440764",), ("one", "two"), ("tench",)),
    ],
)
def test_words_stand_for_names_and_no_two_are_alike(classes, words, names):
    assert class_names.shown(classes, words) == names
