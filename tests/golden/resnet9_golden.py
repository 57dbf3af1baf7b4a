#!/usr/bin/env python3
"""Golden values of a small ResNet9, computed by PyTorch: writes resnet9.safetensors next to this file.

    python -m venv VENV && VENV/bin/pip install torch numpy safetensors
    VENV/bin/python tests/golden/resnet9_golden.py

The file contains, for one batch of colour images whose sides are odd after the first pool: the initial weights, the logits in
training mode, the loss, the gradient of every parameter, the running statistics after that step, the losses of ten
optimiser steps of the recipe, and the logits in evaluation mode after them. Dropout is off, because its masks depend on
the random number generator.
"""

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

C_IN, CLASSES, WIDTH, N, HEIGHT, WIDTH_PX, STEPS = 3, 4, 4, 6, 14, 11, 10


def block(c_in, c_out, *more):
    return nn.Sequential(nn.Conv2d(c_in, c_out, 3, padding=1), nn.BatchNorm2d(c_out), nn.ReLU(), *more)


class ResNet9(nn.Module):
    def __init__(self, c_in, classes, width):
        super().__init__()
        self.conv1 = block(c_in, width)
        self.conv2 = block(width, 2 * width, nn.MaxPool2d(2))
        self.res1 = nn.Sequential(block(2 * width, 2 * width), block(2 * width, 2 * width))
        self.conv3 = block(2 * width, 4 * width, nn.MaxPool2d(2))
        self.conv4 = block(4 * width, 8 * width, nn.MaxPool2d(2))
        self.res2 = nn.Sequential(block(8 * width, 8 * width), block(8 * width, 8 * width))
        self.classifier = nn.Linear(8 * width, classes)

    def forward(self, x):
        x = self.conv2(self.conv1(x))
        x = self.res1(x) + x
        x = self.conv4(self.conv3(x))
        x = self.res2(x) + x
        return self.classifier(x.amax(dim=(2, 3)))


def main():
    torch.manual_seed(9)
    torch.set_num_threads(1)
    model = ResNet9(C_IN, CLASSES, WIDTH)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            # Not the default values, which would hide a missing factor.
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.5, 0.5)
    x = torch.randn(N, C_IN, HEIGHT, WIDTH_PX)
    labels = torch.randint(0, CLASSES, (N,))
    golden = {"x": x, "labels": labels}
    golden |= {f"init.{name}": value.detach().clone() for name, value in model.named_parameters()}

    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.01, total_steps=STEPS)
    losses = []
    for step in range(STEPS):
        optimizer.zero_grad()
        logits = model(x)
        loss = criterion(logits, labels)
        loss.backward()
        if step == 0:
            golden["logits"] = logits.detach().clone()
            golden |= {f"grad.{name}": value.grad.clone() for name, value in model.named_parameters()}
            golden |= {f"after.{name}": value.clone() for name, value in model.named_buffers() if "running" in name}
        nn.utils.clip_grad_value_(model.parameters(), 0.1)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    golden["losses"] = torch.tensor(losses)
    model.eval()
    with torch.no_grad():
        golden["eval_logits"] = model(x)
    golden = {name: value.contiguous() for name, value in golden.items()}
    save_file(golden, Path(__file__).with_name("resnet9.safetensors"), {"torch": torch.__version__})
    print("losses", [round(loss, 4) for loss in losses])


if __name__ == "__main__":
    main()
