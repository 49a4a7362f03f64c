"""Prints the median milliseconds from enqueue_trial to the end of ask, with Optuna's journal in Redis. usage: optuna_queue.py REDIS_URL COUNT"""
import statistics
import sys
import time
import uuid
import warnings

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalRedisBackend

warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
optuna.logging.set_verbosity(optuna.logging.ERROR)
url, count = sys.argv[1], int(sys.argv[2])
storage = JournalStorage(JournalRedisBackend(url, prefix=uuid.uuid4().hex))
study = optuna.create_study(storage=storage, sampler=optuna.samplers.RandomSampler(seed=1))
took = []
for number in range(count):
    point = {"units": 64, "activation": "relu", "dropout": True, "dropout_rate": 0.1, "learning_rate": 0.001 + number * 1e-6}
    begun = time.perf_counter()
    study.enqueue_trial(point)
    trial = study.ask()
    took.append((time.perf_counter() - begun) * 1e3)
    assert trial.number == number
    study.tell(trial, 0.5)
print(statistics.median(took))
