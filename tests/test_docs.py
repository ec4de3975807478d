"""The documentation: every block of code runs, every command is valid, no link is dead, and the site builds.

Blocks run page by page, in a folder that has the names of the pages: DATA, OUT, INPUT. Settings that make them small
are put behind their own.
"""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

import medseg
from medseg.cli import main
from medseg.commands import COMMANDS, find_config
from medseg.config import build_config, leaf_fields
from medseg.phantom.dicom import write_phantoms
from tests.support.doc_pages import PAGES, Block, list_anchors, list_blocks, list_links
from tests.support.mlflow_stores import copy_store
from tests.support.model_files import write_model
from tests.support.processes import ROOT
from tests.support.training_command import TINY

TRAINING = (*TINY, "train.epochs=1", "train.coarse=0")
PREDICTION = ("predict.backend=torch",)
SMALL: Mapping[str, tuple[str, ...]] = {
    "train": TRAINING,
    "cross-validate": (*TRAINING, "split.folds=2"),
    "sweep": (*TRAINING, "sweep.trials=2", "sweep.seeds=1"),
    "evaluate": (*PREDICTION, "stress_cases=1"),
    "predict": (*PREDICTION, "predict.workers=1"),
    "merge": (),
    "convert": (),
    "check": (),
    "verify": (),
    "demo": ("demo.minutes=0.01", "demo.num_cases=8", "demo.num_new=2", "demo.size=64"),
}
LANGUAGES = {"bash", "python", "yaml", "text"}


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the pages name."""
    folder = tmp_path_factory.mktemp("names")
    data = write_phantoms(folder / "DATA", 12, 64, seed=0)
    new = write_phantoms(folder / "new", 2, 64, seed=1)
    shutil.copytree(new / "images", folder / "INPUT")
    (folder / "INPUT/phantom-0000.dcm").rename(folder / "INPUT/image.dcm")
    (folder / "RESULTS").mkdir()
    classes = tuple(sorted(path.name for path in (data / "masks").iterdir()))
    write_model(folder / "OUT/best.pt", classes)
    write_model(folder / "OUT/other.pt", classes, seed=1)
    for name in ("config", "best"):
        (folder / f"OUT/{name}.yaml").write_text("seed: 1\n")
    (folder / "images.csv").write_text("path\nINPUT/image.dcm\n")
    rows = ["image,patient,site,view," + ",".join(f"mask_{name}" for name in classes)]
    for number in range(12):
        masks = ",".join(f"masks/{name}/phantom-{number:04}.nii.gz" for name in classes)
        rows.append(f"images/phantom-{number:04}.dcm,P{number},{'north' if number % 2 else 'south'},PA,{masks}")
    (data / "cases.csv").write_text("\n".join(rows) + "\n")
    for name in ("DATA", "INPUT"):
        shutil.make_archive(str(folder / name), "zip", folder, name)
    return folder


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> str:
    return f"sqlite:///{copy_store(empty_database, tmp_path_factory.mktemp('docs') / 'mlruns')}"


@pytest.fixture
def workplace(names: Path, tmp_path: Path, store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy of that folder as the working folder, an MLflow store, and a cache of its own."""
    monkeypatch.chdir(shutil.copytree(names, tmp_path / "work"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.mark.parametrize("page", PAGES)
def test_each_block_is_fenced_names_its_language_and_is_run_or_says_why_not(page: str) -> None:
    for block in list_blocks(page):
        where = f"{page}, line {block.line}"
        assert block.language in LANGUAGES, f"{where}: fence the block as one of {', '.join(sorted(LANGUAGES))}"
        assert block.reason is None or len(block.reason.split()) > 2, f"{where}: say why the block is not run"
        if block.language == "bash" and block.reason is None:
            commands = {words[0] for words in block.commands()}
            assert commands == {"medseg"}, f"{where}: mark the block with <!-- not run: REASON -->"


@pytest.mark.parametrize("page", PAGES)
def test_the_settings_of_each_command_are_valid_whether_it_is_run_or_not(
    page: str, names: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(names)
    for block in list_blocks(page):
        if block.language == "yaml":
            settings = yaml.safe_load(block.text)
            config = find_config("sweep" if "sweep" in settings else "train")
            assert config is not None
            build_config(config, [settings])
        for words in block.commands() if block.language == "bash" else ():
            if words[0] == "medseg":
                check_settings(*words[1:])


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if any(block.reason is None for block in list_blocks(page))])
def test_the_blocks_of_a_page_run(page: str, workplace: None, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, small in (("train", "train"), ("evaluate", "evaluate"), ("cross_validate", "cross-validate")):
        monkeypatch.setattr(medseg, name, make_small(getattr(medseg, name), SMALL[small]))
    monkeypatch.setattr(medseg, "load_model", make_small(medseg.load_model, PREDICTION))
    namespace: dict[str, Any] = {"__name__": "__main__"}
    for block in list_blocks(page):
        if block.reason is not None:
            continue
        if block.language == "python":
            run_python(block, namespace)
        for words in block.commands() if block.language == "bash" else ():
            run_command(*words[1:])


@pytest.mark.parametrize("page", [*PAGES, "ARCHITECTURE.md", "CHANGELOG.md"])
def test_each_link_leads_to_a_file_and_to_a_heading_in_it(page: str) -> None:
    for link in list_links(page):
        path, _, anchor = link.partition("#")
        target = Path(ROOT, page).parent / path if path else Path(ROOT, page)
        assert target.exists(), f"{page}: {link}"
        if anchor and target.name != "api.md":  # whose headings are made on the site
            assert anchor in list_anchors(str(target.resolve().relative_to(ROOT))), f"{page}: {link}"


def test_a_person_reads_the_readme_to_its_end() -> None:
    lines = Path(ROOT, "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 130
    assert max(map(len, lines)) <= 140
    for name in COMMANDS:
        assert any(line.startswith(f"| `medseg {name}` |") for line in lines), name


@pytest.mark.slow
def test_the_site_builds_without_a_warning_has_every_setting_and_needs_no_network(tmp_path: Path) -> None:
    command = [sys.executable, "-W", "ignore", "-m", "properdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert built.returncode == 0, built.stderr
    reference = (tmp_path / "reference.html").read_text(encoding="utf-8")
    for name in COMMANDS:
        config = find_config(name)
        for key, *_ in leaf_fields(config) if config else ():
            assert f'id="{name}-{key}"' in reference
    api = (tmp_path / "api.html").read_text(encoding="utf-8")
    for name in medseg.__all__:
        assert f'id="medseg.{name}' in api
    for path in tmp_path.rglob("*.html"):
        loaded = re.findall(r"""<(?:script|img|link)[^>]*(?:src|href)="https?:[^"]*""", path.read_text("utf-8"))
        assert [tag for tag in loaded if 'rel="canonical"' not in tag] == []


def check_settings(command: str, *arguments: str) -> None:
    config = find_config(command)
    assert config is not None or not arguments
    if config is not None:
        build_config(config, [argument for argument in arguments if argument != "--help"])


def run_command(command: str, *arguments: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, *arguments, *SMALL[command]])
    assert not ended.value.code, f"medseg {command} {' '.join(arguments)}"


def run_python(block: Block, namespace: dict[str, Any]) -> None:
    source = "\n" * block.line + block.text  # so that a traceback names the line of the page
    exec(compile(source, str(ROOT / block.page), "exec"), namespace)


def make_small(function: Callable[..., Any], settings: tuple[str, ...]) -> Callable[..., Any]:
    """The function with more settings behind those that it is given."""
    return lambda *given: function(*given, *settings)
