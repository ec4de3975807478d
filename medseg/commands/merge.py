"""Join the shards of a prediction into what one run would have made. Research use only. Not for clinical use.

usage: medseg merge inputs=[OUT1,OUT2,...] [output.dir=OUT]
       In the repository, python -m pipelines.merge takes the same arguments.

OUT1, OUT2, ... are the output folders of medseg predict with predict.shard=1/n to n/n. All shards must be finished, and
have the same model, settings, backend, precision and input.dir. The masks get a second name in OUT if the file system
has hard links; else they are copied. The input images are not needed. If the command is stopped, run it again.
Exit code 0: joined, even if some files were rejected; 1: failed; 2: bad configuration, or shards that do not belong
together; 130, 143: stopped by a signal.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from medseg.config import Section, parse_args
from medseg.output.config import OutputConfig

if TYPE_CHECKING:
    from medseg.folder.progress import Tally


class MergeOutputConfig(OutputConfig):
    """Where results are written."""

    dir: Path = Path("output/merge")
    """Folder for the results of this command. Only one process at a time may write into it."""


class MergeConfig(Section):
    """One join of shards."""

    inputs: Annotated[tuple[Path, ...], Field(min_length=1)]
    """Output folders of all shards, in any order. They are not changed."""

    output: MergeOutputConfig = MergeOutputConfig()


def main(argv: Sequence[str] | None = None) -> None:
    """Join shards, and print how many files there are. Paths may name a patient, and are not printed."""
    from medseg.notice import RESEARCH_USE

    config = parse_args(MergeConfig, argv)
    counts = run(config).statuses
    listed = ", ".join(f"{counts[name]} {name}" for name in ("done", "skipped", "rejected"))
    print(f"{listed} in {len(config.inputs)} shards\nreport: report.csv in output.dir\n{RESEARCH_USE}")


def run(config: MergeConfig) -> "Tally":
    """Join shards: the number of files by status. Raises `MedsegError`."""
    from medseg.cluster.parts import FOLDER
    from medseg.merging.merge import merge_shards
    from medseg.output.folder import claim_folder
    from medseg.output.writers import RESULTS

    with claim_folder(config.output.dir, (*RESULTS, FOLDER)) as folder:
        return merge_shards(config.inputs, folder)
