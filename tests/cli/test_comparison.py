import csv
import io
import json

import pytest

import tables
import train
from cli import comparison
from common.errors import UserError

# Parameters, operations in millions (multiply-adds and biases), percent of either in convolutions: worked out apart.
COMPUTED = {
    "alexnet_two_towers": (60965224, 725.07, 3.83, 91.9),
    "cnn_f": (60834536, 724.52, 3.62, 91.9),
    "cnn_m": (102908520, 1677.75, 6.34, 94.3),
    "cnn_s": (102908520, 2639.58, 6.34, 96.3),
    "vgg16": (138357544, 15483.8, 10.63, 99.2),
    "vgg19": (143667240, 19646.9, 13.94, 99.4),
    "nin": (7595176, 1101.89, 100, 100),
    "googlenet": (6998552, 1585.9, 85.35, 99.9),
}
ERRATA = {"cnn_f", "nin", "googlenet"}


@pytest.mark.parametrize("name", COMPUTED)
def test_every_figure(name):
    parameters, millions, share, share_of_operations = COMPUTED[name]
    found = comparison.line(tables.summarise(name))

    assert found.parameters == parameters
    assert found.operations / 1e6 == pytest.approx(millions, abs=0.06)
    assert found.conv_parameters == pytest.approx(share, abs=0.006)
    assert found.conv_operations == pytest.approx(share_of_operations, abs=0.06)
    assert found.conv_parameters + found.fc_parameters == pytest.approx(100)
    assert found.conv_operations + found.fc_operations == pytest.approx(100)


def rounded(line, like):
    """The figures in the units and with the digits of a printed line: 61 or 7.6 millions, percent to a tenth."""
    own = [getattr(line, name) for name in comparison.Line.__dataclass_fields__]
    units = [1e6, 1, 1, 1e6, 1, 1]
    digits = [
        0 if float(shown).is_integer() and shown > 10 and unit > 1 else 1
        for shown, unit in zip(like, units, strict=True)
    ]
    return [round(value / unit, n) for value, unit, n in zip(own, units, digits, strict=True)]


@pytest.mark.parametrize("name", COMPUTED)
def test_the_printed_figures_are_met_but_for_the_slips(name):
    printed = comparison.PRINTED[name]
    shown = [getattr(printed.line, field) for field in comparison.Line.__dataclass_fields__]

    assert (rounded(comparison.line(tables.summarise(name)), shown) == shown) == (name not in ERRATA)
    assert bool(printed.erratum) == (name in ERRATA)


def test_the_slips_explain_the_printed_figures():
    """Each figure again, with the mistake that its note names."""
    rows = {name: {row.name: row for row in tables.summarise(name).rows} for name in ERRATA}
    lines = {name: comparison.line(tables.summarise(name)) for name in ERRATA}
    more = 6 * 6 * 256 * 4096  # fc6 with 512 maps before it
    assert round((lines["cnn_f"].parameters + more) / 1e6) == 99
    assert round((lines["cnn_f"].operations + more) / 1e6) == 762
    third = sum(rows["nin"][name].multiply_adds + 384 * 13 * 13 for name in ("conv3", "cccp5", "cccp6"))
    assert round((lines["nin"].operations + third * (15 * 15 / 13**2 - 1)) / 1e6) == 1168
    left_out = rows["googlenet"]["inception_4e_5x5"]
    assert (left_out.parameters, left_out.output) == (32 * 128 * 25 + 128, (14, 14, 128))
    kept = lines["googlenet"].parameters - left_out.parameters
    assert round(kept / 1e6, 1) == 6.9
    assert round(100 * 1025000 / kept, 1) == 14.9
    operations = left_out.multiply_adds + 14 * 14 * 128
    assert round((lines["googlenet"].operations - operations) / 1e6) == 1566


def test_one_command_prints_the_courses_table(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["train.py"])
    train.main(None, ["--mode", "summary", "--arch", ",".join(COMPUTED)])
    lines = capsys.readouterr().out.splitlines()

    assert max(map(len, lines)) <= 120
    assert lines[0].split() == ["as", "printed"]
    assert lines[1].split()[:3] == ["network", "input", "parameters"]
    outputs = 55**2 * 96 + 27**2 * 256 + 13**2 * (384 + 384 + 256) + 4096 + 4096 + 1000
    own = ["227", "60,965,224", "3.8", "96.2", f"{724406816 + outputs:,}", "91.9", "8.1"]
    assert lines[3].split() == ["alexnet_two_towers", *own, "61", "3.8", "96.2", "725", "91.9", "8.1"]
    assert [line.split()[0] for line in lines if line.startswith("(")] == ["(1)", "(2)", "(3)"]
    assert next(line for line in lines if "cnn_f" in line).split()[1] == "(1)"


def test_options_classes_and_size_are_those_of_all(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["vgg16.py"])
    arguments = ["--mode", "summary", "--arch", "vgg11,vgg11_bn", "--classes", "10", "--norm", "none"]
    train.main("vgg16", [*arguments, "--image_size", "32", "--summary_format", "json"])
    found = json.loads(capsys.readouterr().out)

    assert [(each["arch"], each["image_size"], each["printed"]) for each in found] == [
        ("vgg11", 32, None),
        ("vgg11_bn", 32, None),
    ]
    convolutions, head = 9220480, 512 * 4096 + 4096**2 + 10 * 4096 + 2 * 4096 + 10
    assert [each["parameters"] for each in found] == [convolutions + head] * 2


def test_csv_has_a_line_a_network():
    rows = list(csv.DictReader(io.StringIO(comparison.to_csv(map(tables.summarise, ("alexnet", "cnn_f"))))))

    assert [(row["arch"], row["parameters"], row["printed_parameters"]) for row in rows] == [
        ("alexnet", "62378344", ""),
        ("cnn_f", "60834536", "99"),
    ]
    assert "6x6x256" in rows[1]["erratum"]


@pytest.mark.parametrize("arch", ["alexnet,vgg61", "alexnet,"])
def test_an_unknown_name_among_several_is_one_line(monkeypatch, capsys, arch):
    monkeypatch.setattr("sys.argv", ["train.py"])
    with pytest.raises((SystemExit, UserError)):
        train.main(None, ["--mode", "summary", "--arch", arch])
    error = capsys.readouterr().err
    assert "--arch" in error
    assert error.count("\n") == 1
