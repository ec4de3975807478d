"""Prediction on a Ray cluster: nodes and the driver may die, and the results are those of one machine."""

import json
import logging
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import psutil
import pyarrow.parquet
import pytest

from medseg.cluster.cluster import Cluster, ClusterNetwork
from medseg.cluster.config import FolderConfig
from medseg.cluster.posts import Plan, Post
from medseg.folder.job import build_job
from medseg.folder.journal import Journal
from medseg.folder.stages import FolderPrediction
from medseg.inference.config import FolderPredictConfig, InputConfig
from medseg.inference.decision import build_decision
from medseg.inference.models import load_models
from medseg.model.checkpoint import Extent
from medseg.model.config import InferenceConfig
from medseg.output.config import PredictOutputConfig, ReportConfig
from medseg.tracking.config import StoreConfig
from tests.support.dicom_files import phantom, write_dicom
from tests.support.model_files import write_model
from tests.support.object_stores import KEY, SECRET, open_store, s3_server
from tests.support.prediction_command import MODULE, contents, predict, rows
from tests.support.processes import Forked
from tests.support.ray_clusters import ray_cluster

if TYPE_CHECKING:
    from ray.cluster_utils import Cluster as RayCluster

pytestmark = pytest.mark.slow

NUMBER = 24
BACKEND = ("predict.backend=torch", "predict.precision=fp32")
EPOCH = {"SOURCE_DATE_EPOCH": "1700000000"}


@pytest.fixture(scope="module")
def store() -> Iterator[Mapping[str, str]]:
    """An S3 server; this process and all that it starts find it."""
    with s3_server("archive") as environment:
        yield environment


@pytest.fixture(scope="module")
def nodes(store: Mapping[str, str]) -> "Iterator[RayCluster]":
    with pytest.MonkeyPatch.context() as patch, ray_cluster(3) as cluster:
        patch.setenv("SOURCE_DATE_EPOCH", EPOCH["SOURCE_DATE_EPOCH"])
        yield cluster


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that predicts every image twice."""
    path = tmp_path_factory.mktemp("model") / "model.pt"
    return write_model(path, inference=InferenceConfig(zoom=True), extent=Extent(smallest=1.9, usual=2.0))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images, a text and a broken image; names like those of patients."""
    root = tmp_path_factory.mktemp("input")
    for index in range(NUMBER):
        pixels = np.roll(phantom(), 3 * index, axis=1)
        write_dicom(root / f"Doe_Jane_{index:02d}.dcm", pixels, SOPInstanceUID=f"1.2.3.{index + 1}")
    (root / "cut.dcm").write_bytes((root / "Doe_Jane_00.dcm").read_bytes()[:2000])
    (root / "notes.txt").write_text("no image")
    return root


