import csv
import io
import json

import keras
import pytest

import tables
from common.architecture import Architecture
from common.nn import cost, layers, summary
from common.recipe import Recipe


def build(classes=10, image_size=12, initializer="he", dropout=0.5, auxiliary=False):
    """12x12x3 -> conv 3x3/1 pad 1, 8 -> batch norm -> pool 2x2/2 -> two branches -> concat -> FC."""
    x = image = layers.image_input(image_size)
    x = layers.conv(x, 8, 3, padding=1, bias=False, relu=False, name="conv1")
    x = layers.relu(layers.batch_norm(x, name="bn1"), name="relu1")
    x = y = layers.max_pool(x, 2, 2, name="pool1")
    a = layers.conv(x, 4, 1, name="a")
    b = layers.conv(layers.conv(x, 4, 3, padding=1, name="b1"), 4, 3, padding=1, groups=2, name="b2")
    x = layers.dropout(layers.flatten(layers.concat([a, b], name="both"), name="flat"), dropout, name="drop")
    x = layers.logits(x, classes, name="fc")
    if auxiliary:
        x = [x, layers.logits(layers.flatten(y, name="aux_flat"), classes, name="aux_fc")]
    return layers.network(image, x, name="made")


MADE = Architecture("made", "none", build, 12, Recipe(), "made for the tests", auxiliary_weight=0.3)


@pytest.fixture(scope="module")
def made():
    return summary.summarise(MADE, 10, 12)


def test_every_figure_of_a_network_made_by_hand(made):
    found = [
        (
            r.name,
            r.output,
            r.parameters,
            r.non_trainable_parameters,
            r.multiply_adds,
            r.activation_values,
            r.receptive_field,
        )
        for r in made.rows
    ]

    assert found == [
        ("image", (12, 12, 3), 0, 0, 0, 432, 1),
        ("conv1", (12, 12, 8), 216, 0, 9 * 3 * 8 * 144, 1152, 3),
        ("bn1", (12, 12, 8), 16, 16, 0, 1152, 3),
        ("pool1", (6, 6, 8), 0, 0, 0, 288, 4),
        ("a", (6, 6, 4), 36, 0, 8 * 4 * 36, 144, 4),
        ("b1", (6, 6, 4), 292, 0, 9 * 8 * 4 * 36, 144, 4 + 2 * 2),
        ("b2", (6, 6, 4), 9 * 2 * 4 + 4, 0, 9 * 2 * 4 * 36, 144, 8 + 2 * 2),
        ("both", (6, 6, 8), 0, 0, 0, 288, 12),
        ("drop", (288,), 0, 0, 0, 0, 12),
        ("fc", (10,), 2890, 0, 2880, 10, 12),
    ]


def test_totals_shares_and_memory(made):
    parameters = 216 + 16 + 36 + 292 + 76 + 2890
    multiply_adds = 31104 + 1152 + 10368 + 2592 + 2880
    values = 432 + 1152 + 1152 + 288 + 3 * 144 + 288 + 10

    assert made.totals == cost.Totals(parameters, 16, multiply_adds, values)
    assert made.share("convolution", "multiply_adds") == pytest.approx(100 * (multiply_adds - 2880) / multiply_adds)
    assert made.share("fully connected", "parameters") == pytest.approx(100 * 2890 / parameters)
    head = 288 * 10 + 10
    assert made.memory() == pytest.approx(
        {
            "testing_per_image": 4e-6 * values,
            "training_per_image": 4e-6 * 2 * (values + 10),
            "testing_once": 4e-6 * (parameters + 16),
            "training_once": 4e-6 * (3 * (parameters + head) + 16),
        }
    )


def test_heads_stand_apart(made):
    assert [(row.name, row.parameters, row.multiply_adds) for row in made.heads] == [("aux_fc", 2890, 2880)]


@pytest.mark.parametrize(("count", "seen"), [(1, 3), (2, 5), (3, 7)])
def test_stacked_3x3_convolutions_see_2n_plus_1(count, seen):
    x = image = layers.image_input(16)
    for number in range(count):
        x = layers.conv(x, 4, 3, padding=1, name=f"conv{number}")
    model = layers.network(image, x, name="stack")

    assert cost.measure(cost.ordered(model.outputs), 16)[-1].receptive_field == seen


def test_a_kind_of_layer_that_is_not_in_the_table_is_named():
    image = layers.image_input(4)
    model = layers.network(image, keras.layers.UpSampling2D(name="enlarge")(image), "odd")

    with pytest.raises(TypeError, match=r"^enlarge: how a UpSampling2D is counted is not in common/nn/all_layers\.py$"):
        cost.measure(cost.ordered(model.outputs), 4)


def test_text_says_what_the_figures_are(made):
    lines = summary.to_text(made).splitlines()

    assert lines[0] == "made (made for the tests), 12x12x3 -> 10 classes"
    assert lines[2].split() == ["layer", "kind", "output", "parameters", "multiply-adds", "values", "MB", "sees"]
    assert lines[5].split() == [
        "conv1",
        "convolution",
        "3x3/1",
        "pad",
        "1",
        "12x12x8",
        "216",
        "31,104",
        "1,152",
        "0.00",
        "3",
    ]
    assert any(line.split() == ["total", "3,526", "48,096", "3,754", "0.02"] for line in lines)
    assert any(line.startswith("with both heads") and "6,416 parameters" in line for line in lines)


@pytest.mark.parametrize("name", ["alexnet", "alexnet_two_towers", "vgg19", "googlenet", "resnet152", "resnet110"])
def test_text_is_aligned_and_fits_120_columns(name):
    lines = summary.to_text(tables.summarise(name)).splitlines()
    ends = {line.rindex(" ") for line in lines if line.endswith(" all")}

    assert max(map(len, lines)) <= 120
    assert len(ends) == 1


def test_csv_has_a_line_a_layer(made):
    rows = list(csv.DictReader(io.StringIO(summary.to_csv(made))))

    assert [row["name"] for row in rows] == [row.name for row in made.rows + made.heads]
    assert (rows[6]["output"], rows[6]["groups"], rows[6]["multiply_adds"], rows[6]["auxiliary"]) == (
        "6x6x4",
        "2",
        "2592",
        "0",
    )
    assert rows[-1]["auxiliary"] == "1"


def test_json_is_one_object(made):
    found = json.loads(json.dumps(summary.to_json(made)))

    assert (found["arch"], found["input"], found["classes"]) == ("made", [12, 12, 3], 10)
    assert found["layers"][1]["name"] == "conv1"
    assert found["layers"][1]["output"] == [12, 12, 8]
    assert found["layers"][1]["receptive_field"] == 3
    assert found["totals"] == {
        "trainable_parameters": 3526,
        "non_trainable_parameters": 16,
        "multiply_adds": 48096,
        "activation_values": 3754,
    }
    assert found["auxiliary_heads"]["totals"]["trainable_parameters"] == 2890
    assert found["auxiliary_heads"]["totals_with_network"]["trainable_parameters"] == 6416


def test_json_of_googlenet_counts_both_ways():
    found = summary.to_json(tables.summarise("googlenet"))

    assert found["totals"]["trainable_parameters"] == 6998552
    assert found["auxiliary_heads"]["totals_with_network"]["trainable_parameters"] == 13378280
    assert "auxiliary_heads" not in summary.to_json(tables.summarise("resnet20"))
