import pytest

import tiny


@pytest.mark.parametrize(
    ("of_head", "said"),
    [("gaussian", "weight decay 0.001, he, classifier gaussian\n"), ("he", "weight decay 0.001, he\n")],
)
def test_the_start_says_how_the_weights_begin(monkeypatch, tmp_path, capsys, of_head, said):
    tiny.register(monkeypatch, tmp_path)
    tiny.run("--mode", "train", "--arch", "tiny", "--dry_run", "--classifier_initializer", of_head)
    assert said in capsys.readouterr().out
