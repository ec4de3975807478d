"""Clusters of Ray on this machine, whose nodes are processes."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from unittest.mock import patch

from tests.support.processes import ROOT

if TYPE_CHECKING:
    from ray.cluster_utils import Cluster

_HEALTH = {
    "health_check_initial_delay_ms": 1000,
    "health_check_period_ms": 500,
    "health_check_failure_threshold": 6,
}
"""A dead node is noticed after seconds, not half a minute."""


@contextmanager
def ray_cluster(number: int) -> "Iterator[Cluster]":
    """A cluster of nodes with one CPU each. Its files are in a folder of `RAY_TMPDIR`, as long as the block lasts."""
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:  # paths of sockets are short
        environment = {
            "RAY_TMPDIR": folder,
            "RAY_USAGE_STATS_ENABLED": "0",
            "PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
        }
        with patch.dict(os.environ, environment):
            from ray.cluster_utils import Cluster

            node = {"num_cpus": 1, "object_store_memory": 100 << 20}
            cluster = Cluster(True, head_node_args={**node, "include_dashboard": False, "_system_config": _HEALTH})
            try:
                for _ in range(number - 1):
                    cluster.add_node(**node)
                yield cluster
            finally:
                cluster.shutdown()
