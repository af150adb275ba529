import pytest

from common.training.speed import Speed


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


def interval(speed, clock, steps, seconds, waited=0.0):
    for _ in range(steps):
        clock.now += seconds
        speed.count(waited)
    return speed.read()


def test_images_per_second_and_the_share_of_waiting():
    clock = Clock()
    speed = Speed(64, clock)
    assert interval(speed, clock, 10, 0.5, 0.1) == pytest.approx((128.0, 0.2))
    assert interval(speed, clock, 4, 2.0, 1.0) == pytest.approx((32.0, 0.5))


def test_the_time_left_follows_the_recent_speed():
    clock = Clock()
    speed = Speed(1, clock)
    clock.now += 3.0
    speed.count(0.0)
    assert speed.seconds_left(10, 0) == pytest.approx(30.0)  # before the first interval is over
    speed.restart()
    for _ in range(50):
        interval(speed, clock, 10, 1.0)
    assert speed.seconds_left(100, 0) == pytest.approx(100.0)
    interval(speed, clock, 10, 2.0)
    # 1, 0.8, 0.64 ... of ten steps each: 50 of 1 s make 50, the new one is a fifth of it all.
    assert speed.seconds_left(100, 0) == pytest.approx(100 * (0.8 * 1.0 + 0.2 * 2.0), rel=1e-4)
    for _ in range(20):
        interval(speed, clock, 10, 2.0)
    assert speed.seconds_left(100, 0) == pytest.approx(200.0, rel=0.01)


def test_a_pause_leaves_no_trace():
    clock = Clock()
    speed = Speed(1, clock)
    for _ in range(5):
        interval(speed, clock, 10, 1.0)
    clock.now += 3600.0  # stopped and continued
    interval(speed, clock, 10, 1.0)
    assert speed.seconds_left(100, 0) == pytest.approx(100.0)
    interval(speed, clock, 10, 1.5)  # what follows counts from here
    assert speed.seconds_left(100, 0) == pytest.approx(150.0)


def test_the_ends_of_epochs_count_for_the_time_left_and_not_for_the_speed():
    clock = Clock()
    speed = Speed(1, clock)
    for seconds in (30.0, 7.0):  # the first holds the tracing
        interval(speed, clock, 10, 1.0)
        speed.pause()
        clock.now += seconds
        speed.resume()
    assert interval(speed, clock, 10, 1.0)[0] == pytest.approx(1.0)
    assert speed.seconds_left(100, 3) == pytest.approx(121.0)
