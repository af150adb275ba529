from common.evaluation import projector


def test_an_even_choice_is_drawn_of_many_points(monkeypatch):
    monkeypatch.setattr(projector, "MOST", 5)
    assert projector.chosen(3).tolist() == [0, 1, 2]
    assert projector.chosen(5).tolist() == [0, 1, 2, 3, 4]
    assert projector.chosen(9).tolist() == [0, 2, 4, 6, 8]
    assert projector.chosen(1_000_001).tolist() == [0, 250_000, 500_000, 750_000, 1_000_000]
