import json

from benchmarks import local_workers


def test_each_worker_knows_all_and_its_own_place():
    first, second = map(json.loads, local_workers.configs(2))
    assert first["cluster"] == second["cluster"]
    assert len(set(first["cluster"]["worker"])) == 2
    assert [one["task"]["index"] for one in (first, second)] == [0, 1]
    assert local_workers.configs(1) == [None]


def test_the_first_interval_does_not_count():
    output = "step 10/20  12.0 images/s\nstep 20/20  loss 1.5  1,280.0 images/s  ETA 1s\nstep 30  640 images/s"
    assert local_workers.speeds(output, 64) == [20.0, 10.0]
