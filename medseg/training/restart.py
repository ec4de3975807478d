"""A training that torchrun starts again after one of its processes has ended: it goes on where it was saved."""

import logging
import os
from pathlib import Path

from medseg.atomic import write_text
from medseg.hardware.processes import Processes
from medseg.tracking.dead_runs import find_process_start, hash_host
from medseg.training.recipe import Recipe

_NOTE = ".torchrun"
"""File in the output folder that names the torchrun whose training is in the folder."""
_logger = logging.getLogger(__name__)


def name_launcher() -> str:
    """A name of the torchrun that started this process, the same after a restart; empty without torchrun."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return ""
    parent = os.getppid()
    return f"{hash_host()}/{parent}/{find_process_start(parent)}"


def note_launcher(folder: Path) -> None:
    """Note in `folder` which torchrun has started the training there."""
    if name := name_launcher():
        write_text(folder / _NOTE, name)


def resume_restarted(recipe: Recipe, folder: Path, processes: Processes) -> Recipe:
    """`recipe` with `train.resume=true` if this torchrun has started the training in `folder` before.

    The first process may now be on another machine than then, so the torchruns of all machines count.
    """
    launchers = processes.gather(name_launcher())

    def is_restarted() -> bool:
        note = folder / _NOTE
        return note.is_file() and note.read_text() in launchers and (folder / "last.pt").is_file()

    if not any(launchers) or not processes.lead(is_restarted):
        return recipe
    _logger.info("torchrun has started this training again. It resumes from the checkpoint %s", folder / "last.pt")
    return recipe.model_copy(update={"train": recipe.train.model_copy(update={"resume": True})})
