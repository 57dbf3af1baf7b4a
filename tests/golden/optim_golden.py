#!/usr/bin/env python3
"""Writes optim.json, the golden values of tests/optim_golden.rs: PyTorch's one-cycle schedule and Adam.

    python3 optim_golden.py        (PyTorch 2, CPU build; the values are from 2.15)

The runs of Adam follow the schedule, so that the learning rate and Adam's beta1 change in
every step; gradients are random numbers that do not depend on the weights.
"""
import json
import pathlib

import torch
from torch.optim.lr_scheduler import OneCycleLR

MAX_LR = 0.01
N_STEPS = 12
SHAPES = {"weight": (5, 7), "bias": (3,)}


def schedule(total_steps):
    optimiser = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))])
    one_cycle = OneCycleLR(optimiser, MAX_LR, total_steps=total_steps)
    lr, beta1 = [], []
    for step in range(total_steps):
        lr.append(optimiser.param_groups[0]["lr"])
        beta1.append(optimiser.param_groups[0]["betas"][0])
        if step + 1 < total_steps:
            optimiser.step()
            one_cycle.step()
    return {"max_lr": MAX_LR, "lr": lr, "beta1": beta1}


def run(clip, weight_decay, seed):
    generator = torch.Generator().manual_seed(seed)
    parameters = {
        name: torch.nn.Parameter(torch.randn(shape, generator=generator)) for name, shape in SHAPES.items()
    }
    kind, amount = weight_decay
    if kind == "decoupled":
        groups = [
            {"params": [parameters["weight"]], "weight_decay": amount},
            {"params": [parameters["bias"]], "weight_decay": 0.0},
        ]
        optimiser = torch.optim.AdamW(groups)
    else:
        optimiser = torch.optim.Adam(list(parameters.values()), weight_decay=amount)
    one_cycle = OneCycleLR(optimiser, MAX_LR, total_steps=N_STEPS)

    flat = lambda tensors: {name: tensor.detach().flatten().tolist() for name, tensor in tensors.items()}
    start, steps = flat(parameters), []
    for step in range(N_STEPS):
        for parameter in parameters.values():
            parameter.grad = 0.2 * torch.randn(parameter.shape, generator=generator)
        grads = flat({name: parameter.grad for name, parameter in parameters.items()})
        if clip[0] == "value":
            torch.nn.utils.clip_grad_value_(parameters.values(), clip[1])
        elif clip[0] == "norm":
            torch.nn.utils.clip_grad_norm_(parameters.values(), clip[1])
        optimiser.step()
        if step + 1 < N_STEPS:
            one_cycle.step()
        steps.append({"grads": grads, "values": flat(parameters)})
    return {"clip": clip, "weight_decay": weight_decay, "start": start, "steps": steps}


golden = {
    "schedules": [schedule(total_steps) for total_steps in (1, 2, 3, 4, 10, 37, 100)],
    "max_lr": MAX_LR,
    "runs": [
        run(("value", 0.1), ("l2", 1e-4), 0),
        run(("value", 0.1), ("l2", 0.3), 1),
        run(("norm", 0.5), ("decoupled", 0.3), 2),
        run(("off", 0.0), ("decoupled", 1e-2), 3),
    ],
}
path = pathlib.Path(__file__).with_name("optim.json")
path.write_text(json.dumps(golden) + "\n")
print(f"wrote {path.name}, {path.stat().st_size} bytes")
