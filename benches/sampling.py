#!/usr/bin/env python3
"""Compares the samplers of sweeps with Optuna's on standard test functions.

Needs `optuna` in the Python that runs it. Prints the median, over the seeds, of the best value that 100
trials found; less is better.
"""
import json
import math
import statistics
import subprocess
from pathlib import Path

import optuna

TRIALS, SEEDS = 100, 20
ROOT = Path(__file__).resolve().parent.parent

ALPHA = [1.0, 1.2, 3.0, 3.2]
A = [[10, 3, 17, 3.5, 1.7, 8], [0.05, 10, 17, 0.1, 8, 14], [3, 3.5, 1.7, 10, 17, 8], [17, 8, 0.05, 10, 0.1, 14]]
P = [[1312, 1696, 5569, 124, 8283, 5886], [2329, 4135, 8307, 3736, 1004, 9991],
     [2348, 1451, 3522, 2883, 3047, 6650], [4047, 8828, 8732, 5743, 1091, 381]]


def branin(t):
    x, y = t.suggest_float("x0", -5, 10), t.suggest_float("x1", 0, 15)
    b, c, s = 5.1 / (4 * math.pi**2), 5 / math.pi, 1 / (8 * math.pi)
    return (y - b * x * x + c * x - 6) ** 2 + 10 * (1 - s) * math.cos(x) + 10


def hartmann6(t):
    x = [t.suggest_float(f"x{n}", 0, 1) for n in range(6)]
    return -sum(ALPHA[i] * math.exp(-sum(A[i][j] * (x[j] - P[i][j] * 1e-4) ** 2 for j in range(6))) for i in range(4))


def ackley5(t):
    x = [t.suggest_float(f"x{n}", -5, 5) for n in range(5)]
    squares, waves = sum(v * v for v in x) / 5, sum(math.cos(2 * math.pi * v) for v in x) / 5
    return -20 * math.exp(-0.2 * math.sqrt(squares)) - math.exp(waves) + 20 + math.e


def rosenbrock4(t):
    x = [t.suggest_float(f"x{n}", -2, 2) for n in range(4)]
    return sum(100 * (b - a * a) ** 2 + (1 - a) ** 2 for a, b in zip(x, x[1:]))


def mixed(t):
    rate = t.suggest_float("x0", math.exp(-9), 1, log=True)
    depth = t.suggest_float("x1", 1, 20, step=1)
    kind = t.suggest_categorical("x2", [0, 1, 2, 3])
    return (math.log(rate) + 4) ** 2 + 0.1 * (depth - 7) ** 2 + [2, 1, 0, 3][kind]


def main():
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    command = ["cargo", "bench", "--quiet", "-p", "amlite-service", "--profile", "dev", "--bench", "sampling"]
    ours = json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)
    samplers = {
        "optuna random": lambda seed: optuna.samplers.RandomSampler(seed=seed),
        "optuna TPE": lambda seed: optuna.samplers.TPESampler(seed=seed),
        "optuna TPE multivariate": lambda seed: optuna.samplers.TPESampler(seed=seed, multivariate=True),
    }
    columns = ["aml random", "aml sobol", "aml bayesian", *samplers]
    print("| function | " + " | ".join(columns) + " |\n|" + "---|" * (len(columns) + 1))
    for function in [branin, hartmann6, ackley5, rosenbrock4, mixed]:
        row = [statistics.median(ours[f"{function.__name__}/{name}"]) for name in columns[:3]]
        for sampler in samplers.values():
            best = []
            for seed in range(SEEDS):
                study = optuna.create_study(sampler=sampler(seed))
                study.optimize(function, n_trials=TRIALS)
                best.append(study.best_value)
            row.append(statistics.median(best))
        print(f"| {function.__name__} | " + " | ".join(f"{value:.4g}" for value in row) + " |", flush=True)


if __name__ == "__main__":
    main()