@pytest.fixture(scope="module")
def whole(model: Path, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one machine makes of the folder."""
    output = tmp_path_factory.mktemp("whole")
    done = predict(f"model={model}", f"input.dir={folder}", f"output.dir={output}", *BACKEND, environment=EPOCH)
    assert done.returncode == 1, done.stderr
    return output


def list_results(found: Mapping[str, bytes]) -> dict[str, bytes]:
    return {name: content for name, content in found.items() if name.partition("/")[0] in ("png", "seg")}


def list_rows(output: Path) -> list[dict[str, str]]:
    return [{name: cell for name, cell in row.items() if name != "seconds"} for row in rows(output)]


def test_a_node_that_dies_costs_no_file(nodes, model, folder, whole, tmp_path, monkeypatch):
    """The driver is this process, to see what a node has to do."""
    import ray

    monkeypatch.setenv("SOURCE_DATE_EPOCH", EPOCH["SOURCE_DATE_EPOCH"])
    loaded = load_models([str(model)], StoreConfig())
    settings, limits = FolderPredictConfig(backend="torch", precision="fp32"), InputConfig(dir=folder)
    output = PredictOutputConfig(dir=tmp_path / "out")
    ray.init(nodes.address, log_to_driver=False, logging_level=logging.FATAL)
    try:
        plan = Plan(FolderConfig(engine="ray"), settings, limits, output.formats, ray.put(loaded), "")
        cluster = Cluster(ray, plan)
        backend = cluster.start()
        while cluster.number < 3 + 3 * settings.batch_size:  # the limit of pytest ends a wait in vain
            cluster._take_next()
        job = build_job(loaded, backend, build_decision(loaded.card, settings), limits, output, ReportConfig())
        with Journal(tmp_path / "journal.jsonl") as journal:
            prediction = FolderPrediction(job, cluster, cluster, journal, ClusterNetwork)
            with losing_a_node(nodes, cluster) as victim:
                met = list(prediction.run(job.source, lambda: False))
        cluster.close()
        assert victim not in cluster._posts
    finally:
        ray.shutdown()
    assert [outcome.entry for outcome in met] == list(job.source)
    assert [outcome.record.status for outcome in met] == [row["status"] for row in rows(whole)]
    assert list_results(contents(tmp_path / "out")) == list_results(contents(whole))


@contextmanager
def losing_a_node(nodes, cluster) -> Iterator[Post]:
    """The block in which a node dies that has begun tasks and cannot end them, since its crew stands still."""
    node = next(iter(nodes.worker_nodes))
    victim = next(post for post in cluster._posts if post.node == node.node_id and post.role == "read")
    raylet = psutil.Process(node.all_processes["raylet"][0].process.pid)
    (crew,) = (child for child in raylet.children() if child.name().startswith("ray::Crew"))
    crew.suspend()

    def kill() -> None:
        while not victim.busy:
            time.sleep(0.01)
        nodes.remove_node(node, allow_graceful=False)
        crew.kill()

    with ThreadPoolExecutor(1) as thread:
        killing = thread.submit(kill)
        yield victim
        killing.result()


def test_a_driver_that_dies_is_started_again_and_does_what_is_missing(nodes, store, model, folder, tmp_path):
    """Files and objects in, objects out, every address hashed."""
    manifest, output = write_manifest(folder, tmp_path / "list.csv"), tmp_path / "out"
    shared = f"model={model}", f"input.dir={manifest}", "report.paths=hashed", *BACKEND
    one = predict(*shared, f"output.dir={tmp_path / 'one'}", environment={**store, **EPOCH})
    on_ray = *shared, f"output.dir={output}", "folder.engine=ray", f"folder.address={nodes.address}"
    on_ray = *on_ray, "folder.results=s3://archive/results/"
    with Forked(MODULE, *on_ray, environment={**store, **EPOCH}) as process:
        while count_done(output) < 5:
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.05)
        process.kill()
    missing = NUMBER - count_done(output)
    assert 0 < missing < NUMBER - 4
    done = predict(*on_ray, "folder.writers=1", environment={**store, **EPOCH})
    assert done.returncode == 1, done.stderr
    summary = json.loads((output / "summary.json").read_text())
    assert (summary["status"]["done"], summary["predicted"]) == (NUMBER, missing)
    assert list_rows(output) == list_rows(tmp_path / "one")
    system = open_store()
    found = {path.removeprefix("archive/results/"): system.cat_file(path) for path in system.find("archive/results")}
    assert found == list_results(contents(tmp_path / "one"))
    parts = pyarrow.parquet.read_table(output / "results").to_pylist()
    assert parts == list(map(json.loads, (output / "report.jsonl").read_text().splitlines()))
    text = one.stdout + one.stderr + done.stdout + done.stderr
    logs = b"".join(path.read_bytes() for path in list_files(Path(nodes.head_node.get_session_dir_path())))
    kept = b"".join(contents(output).values())
    for secret in (KEY, SECRET, "hunter2", "Doe_Jane", "missing.dcm"):
        assert secret not in text
        assert secret.encode() not in kept
        assert secret.encode() not in logs


def write_manifest(folder: Path, manifest: Path) -> Path:
    """Half of the files of `folder` by their paths, the other half as objects; an object that does not exist."""
    paths = sorted(path for path in folder.iterdir())
    with manifest.open("w") as table:
        print("number,path", file=table)
        for index, path in enumerate(paths):
            if index % 2:
                open_store().put_file(path, f"archive/images/{path.name}")
            print(f"{index},{f's3://archive/images/{path.name}' if index % 2 else path}", file=table)
        print("98,s3://archive/missing.dcm\n99,s3://user:hunter2@archive/images/Doe_Jane_00.dcm", file=table)
    return manifest


def count_done(output: Path) -> int:
    journal = output / "journal.jsonl"
    return journal.read_bytes().count(b'"status": "done"') if journal.exists() else 0


def list_files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def test_a_backend_that_a_node_does_not_have_is_one_clear_error(nodes, model, folder, tmp_path):
    done = predict(
        f"model={model}", f"input.dir={folder}", f"output.dir={tmp_path}", "predict.precision=int8",
        "predict.backend=openvino", "folder.engine=ray", f"folder.address={nodes.address}",
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.endswith("predict.precision=int8: the model is not quantized; run medseg quantize.\n")
    assert "Ray node 1" in done.stderr
