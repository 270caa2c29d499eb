"""Write down what scikit-learn says: ``python tests/training/record_sklearn.py``; the tests read it without."""

import json
import warnings
from pathlib import Path

import numpy as np

FILE = Path(__file__).with_name("sklearn_answers.json")


def problem():
    """Labels among which class 3 does not occur, predictions with a class 5 that is no label, scores of 5 classes."""
    i = np.arange(60)
    labels = (i * i * 7 + i * 11) % 1009 % 5
    return np.where(labels == 3, 2, labels), (i * 3 + i * i) % 1009 % 6, np.sin(np.arange(300) * 1.7).reshape(60, 5)


def record():
    import sklearn
    from sklearn import metrics as M

    labels, predicted, scores = problem()
    out = {"scikit-learn version": sklearn.__version__}
    for name, f in (("precision", M.precision_score), ("recall", M.recall_score), ("f1", M.f1_score)):
        for average in ("macro", "micro", "weighted", None):
            for zero in (0.0, 1.0, float("nan")):
                for classes in (None, 7):
                    if average is None and classes is None:
                        continue  # leaves classes out, so that an index is no class
                    which = None if classes is None else range(classes)
                    value = f(labels, predicted, average=average, zero_division=zero, labels=which)
                    out[f"{name} {average} {zero} {classes}"] = np.asarray(value).tolist()
    for digits, classes in ((2, None), (4, 7)):
        which = None if classes is None else range(classes)
        text = M.classification_report(labels, predicted, digits=digits, zero_division=0, labels=which)
        out[f"report {digits} {classes}"] = text
    for k in (1, 2, 3, 4):
        out[f"top {k}"] = float(M.top_k_accuracy_score(labels, scores, k=k, labels=range(5)))
    return out


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    FILE.write_text(json.dumps(record(), indent=1) + "\n", encoding="utf-8")
