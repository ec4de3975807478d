"""One process with two threads against two with one thread, by turns: `python -m tests.support.parallel_speed`.

The training step of `chest_xray` on made-up images, at the same batch size. Prints milliseconds a step of each turn,
and their ratio. `python -m tests.support.parallel_speed TURNS STEPS NEIGHBORS` runs so many busy loops beside it.
"""

import multiprocessing
import os
import statistics
import sys
import time
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import Any

import torch
from ignite.engine import Events

from medseg.config import parse_args
from medseg.data.augment import Augment
from medseg.hardware.device import find_hardware
from medseg.hardware.processes import joined
from medseg.model.checkpoint import ModelCard
from medseg.training.engines import seeded
from medseg.training.fit import wire_training
from medseg.training.recipe import Recipe
from tests.support.parallel_steps import make_cases
from tests.support.torchrun import Torchrun

SETTINGS = "chest_xray", "train.batch_size=4", "train.coarse=0", "train.init=null", "train.minutes=null"


def work(turns: Connection, environment: dict[str, str], num_threads: int, steps: int) -> None:
    """Train `steps` at each message, and answer with the seconds."""
    os.environ.update(environment)
    torch.set_num_threads(num_threads)
    recipe = parse_args(Recipe, SETTINGS)
    made = make_cases(16, recipe.preprocess.size[0])
    cases = replace(made, images=made.images.float(), ignored=None)
    card = ModelCard(classes=("a", "b"), model=recipe.model, preprocess=recipe.preprocess)
    with joined("cpu", 600) as processes, seeded(0):
        hardware = find_hardware("cpu", "fp32", processes=processes)
        wired = wire_training(recipe, card, cases, hardware, Augment(recipe.augment, 0, hardware.device))
        wired.budget.attach(wired.trainer)
        wired.trainer.add_event_handler(Events.ITERATION_COMPLETED(every=steps), wired.trainer.interrupt)
        while turns.recv():
            start = time.monotonic()
            wired.trainer.run()
            turns.send(time.monotonic() - start)


def spin() -> None:
    while True:
        pass


def main(num_turns: int = 6, steps: int = 4, neighbors: int = 0) -> None:
    torchrun = Torchrun()
    places = [({}, 2), (torchrun.environment(0, 2), 1), (torchrun.environment(1, 2), 1)]
    started: list[tuple[Any, Connection]] = []
    for environment, threads in places:
        ours, theirs = multiprocessing.Pipe()
        process = multiprocessing.Process(target=work, args=(theirs, environment, threads, steps), daemon=True)
        process.start()
        started.append((process, ours))
    beside = [multiprocessing.Process(target=spin, daemon=True) for _ in range(neighbors)]
    for process in beside:
        process.start()
    ratios = []
    for turn in range(num_turns + 1):
        seconds = []
        for pipes in ([started[0][1]], [started[1][1], started[2][1]]):
            for pipe in pipes:
                pipe.send(True)
            seconds.append(max(pipe.recv() for pipe in pipes))
        if turn:  # the first turn warms up
            ratios.append(seconds[0] / seconds[1])
            print(*(f"{1000 * each / steps:.0f}" for each in seconds), f"{ratios[-1]:.2f}", flush=True)
    print(f"two processes are {statistics.median(ratios):.2f} times as fast (median of {num_turns} turns)")
    for process, pipe in started:
        pipe.send(False)
        process.join()
    for process in beside:
        process.kill()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
