"""How much the features of a layer say: scikit-learn's logistic regression on them.

    python resnet34.py --mode features --restore RUN --split train --layer pool --out features/train
    python resnet34.py --mode features --restore RUN --split test --layer pool --out features/test
    python benchmarks/linear_probe.py features/train features/test

Each value is standardised by the training features; the strength of the penalty is the best of --c on a tenth of them
that is held out, drawn from every class alike, then all are fitted. Donahue et al. 2014 (DeCAF) and Chatfield et al.
2014 compare layers in this way.
"""

import argparse
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import top_k_accuracy_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from common import errors
from common.errors import UserError


def load(folder: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(features (N, D) float32, labels (N,), class names) of `--mode features`. Raises UserError for another file."""
    path = Path(folder) / "features.npz" if Path(folder).is_dir() else Path(folder)
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return arrays["features"], arrays["labels"], arrays["classes"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: no features here ({error}); write some with --mode features", 1) from error


def fit(
    features: np.ndarray, labels: np.ndarray, strengths: list[float], seed: int = 0, say: Callable[[str], None] = print
) -> tuple[Pipeline, float]:
    """The classifier fitted on everything, and the C it was fitted with; `say` takes a line for each C that was tried.

    Raises UserError where a tenth cannot hold an image of every class and leave one of each.
    """
    best = strengths[0]
    with threadpool_limits(1, user_api="blas"):  # the products are small: threads would wait for each other
        if len(strengths) > 1:
            best = _choose(features, labels, sorted(strengths), seed, say)
        model = make_pipeline(StandardScaler(), LogisticRegression(C=best, max_iter=2000))
        return model.fit(features, labels), best


def _choose(features: np.ndarray, labels: np.ndarray, strengths: list[float], seed: int, say: Callable) -> float:
    """The C, of some in rising order, that is best on a tenth held out; each fit begins where the last one ended."""
    images = np.unique(labels, return_counts=True)[1]
    if images.min() < 2 or len(labels) < 10 * len(images):
        raise UserError(
            f"{len(labels)} images of {len(images)} classes, {images.min()} of the rarest, are too few to choose "
            "among several --c; give one",
            1,
        )
    kept = train_test_split(features, labels, test_size=0.1, random_state=seed, stratify=labels)
    train, held, train_labels, held_labels = kept
    scaler = StandardScaler().fit(train)
    train, held = scaler.transform(train), scaler.transform(held)
    model, scores = LogisticRegression(max_iter=2000, warm_start=True), []
    for number, c in enumerate(strengths, start=1):
        begun = time.perf_counter()
        model.set_params(C=c).fit(train, train_labels)
        scores.append(model.score(held, held_labels))
        seconds = time.perf_counter() - begun
        say(f"{number}/{len(strengths)}  C {c:g}: top1 {scores[-1]:.4f} on the tenth held out, {seconds:.1f} s")
    return strengths[int(np.argmax(scores))]


def main(arguments: list[str]) -> None:
    """Runs the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train", help="folder, or .npz file, of --mode features on the training split")
    parser.add_argument("test", help="the same of the split to measure")
    parser.add_argument(
        "--c", default="0.0001,0.001,0.01,0.1,1", help="inverse strengths of the penalty to choose from"
    )
    options = parser.parse_args(arguments)
    (features, labels, classes), (tested, truth, others) = load(options.train), load(options.test)
    if features.shape[1] != tested.shape[1] or list(classes) != list(others):
        raise UserError(f"{options.test}: other features or classes than {options.train}", 1)
    model, strength = fit(features, labels, [float(c) for c in options.c.split(",")])
    scores = model.predict_log_proba(tested)
    line = f"top1 {model.score(tested, truth):.4f}"
    if len(model.classes_) > 5:
        line += f" top5 {top_k_accuracy_score(truth, scores, k=5, labels=model.classes_):.4f}"
    print(f"{features.shape[1]:,} values of {len(features):,} images, C {strength:g}")
    print(f"linear probe {line} images {len(truth)}")


if __name__ == "__main__":
    with errors.ending_in_a_line("linear_probe.py"):
        main(sys.argv[1:])
