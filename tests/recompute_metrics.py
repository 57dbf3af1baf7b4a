#!/usr/bin/env python3
"""Computes every figure in metrics.json of a run again from its predictions, with scikit-learn.

    python3 recompute_metrics.py RUN [RUN ...]        (numpy, scikit-learn 1.7 or newer)

Of metrics.json it reads only the temperature and the class shares; all else comes from predictions.jsonl (the test images,
with leaked and rejected ones) and predictions_val.jsonl. Every number must agree to 1e-9. Wilson's intervals are computed
too where no patient is known and no image occurs twice; intervals by the bootstrap are compared by
crates/app/tests/recompute.rs, which has the same random numbers.
"""
import json
import math
import pathlib
import sys
import warnings

import numpy as np
from sklearn import metrics as sk

warnings.filterwarnings("ignore")

TOLERANCE = 1e-9
N_BINS = 15
# What a run is, not how good its model is; the audit, which is of other classifiers; the shift, which is of images; and the
# selection, whose figures are those of the log.
FACTS = {
    "audit", "shift", "class_prior", "selection", "train_images_per_s", "train_seconds", "data_loading_fraction", "epochs",
    "saved_epoch", "n_parameters", "seed", "threads", "verdict", "version", "warning", "initial_weights",
}


def read_lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def wilson(part, whole):
    if whole == 0:
        return None
    z, share = 1.959963984540054, part / whole
    centre = share + z * z / (2 * whole)
    spread = z * math.sqrt(share * (1 - share) / whole + z * z / (4 * whole * whole))
    scale = 1 + z * z / whole
    return [0.0 if part == 0 else (centre - spread) / scale, 1.0 if part == whole else (centre + spread) / scale]


def calibration_errors(labels, probabilities):
    """The expected calibration error, and the same without its bias (Kumar et al. 2019)."""
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    edges = np.linspace(0, 1, N_BINS + 1)
    error = bias = 0.0
    for low, high in zip(edges[:-1], edges[1:]):
        inside = (confidence > low) & (confidence <= high)
        if not inside.any():
            continue
        accuracy, weight = right[inside].mean(), inside.mean()
        gap, sd = confidence[inside].mean() - accuracy, math.sqrt(accuracy * (1 - accuracy) / inside.sum())
        folded = abs(gap)
        if sd > 0:
            folded = sd * math.sqrt(2 / math.pi) * math.exp(-((gap / sd) ** 2) / 2) + gap * math.erf(gap / sd / math.sqrt(2))
        error += weight * abs(gap)
        bias += weight * (folded - abs(gap))
    return error, max(error - bias, 0.0)


class Set:
    """The images of some lines, with the logits divided by the temperature and shifted to another class prior."""

    def __init__(self, lines, classes, temperature, shift=None):
        self.classes = classes
        self.labels = np.array([classes.index(line["class"]) for line in lines])
        logits = np.array([[line["logits"][name] for name in classes] for line in lines]) / temperature
        logits = logits if shift is None else logits + shift
        exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
        self.probabilities = exponentials / exponentials.sum(axis=1, keepdims=True)
        self.has_groups = any(line.get("patient") or "group" in line for line in lines)
        if shift is None:
            given = np.array([[line["probabilities"][name] for name in classes] for line in lines])
            assert np.abs(given - self.probabilities).max() <= TOLERANCE, "probabilities and logits"
            assert all(classes[i] == line["predicted"] for i, line in zip(logits.argmax(axis=1), lines))

    def calibration(self):
        error, debiased = calibration_errors(self.labels, self.probabilities)
        every = list(range(len(self.classes)))
        if len(every) == 2:
            brier = sk.brier_score_loss(self.labels, self.probabilities[:, 1], pos_label=1)
        else:
            brier = sk.brier_score_loss(self.labels, self.probabilities, labels=every, scale_by_half=False)
        return {
            "ece": error,
            "ece_debiased": debiased,
            "log_loss": sk.log_loss(self.labels, self.probabilities, labels=every),
            "brier_score": brier,
        }

    def share(self, found, key, part, whole):
        """A share, and its interval unless that is by patient, or by other groups of images."""
        found[key] = part / whole if whole else None
        if not self.has_groups:
            found[key + "_interval"] = wilson(part, whole)

    def of_class(self, c, predicted):
        is_c, predicted_c = self.labels == c, predicted == c
        found = {"n": int(is_c.sum())}
        self.share(found, "recall", int((is_c & predicted_c).sum()), int(is_c.sum()))
        self.share(found, "precision", int((is_c & predicted_c).sum()), int(predicted_c.sum()))
        self.share(found, "specificity", int((~is_c & ~predicted_c).sum()), int((~is_c).sum()))
        both = 0 < is_c.sum() < len(is_c)
        found["roc_auc"] = sk.roc_auc_score(is_c, self.probabilities[:, c]) if both else None
        return found

    def figures(self):
        predicted = self.probabilities.argmax(axis=1)
        found = {"n": len(self.labels)}
        self.share(found, "accuracy", int((predicted == self.labels).sum()), len(self.labels))
        found["balanced_accuracy"] = sk.balanced_accuracy_score(self.labels, predicted)
        # Of the classes that have images, as balanced accuracy.
        present = np.unique(self.labels)
        found["macro_f1"] = sk.f1_score(self.labels, predicted, labels=present, average="macro", zero_division=0)
        kappa = sk.cohen_kappa_score(self.labels, predicted)
        found["kappa"] = None if math.isnan(kappa) else kappa
        found["per_class"] = {name: self.of_class(c, predicted) for c, name in enumerate(self.classes)}
        areas = [entry["roc_auc"] for entry in found["per_class"].values() if entry["roc_auc"] is not None]
        found["macro_roc_auc"] = float(np.mean(areas)) if areas else None
        found["confusion"] = sk.confusion_matrix(self.labels, predicted, labels=range(len(self.classes))).tolist()
        return found | self.calibration()


