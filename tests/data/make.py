"""Writes the tables that tests/suite/numbers.rs and an example train on: python make.py"""

import pathlib
import random

tests = pathlib.Path(__file__).parent
examples = tests.parents[1] / "openapi" / "examples" / "datasets"


def write(name, header, seed, row, rows=400, folder=tests):
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


FRUITS = {  # grams, sweetness in degrees Brix, and how often each colour occurs
    "apple": (180, 13, {"red": 6, "green": 3, "yellow": 1}),
    "lemon": (110, 8, {"yellow": 8, "green": 2}),
    "orange": (160, 11, {"orange": 9, "yellow": 1}),
}


def fruit():
    name = random.choice(list(FRUITS))
    grams, brix, colours = FRUITS[name]
    colour = random.choices(list(colours), list(colours.values()))[0]
    return f"{random.gauss(grams, 20):.0f},{random.gauss(brix, 1.2):.1f},{colour},{name}"


if __name__ == "__main__":
    write("two.csv", "a,b,y", 1, two)
    write("three.csv", "a,b,c,y", 2, three)
    write("fraud.csv", "a,b,y", 9, fraud, rows=600)
    write("fruit.csv", "grams,brix,colour,fruit", 3, fruit, rows=180, folder=examples)
