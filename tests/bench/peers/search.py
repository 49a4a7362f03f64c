"""Prints the seconds that a search takes in another tuner, and its best val_accuracy. usage: search.py kerastuner|optuna_torch FOLDER POINTS EPOCHS

The same points, rows and epochs as bench/search.rs: Flatten -> Dense(units, relu) -> Dense(10), Adam, batch 32. KerasTuner in one process with all
cores; Optuna with PyTorch in two processes of one thread each.
"""
import json
import multiprocessing
import os
import sys
import tempfile
import time

import numpy as np

BATCH, WORKERS = 32, 2


def read(folder, part):
    x = np.fromfile(f"{folder}/{part}-images", np.uint8)[16:].reshape(-1, 28, 28).astype(np.float32) / 255
    return x, np.fromfile(f"{folder}/{part}-labels", np.uint8)[8:].astype(np.int64)


def kerastuner(folder, points, epochs):
    os.environ["TF_CPP_MIN_LOG_LEVEL"], os.environ["CUDA_VISIBLE_DEVICES"] = "3", ""
    import keras
    import keras_tuner

    x, y = read(folder, "train")
    held_out = read(folder, "validation")

    def build(hp):
        units, rate = points[hp.Choice("point", list(range(len(points))))]
        layers = [keras.layers.Flatten(), keras.layers.Dense(units, activation="relu"), keras.layers.Dense(10, activation="softmax")]
        model = keras.Sequential([keras.layers.Input((28, 28)), *layers])
        model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
        return model

    with tempfile.TemporaryDirectory() as place:
        tuner = keras_tuner.GridSearch(build, objective="val_accuracy", directory=place)
        begun = time.perf_counter()
        tuner.search(x, y, epochs=epochs, batch_size=BATCH, validation_data=held_out, verbose=0)
        seconds = time.perf_counter() - begun
        trials = tuner.oracle.get_best_trials(len(points))
        assert len({trial.hyperparameters.values["point"] for trial in trials}) == len(points)
        return seconds, trials[0].score


def worker(folder, points, epochs, journal, ready, go):
    import optuna
    import torch
    from optuna.storages import JournalStorage, journal as journals

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    torch.set_num_threads(1)
    (x, y), (xv, yv) = ([torch.from_numpy(part) for part in read(folder, name)] for name in ("train", "validation"))

    def objective(trial):
        units, rate = points[trial.suggest_int("point", 0, len(points) - 1)]
        model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(784, units), torch.nn.ReLU(), torch.nn.Linear(units, 10))
        adam, loss, best = torch.optim.Adam(model.parameters(), rate, fused=True), torch.nn.CrossEntropyLoss(), 0
        for _ in range(epochs):
            for rows in torch.randperm(len(x)).split(BATCH):
                value = loss(model(x[rows]), y[rows])
                adam.zero_grad()
                value.backward()
                adam.step()
            with torch.no_grad():
                best = max(best, (model(xv).argmax(1) == yv).float().mean().item())
        return best

    study = optuna.load_study(study_name="seed", storage=JournalStorage(journals.JournalFileBackend(journal)))
    ready.release()
    go.wait()
    study.optimize(objective, n_trials=len(points) // WORKERS)


def optuna_torch(folder, points, epochs):
    import optuna
    from optuna.storages import JournalStorage, journal as journals

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with tempfile.TemporaryDirectory() as place:
        journal = f"{place}/journal.log"
        study = optuna.create_study(study_name="seed", storage=JournalStorage(journals.JournalFileBackend(journal)), direction="maximize")
        for point in range(len(points)):
            study.enqueue_trial({"point": point})
        spawn = multiprocessing.get_context("spawn")
        ready, go = spawn.Semaphore(0), spawn.Event()
        workers = [spawn.Process(target=worker, args=(folder, points, epochs, journal, ready, go)) for _ in range(WORKERS)]
        for process in workers:
            process.start()
        for _ in workers:
            ready.acquire()
        begun = time.perf_counter()
        go.set()
        for process in workers:
            process.join()
        seconds = time.perf_counter() - begun
        assert sorted(trial.params["point"] for trial in study.trials) == list(range(len(points)))
        return seconds, study.best_value


if __name__ == "__main__":
    search = {"kerastuner": kerastuner, "optuna_torch": optuna_torch}[sys.argv[1]]
    print(*search(sys.argv[2], json.loads(sys.argv[3]), int(sys.argv[4])))
