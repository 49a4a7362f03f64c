"""Writes the tables that tests/suite/numbers.rs trains on: python make.py"""

import pathlib
import random

folder = pathlib.Path(__file__).parent


def write(name, header, seed, row, rows=400):
    random.seed(seed)
    (folder / name).write_text("\n".join([header, *(row() for _ in range(rows))]) + "\n")


def two():
    y = int(random.random() < 0.35)
    return f"{random.gauss(1.2 * y, 1):.5f},{random.gauss(-0.8 * y, 1):.5f},{y}"


def three():
    y = random.randrange(3)
    return ",".join(f"{random.gauss(1.3 * (k == y), 1):.5f}" for k in range(3)) + f",{y}"


def fraud():
    y = random.random() < 0.15
    return f"{random.gauss(1.2 * y, 1):.4f},{random.gauss(-y, 1):.4f},{'fraud' if y else 'legit'}"


if __name__ == "__main__":
    write("two.csv", "a,b,y", 1, two)
    write("three.csv", "a,b,c,y", 2, three)
    write("fraud.csv", "a,b,y", 9, fraud, rows=600)
