#!/usr/bin/env python3
"""Writes area_intervals.json, the golden values of tests/metrics_golden.rs: 95 % intervals of areas under the ROC curve.

    python3 area_intervals_golden.py        (numpy, scipy)

The variance is that of DeLong et al. (1988), and with patients that of Obuchowski (1997, Biometrics 53, 567-578), both from the
matrix of all pairs. The interval is symmetric on the scale of the logit, with Student's quantile. Scores are multiples of a
quarter, so that some tie.
"""
import json
import pathlib

import numpy as np
from scipy import stats


def interval(labels, scores, patients):
    of_class, rest = labels == 1, labels == 0
    difference = scores[of_class][:, None] - scores[rest][None, :]
    wins = (difference > 0) + 0.5 * (difference == 0)
    area, m, n = wins.mean(), of_class.sum(), rest.sum()
    # Of each image, the share of pairs won less the area.
    gap_of, gap_rest = wins.mean(axis=1) - area, wins.mean(axis=0) - area
    if patients is None:
        variance = (gap_of**2).sum() / (m - 1) / m + (gap_rest**2).sum() / (n - 1) / n
        shares = np.concatenate([gap_of / m, gap_rest / n])
        fewest = min(m, n)
    else:
        numbers = np.unique(patients)
        sum_of = np.array([gap_of[patients[of_class] == number].sum() for number in numbers])
        sum_rest = np.array([gap_rest[patients[rest] == number].sum() for number in numbers])
        n_of, n_rest = (len(np.unique(patients[side])) for side in (of_class, rest))
        s10 = n_of / ((n_of - 1) * m) * (sum_of**2).sum()
        s01 = n_rest / ((n_rest - 1) * n) * (sum_rest**2).sum()
        s11 = len(numbers) / (len(numbers) - 1) * (sum_of * sum_rest).sum()
        variance = s10 / m + s01 / n + 2 * s11 / (m * n)
        shares = sum_of / m + sum_rest / n
        fewest = min(n_of, n_rest)
    # Satterthwaite's degrees of freedom, at most those of the smaller side.
    relative = (shares**4).sum() / (shares**2).sum() ** 2 - 1 / len(shares)
    degrees = min(2 / relative if relative > 1e-12 else np.inf, fewest - 1)
    reach = stats.t.ppf(0.975, degrees) * np.sqrt(variance) / (area * (1 - area))
    logit = np.log(area / (1 - area))
    return area, [1 / (1 + np.exp(-(logit + offset))) for offset in (-reach, reach)]


def case(name, labels, scores, patients=None):
    area, ends = interval(labels, scores, patients)
    return {
        "name": name,
        "labels": labels.tolist(),
        "scores": scores.tolist(),
        "patients": None if patients is None else patients.tolist(),
        "roc_auc": area,
        "roc_auc_interval": ends,
    }


def main():
    rng = np.random.default_rng(0)

    def scored(labels, common=0.0):
        return np.round(4 * (labels + common + rng.normal(size=len(labels)))) / 4

    cases = []
    for n_of, n in [(2, 30), (3, 30), (10, 40)]:
        labels = (np.arange(n) < n_of).astype(int)
        cases.append(case(f"{n_of} of {n} images", labels, scored(labels)))
    for n_patients in [2, 3, 10]:
        patients = np.repeat(np.arange(n_patients), 8)
        labels = np.arange(8 * n_patients) % 3 % 2
        common = rng.normal(size=n_patients)[patients] / 2
        cases.append(case(f"{n_patients} patients with both classes", labels, scored(labels, common), patients))
        patients = np.repeat(np.arange(2 * n_patients), 4)
        labels = patients % 2
        common = rng.normal(size=2 * n_patients)[patients] / 2
        cases.append(case(f"{n_patients} patients of each class", labels, scored(labels, common), patients))
    path = pathlib.Path(__file__).with_name("area_intervals.json")
    path.write_text(json.dumps(cases) + "\n")


main()
