"""Steps of a training in float64 on made-up cases: `python -m tests.support.parallel_steps OUT [SETTINGS]`.

Each process writes the weights, the averaged weights and the losses to `OUT/<rank>.pt`.
"""

import sys
from dataclasses import replace
from pathlib import Path

import torch
from ignite.engine import Events
from monai.utils.enums import CommonKeys

from medseg.config import parse_args
from medseg.data.augment import Augment
from medseg.data.frame import Frame
from medseg.data.loaders import CachedCases, CaseFacts
from medseg.hardware.device import find_hardware
from medseg.hardware.processes import joined
from medseg.model.checkpoint import ModelCard
from medseg.training.engines import seeded
from medseg.training.fit import wire_training
from medseg.training.recipe import Recipe


def make_cases(count: int = 13, side: int = 32) -> CachedCases:
    """Noise with masks, of which some are unknown and some pixels ignored: no part of a batch is like another."""
    generator = torch.Generator().manual_seed(3)
    facts = CaseFacts("case", "", "", None, None, None, None, None, Frame((side, side), (0, side), (0, side)))
    images = torch.rand(count, 1, side, side, generator=generator, dtype=torch.float64)
    labels = (torch.rand(count, 2, side, side, generator=generator) < 0.3).to(torch.uint8)
    present = torch.rand(count, 2, generator=generator) < 0.6
    ignored = (torch.rand(count, 2, side, side, generator=generator) < 0.02).to(torch.uint8)
    return CachedCases(tuple(replace(facts, id=f"case{n}") for n in range(count)), images, labels, present, ignored)


def main(out: Path, recipe: Recipe) -> None:
    torch.set_default_dtype(torch.float64)
    card = ModelCard(classes=("a", "b"), model=recipe.model, preprocess=recipe.preprocess)
    with joined("cpu", 20) as processes, seeded(0):
        hardware = find_hardware("cpu", "fp32", processes=processes)
        augment = Augment(recipe.augment, recipe.seed, hardware.device)
        wired = wire_training(recipe, card, make_cases(), hardware, augment)
        wired.budget.attach(wired.trainer)
        losses: list[float] = []
        wired.trainer.add_event_handler(
            Events.ITERATION_COMPLETED, lambda engine: losses.append(engine.state.output[CommonKeys.LOSS].item())
        )
        wired.trainer.run()
        found = {"network": wired.trainer.network.state_dict(), "average": wired.average.state_dict()}
        torch.save({**found, "losses": torch.tensor(losses)}, out / f"{processes.rank}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]), parse_args(Recipe, sys.argv[2:]))
