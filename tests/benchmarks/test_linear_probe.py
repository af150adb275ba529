import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_info

from benchmarks import linear_probe

STRENGTHS = [1.0, 0.0001, 0.01]


def test_the_strength_is_the_best_of_separate_fits_and_each_is_said():
    """Each fit goes on from the last one; the choice is that of fits that start afresh."""
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, 300)
    features = (random.normal(0, 1, (3, 12))[labels] + random.normal(0, 2, (300, 12))).astype(np.float32)
    train, held, train_labels, held_labels = train_test_split(
        features, labels, test_size=0.1, random_state=0, stratify=labels
    )
    scaler = StandardScaler().fit(train)
    scores = {
        c: LogisticRegression(C=c, max_iter=2000)
        .fit(scaler.transform(train), train_labels)
        .score(scaler.transform(held), held_labels)
        for c in STRENGTHS
    }
    said, threads = [], []

    def say(line):
        said.append(line)
        threads.extend(pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas")

    model, strength = linear_probe.fit(features, labels, STRENGTHS, say=say)
    assert scores[strength] == max(scores.values())
    assert [line.split(" on the")[0] for line in said] == [
        f"{number}/3  C {c:g}: top1 {scores[c]:.4f}" for number, c in enumerate(sorted(STRENGTHS), start=1)
    ]
    assert set(threads) == {1}  # several wait for each other: a hundred times the time
    assert model.score(features, labels) > 0.5
