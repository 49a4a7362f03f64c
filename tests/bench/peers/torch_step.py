"""Prints the microseconds of a training step in PyTorch, in the best round. usage: torch_step.py CASE BATCH ROWS STEPS ROUNDS

The same work as bench/step.rs: rows picked from a dataset in memory, forward, sparse cross-entropy, backward, Adam; on one thread.
"""
import sys
import time

import torch
from torch import nn


class Lstm(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm, self.dense = nn.LSTM(28, 64, batch_first=True), nn.Linear(64, 10)

    def forward(self, x):
        return self.dense(self.lstm(x)[0][:, -1])


def mlp(units):
    return nn.Sequential(nn.Flatten(), nn.Linear(784, units), nn.ReLU(), nn.Linear(units, 10))


def cnn1():
    return nn.Sequential(nn.Unflatten(1, (1, 28)), nn.Conv2d(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(5408, 10))


def cnn2():
    return nn.Sequential(
        nn.Unflatten(1, (1, 28)), nn.Conv2d(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(1600, 128), nn.ReLU(), nn.Dropout(0.5), nn.Linear(128, 10),
    )  # fmt: skip


NETWORKS = {
    "train_mlp128_b32": lambda: mlp(128),
    "train_mlp128_b128": lambda: mlp(128),
    "train_mlp512_b32": lambda: mlp(512),
    "train_cnn1_b64": cnn1,
    "train_cnn2_b64": cnn2,
    "train_lstm64_b64": Lstm,
}

case, (batch, rows, steps, rounds) = sys.argv[1], map(int, sys.argv[2:])
torch.set_num_threads(1)
torch.manual_seed(1)
y = torch.arange(rows) % 10
x = torch.rand(rows, 28, 28) * (torch.rand(rows, 28, 28) < 0.2)
x[torch.arange(rows), y] += 0.5
order = torch.randperm(rows)
batches = [order[start : start + batch] for start in range(0, rows - batch + 1, batch)]
model, loss = NETWORKS[case](), nn.CrossEntropyLoss()
adam = torch.optim.Adam(model.parameters(), lr=1e-3, eps=1e-7, fused=True)

best, step = float("inf"), 0
for number in range(rounds + 1):
    begun = time.perf_counter()
    for _ in range(steps):
        picked = batches[step % len(batches)]
        step += 1
        value = loss(model(x[picked]), y[picked])
        adam.zero_grad()
        value.backward()
        adam.step()
    if number > 0:  # the first only warms up
        best = min(best, (time.perf_counter() - begun) / steps * 1e6)
assert torch.isfinite(value)
print(best)
