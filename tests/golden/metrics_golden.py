#!/usr/bin/env python3
"""Writes metrics.json, the golden values of tests/metrics_golden.rs: scikit-learn's metrics of synthetic predictions.

    python3 metrics_golden.py        (scikit-learn 1.7 or newer, statsmodels)

Logits are multiples of a quarter, so that probabilities tie; one case has a class without images, one a class that
is never predicted. Neither library has the expected calibration error: both of its forms are computed here by
their definition.
"""
import json
import math
import pathlib
import warnings

import numpy as np
from sklearn import metrics
from statsmodels.stats.proportion import proportion_confint

warnings.filterwarnings("ignore")


def calibration_errors(labels, probabilities, n_bins=15):
    """The error, and the same without the bias that normally distributed noise gives it (Kumar et al. 2019)."""
    confidence, predicted = probabilities.max(axis=1), probabilities.argmax(axis=1)
    edges = np.linspace(0, 1, n_bins + 1)
    total = bias = 0.0
    for low, high in zip(edges[:-1], edges[1:]):
        inside = (confidence > low) & (confidence <= high)
        if inside.any():
            accuracy = (predicted[inside] == labels[inside]).mean()
            gap = confidence[inside].mean() - accuracy
            sd = math.sqrt(accuracy * (1 - accuracy) / inside.sum())
            folded = abs(gap)
            if sd > 0:
                density = sd * math.sqrt(2 / math.pi) * math.exp(-((gap / sd) ** 2) / 2)
                folded = density + gap * math.erf(gap / sd / math.sqrt(2))
            total += inside.mean() * abs(gap)
            bias += inside.mean() * (folded - abs(gap))
    return total, max(total - bias, 0.0)


def case(name, labels, logits):
    n_classes = logits.shape[1]
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities = exponentials / exponentials.sum(axis=1, keepdims=True)
    predicted = logits.argmax(axis=1)
    classes = list(range(n_classes))
    per_class = []
    for c in classes:
        is_c, predicted_c = labels == c, predicted == c
        both = 0 < is_c.sum() < len(labels)
        per_class.append({
            "recall": metrics.recall_score(is_c, predicted_c) if is_c.any() else None,
            "precision": metrics.precision_score(is_c, predicted_c) if predicted_c.any() else None,
            "specificity": metrics.recall_score(~is_c, ~predicted_c) if (~is_c).any() else None,
            "roc_auc": metrics.roc_auc_score(is_c, probabilities[:, c]) if both else None,
        })
    aucs = [entry["roc_auc"] for entry in per_class if entry["roc_auc"] is not None]
    if n_classes == 2:
        brier = metrics.brier_score_loss(labels, probabilities[:, 1])
    else:
        brier = metrics.brier_score_loss(labels, probabilities, labels=classes, scale_by_half=False)
    ece, ece_debiased = calibration_errors(labels, probabilities)
    n_correct = int((labels == predicted).sum())
    return {
        "name": name,
        "labels": labels.tolist(),
        "logits": logits.tolist(),
        "accuracy": metrics.accuracy_score(labels, predicted),
        "accuracy_interval": list(proportion_confint(n_correct, len(labels), method="wilson")),
        "balanced_accuracy": metrics.balanced_accuracy_score(labels, predicted),
        # Of the classes that have images, as balanced accuracy.
        "macro_f1": metrics.f1_score(labels, predicted, labels=np.unique(labels), average="macro", zero_division=0),
        "kappa": metrics.cohen_kappa_score(labels, predicted),
        "macro_roc_auc": float(np.mean(aucs)),
        "log_loss": metrics.log_loss(labels, probabilities, labels=classes),
        "brier_score": brier,
        "ece": ece,
        "ece_debiased": ece_debiased,
        "per_class": per_class,
    }


def synthetic(rng, n, n_classes, missing=None):
    labels = rng.integers(0, n_classes, n)
    if missing is not None:
        labels[labels == missing] = (missing + 1) % n_classes
    logits = np.round(4 * rng.normal(size=(n, n_classes))) / 4
    logits[np.arange(n), labels] += 1.0
    return labels, logits


def main():
    rng = np.random.default_rng(0)
    cases = [
        case("two classes", *synthetic(rng, 40, 2)),
        case("three classes, many ties", *synthetic(rng, 66, 3)),
        case("a class without images", *synthetic(rng, 50, 4, missing=2)),
    ]
    labels, logits = synthetic(rng, 30, 3)
    logits[:, 1] -= 20.0
    cases.append(case("a class that is never predicted", labels, logits))
    path = pathlib.Path(__file__).with_name("metrics.json")
    path.write_text(json.dumps(cases) + "\n")


main()
