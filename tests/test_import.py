import json
import subprocess
import sys
from pathlib import Path

import pytest

import medseg
from tests.support.dicom_files import write_dicom
from tests.support.model_files import write_model

ROOT = Path(__file__).parents[1]


def run(code, *arguments, timeout=240):
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=timeout, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_import_medseg_imports_nothing_heavy():
    heavy = {"torch", "monai", "mlflow", "numpy", "pydantic", "pydicom", "importlib.metadata"}
    assert run(f"import medseg, sys; print({heavy!r} & sys.modules.keys())") == "set()\n"


def test_reading_imports_neither_torch_nor_monai():
    assert (
        run("import medseg, sys; medseg.read_radiograph; print({'torch', 'monai'} & sys.modules.keys())") == "set()\n"
    )


def test_every_name_is_there_and_no_other():
    assert {"load_model", "read_radiograph", "train", "evaluate", "check_data", "cross_validate", "errors"} <= set(
        medseg.__all__
    )
    for name in medseg.__all__:
        assert getattr(medseg, name).__doc__
    assert set(medseg.__all__) <= set(dir(medseg))
    assert medseg.__version__
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        medseg.nothing  # noqa: B018


def test_types_are_for_others_too():
    assert (Path(medseg.__file__).parent / "py.typed").exists()


# the first round imports libraries, which change a state of their own
STATE = """
import json, logging, os, random, signal, sys, threading, warnings
import matplotlib, numpy, torch
import torch._dynamo
def look():
    import mlflow
    cudnn, root = torch.backends.cudnn, logging.getLogger()
    return {
        "environment": dict(os.environ),
        "hidden modules": sorted(name for name, module in sys.modules.items() if module is None),
        "warning filters": [str(each) for each in warnings.filters],
        "log levels": {each.name: each.level for each in logging.root.manager.loggerDict.values()
                       if isinstance(each, logging.Logger)},
        "root logger": [root.level, len(root.handlers)],
        "switched off": sorted(each.name for each in logging.root.manager.loggerDict.values()
                               if isinstance(each, logging.Logger) and each.disabled
                               and not each.name.startswith("ignite.engine")),
        "random": [str(random.getstate()), str(numpy.random.get_state()), torch.get_rng_state().tolist()],
        "torch": [torch.get_num_threads(), cudnn.benchmark, cudnn.deterministic, torch.get_default_dtype().__str__(),
                  torch.is_grad_enabled(), torch._dynamo.config.suppress_errors],
        "mlflow": [mlflow.get_tracking_uri(), str(mlflow.active_run())],
        "matplotlib": matplotlib.get_backend(),
        "signals": [str(signal.getsignal(each)) for each in (signal.SIGINT, signal.SIGTERM)],
        "folder": os.getcwd(),
        "main": sys.modules["__main__"].__dict__.get("look") is look,
    }
import medseg
path, image, data, store, out = sys.argv[1:]
small = {"model.width": 4, "model.depth": 2, "preprocess.size": [32, 32], "train.batch_size": 4, "train.epochs": 1}
uri = {"tracking.uri": store}
def use(number):
    model = medseg.load_model(path)
    result = model.predict(image)
    result.overlay(), result.write(f"{out}/{number}", ["png", "seg"])
    list(model.predict_folder(os.path.dirname(image), f"{out}/{number}/masks"))
    medseg.check_data({"data.root": data, "output.dir": f"{out}/{number}/check"})
    trained = medseg.train(small, uri, {"data.root": data, "output.dir": f"{out}/{number}/model"})
    medseg.evaluate(uri, {"model": str(trained.model), "data.root": data, "output.dir": f"{out}/{number}/results"})
use(1)
import mlflow
mlflow.set_tracking_uri("sqlite:///elsewhere.db")
random.seed(1), numpy.random.seed(2), torch.manual_seed(3)
before = look()
use(2)
after = look()
print(json.dumps({key: [before[key], after[key]] for key in before if before[key] != after[key]}))
print(json.dumps(sorted(name for name in before["environment"] if "MLFLOW" in name)))
"""


@pytest.mark.slow
def test_calls_leave_no_global_state_changed(tmp_path, tracking, png_folder):
    image = tmp_path / "in" / "image.dcm"
    image.parent.mkdir()
    words = write_model(tmp_path / "best.pt"), write_dicom(image), png_folder, tracking.uri, tmp_path / "out"
    changed, variables = run(STATE, *words, timeout=400).splitlines()
    assert json.loads(changed) == {}
    assert json.loads(variables) == ["MLFLOW_TRACKING_URI"]  # by the call above


ELSEWHERE = """
import os, sys
import mlflow, monai.engines, pydicom, torch._dynamo, torch.export  # libraries ask for the system themselves
for name in ("sched_getaffinity", "eventfd", "eventfd_write", "eventfd_read", "posix_fallocate"):
    delattr(os, name)
sys.modules["resource"] = None
import ctypes
ctypes.CDLL = lambda name: object()  # a C library without prctl and mallopt
sys.platform = "darwin"
import medseg
path, image, data, store, out = sys.argv[1:]
print(medseg.load_model(path, {"predict.backend": "torch"}).predict(image).areas_px["heart"] > 0)
small = {"model.width": 4, "model.depth": 2, "preprocess.size": [32, 32], "train.batch_size": 4, "train.epochs": 1}
medseg.train(small, {"data.root": data, "output.dir": out, "tracking.uri": store, "data.cache_gib": 1e-6})
try:
    list(medseg.load_model(path).predict_folder(os.path.dirname(image), out))
except medseg.errors.ConfigError as error:
    print(error)
"""


@pytest.mark.slow
def test_reading_training_and_predicting_an_image_need_no_linux(tmp_path, tracking, png_folder):
    image = tmp_path / "in" / "image.dcm"
    image.parent.mkdir()
    words = write_model(tmp_path / "best.pt"), write_dicom(image), png_folder, tracking.uri, tmp_path / "out"
    said = run(ELSEWHERE, *words).splitlines()
    assert said[0] == "True"
    assert said[-1].startswith("Predicting a folder needs Linux. On other systems, predict single images")
