import pytest

from benchmarks import scaling

MACHINE = scaling.Machine(flops=100e12, link=200e9, network=20e9, gpus=8)
NETWORK = scaling.Cost("made up", gradients=400e6, flops=10e9)


def test_the_gradients_of_the_slides():
    assert scaling.cost("vgg16").gradients / 1e6 == pytest.approx(553.4, abs=0.05)
    assert scaling.cost("resnet34").gradients / 1e6 == pytest.approx(87.2, abs=0.05)
    assert scaling.cost("resnet34").flops == pytest.approx(6 * 3664e6, rel=1e-3)


def test_one_gpu_reduces_nothing():
    assert scaling.reduce_seconds(400e6, 1, MACHINE) == 0
    assert scaling.row(NETWORK, 1, 50, MACHINE)["efficiency_serial"] == 1


@pytest.mark.parametrize(("gpus", "seconds"), [(2, 400e6 / 200e9), (8, 0.0035), (16, 0.0375)])
def test_a_ring_passes_twice_all_but_its_own_share(gpus, seconds):
    assert scaling.reduce_seconds(400e6, gpus, MACHINE) == pytest.approx(seconds)


def test_a_row_by_hand():
    line = scaling.row(NETWORK, 16, 75, MACHINE)  # 75 images x 10 GFLOP at 100 TFLOP/s: 7.5 ms; the ring 37.5 ms
    assert line["compute_ms"] == pytest.approx(7.5)
    assert line["reduce_ms"] == pytest.approx(37.5)
    assert line["efficiency_serial"] == pytest.approx(1 / 6)
    assert line["efficiency_overlapped"] == pytest.approx(1 / 5)
    assert line["images"] == pytest.approx(16 * 75 / 0.045)
    assert line["read"] == pytest.approx(16 * 75 / 0.045 / 2 * 0.11e6 / 1e9)
    assert line["epoch_minutes"] == pytest.approx(1281167 / (16 * 75 / 0.045) / 60)
    assert line["least_batch"] == pytest.approx(375)
