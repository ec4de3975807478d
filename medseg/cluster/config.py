"""The settings that say where the files of a folder are processed."""

from typing import Literal

from pydantic import PositiveFloat, PositiveInt

from medseg.config import Section


class FolderConfig(Section):
    """Where files are processed, and where masks go."""

    engine: Literal["local", "ray"] = "local"
    """Machines that process the files. local: this one. ray: the nodes of a Ray cluster; install medseg[ray]."""

    results: str | None = None
    """URL of a folder in an object store, such as s3://BUCKET/PREFIX, for the masks. Report and journal are always in
    output.dir. Credentials come from the environment. null: output.dir, which all nodes must share."""

    address: str | None = None
    """Address of the Ray cluster: HOST:PORT, or auto for a cluster that runs on this machine. null: that of the
    variable RAY_ADDRESS; without it, Ray is started on this machine until the command ends."""

    networks: PositiveInt = 1
    """Number of processes for the network on each node. On a node with GPUs, each has a GPU of its own."""

    writers: PositiveInt | None = None
    """Number of processes for writing on each node. null: the processes that decode images, whose number is
    predict.workers, also write."""

    wait_seconds: PositiveFloat = 300.0
    """Time limit in seconds for the wait for a node. If no node is ready for longer, the command ends. A node needs up
    to a minute to get ready."""
