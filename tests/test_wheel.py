import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.support.dicom_files import write_dicom
from tests.support.model_files import write_model

ROOT = Path(__file__).parents[1]


def test_the_packages_are_those_of_the_tree():
    setup = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    tree = {".".join(path.parent.relative_to(ROOT).parts) for path in (ROOT / "medseg").rglob("*.py")}
    assert setup["packages"] == sorted({*tree, "medseg.configs"})
    data = {path for path in (ROOT / "medseg").rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")}
    places = [(ROOT / name.replace(".", "/"), glob) for name, globs in setup["package-data"].items() for glob in globs]
    assert data == {path for place, glob in places for path in place.glob(glob)}


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder that the wheel is installed into, without what it depends on."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in ("medseg", "configs"):
        shutil.copytree(ROOT / name, folder / "source" / name)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / "source")
    run = {"cwd": folder, "check": True, "capture_output": True}
    subprocess.run([sys.executable, "-m", "build", "-q", "--wheel", "--no-isolation", "-o", ".", "source"], **run)
    (wheel,) = folder.glob("*.whl")
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--target", "site", str(wheel)]
    subprocess.run(pip, **run)
    return folder / "site"


def run(installed, tmp_path, *words):
    """Python beside the wheel, away from the repository."""
    environment = {**os.environ, "PYTHONPATH": str(installed), "PYTHONSAFEPATH": "1"}
    return subprocess.run(
        [sys.executable, *words], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    ).stdout


@pytest.mark.slow
def test_a_wheel_brings_one_package_and_one_command(installed):
    names = {path.name for path in installed.iterdir()}
    assert {name for name in names if not name.endswith(".dist-info")} == {"medseg", "bin"}
    assert [path.name for path in (installed / "bin").iterdir()] == ["medseg"]
    assert (installed / "medseg" / "py.typed").is_file()


@pytest.mark.slow
def test_the_installed_package_trains_by_name_and_predicts(installed, tmp_path):
    where = run(installed, tmp_path, "-c", "import medseg; print(medseg.__file__)")
    assert where.strip() == str(installed / "medseg" / "__init__.py")
    assert run(installed, tmp_path, "-m", "medseg", "--version").startswith("medseg 0.1.0")
    recipe = "from medseg.config.recipes import list_recipes; print(*list_recipes().values())"
    found = run(installed, tmp_path, "-c", recipe).split()
    assert found == [
        str(installed / "medseg" / "configs" / path.name) for path in sorted((ROOT / "configs").glob("*.yaml"))
    ]
    ours = subprocess.run(
        [sys.executable, "-m", "pipelines.train_xray", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert run(installed, tmp_path, "-m", "medseg", "train", "--help") == ours.stdout
    write_dicom(tmp_path / "image.dcm")
    write_model(tmp_path / "best.pt")
    words = 'import medseg; print(medseg.load_model("best.pt").predict("image.dcm").areas_px["heart"] > 0)'
    assert run(installed, tmp_path, "-c", words) == "True\n"
    (tmp_path / "IN").mkdir()
    (tmp_path / "image.dcm").rename(tmp_path / "IN" / "image.dcm")
    said = run(installed, tmp_path, "-m", "medseg", "predict", "model=best.pt", "input.dir=IN", "output.dir=OUT")
    assert said.startswith("1 done, 0 skipped, 0 rejected")