def majority_baseline(figures, given):
    """The most frequent class; an interval by groups is that of the file."""
    counts = {name: of_class["n"] for name, of_class in figures["per_class"].items()}
    name = max(counts, key=counts.get)
    accuracy = counts[name] / figures["n"]
    interval = figures.get("accuracy_interval", given["accuracy_interval"])
    return {"class": name, "accuracy": accuracy, "exceeded": interval is not None and interval[0] > accuracy}


def recompute(run, given):
    test, val = read_lines(run / "predictions.jsonl"), read_lines(run / "predictions_val.jsonl")
    shares = given["class_prior"]
    # In the order of the confusion matrix.
    classes = list((given.get("test") or given["val"])["per_class"])
    temperature = (given["calibration"] or {}).get("temperature", 1.0)
    predicted, trained = (np.array([shares[of][name] for name in classes]) for of in ("predictions", "training_set"))

    def shift(lines):
        """From the prior of the predictions, where it is not that of the training set, to the shares of these lines."""
        if (predicted == trained).all():
            return np.zeros(len(classes))
        counts = np.array([sum(line["class"] == name for line in lines) for name in classes])
        return np.log((counts + len(classes) * trained) / (len(lines) + len(classes)) / predicted)

    def before_after(lines):
        of = lambda t: Set(lines, classes, t, shift(lines)).calibration()
        return {"n": len(lines), "before": of(1.0), "after": of(temperature)}

    def n_rejected(lines):
        known = [line["rejected"] for line in lines if line["rejected"] is not None]
        return sum(known) if known else None

    found = {
        "val": Set(val, classes, temperature).figures() if val else None,
        "n_leaked_val": sum(line["leaked"] for line in val),
        "n_rejected": {"val": n_rejected(val), "test": n_rejected(test)},
        "calibration": {"temperature": temperature, "val": before_after(val), "test": None} if val else None,
    }
    if 0 < found["n_leaked_val"] < len(val):
        found["val_deduplicated"] = Set([line for line in val if not line["leaked"]], classes, temperature).figures()
    if test:
        new = [line for line in test if not line["leaked"]]
        main = new or test
        accepted = [line for line in main if not line["rejected"]]
        found |= {
            "test": Set(test, classes, temperature).figures(),
            "main_set": "test_deduplicated" if len(main) < len(test) else "test",
            "n_leaked": len(test) - len(new),
            "n_main_rejected": n_rejected(main),
        }
        if len(main) < len(test):
            found["test_deduplicated"] = Set(main, classes, temperature).figures()
        if 0 < len(accepted) < len(main):
            found["test_accepted"] = Set(accepted, classes, temperature).figures()
        if val:
            found["calibration"]["test"] = before_after(main)
    quoted = found.get("main_set", "val_deduplicated" if "val_deduplicated" in found else "val")
    found["majority_baseline"] = majority_baseline(found[quoted], given[quoted]) if found[quoted] else None
    return found


def compare(given, found, path):
    """The number of figures that were compared; fails at the first that differs."""
    if isinstance(given, dict):
        left_out = {key for key in given if key.endswith("_interval") and key not in found}
        assert set(given) - left_out == set(found), f"{path}: {sorted(set(given) ^ set(found))}"
        return sum(compare(given[key], found[key], f"{path}.{key}") for key in found)
    if isinstance(given, list):
        assert len(given) == len(found), path
        return sum(compare(a, b, path) for a, b in zip(given, found))
    if isinstance(given, (int, float)):
        assert found is not None and abs(given - found) <= TOLERANCE, f"{path}: {given} and {found}"
    else:
        assert given == found, f"{path}: {given} and {found}"
    return 1


def main():
    for run in map(pathlib.Path, sys.argv[1:]):
        given = json.loads((run / "metrics.json").read_text())
        found = recompute(run, given)
        n = compare({key: value for key, value in given.items() if key not in FACTS}, found, run.name)
        print(f"{run}: {n} figures agree to {TOLERANCE}")


main()
