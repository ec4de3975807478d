import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from medseg.cli import main
from medseg.commands import COMMANDS
from medseg.config.recipes import list_recipes

ROOT = Path(__file__).parents[1]


def run(capsys, *words):
    with pytest.raises(SystemExit) as ended:
        main(words)
    printed = capsys.readouterr()
    return ended.value.code, printed.out, printed.err


def test_help_names_every_command_and_what_it_does(capsys):
    code, text, _ = run(capsys, "--help")
    assert code == 0
    for name, (_, purpose) in COMMANDS.items():
        assert f"  {name} " in text
        assert purpose in text
    assert "Research use only." in text
    assert run(capsys)[:2] == (2, text)
    assert run(capsys, "help")[:2] == (0, text)


def test_the_version_is_that_of_the_package(capsys):
    assert run(capsys, "--version") == (0, "medseg 0.1.0\n", "")


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("trian", "did you mean 'train'?"),
        ("predict_dicom", "did you mean 'predict'?"),
        ("crossvalidate", "did you mean 'cross-validate'?"),
        ("qqq", "the commands are train, evaluate, predict,"),
    ],
)
def test_an_unknown_command_names_the_nearest(capsys, word, hint):
    code, _, error = run(capsys, word, "--help")
    assert code == 2
    assert error.startswith(f"error: unknown command '{word}'; {hint}")


@pytest.mark.parametrize("page", sorted(path.stem for path in (ROOT / "pipelines").glob("[a-z]*.py")))
def test_the_two_ways_to_a_command_print_the_same_help(capsys, page):
    name = next(name for name, (own, _) in COMMANDS.items() if own == page)
    _, text, _ = run(capsys, name, "--help")
    assert f"usage: medseg {name} " in text
    assert f"python -m pipelines.{page} takes the same arguments." in text
    assert import_module(f"pipelines.{page}").main is import_module(f"medseg.commands.{page}").main


HELP = """
import io, sys
from contextlib import redirect_stdout
from medseg.cli import main
for word in sys.argv[1:]:
    try:
        with redirect_stdout(io.StringIO()) as said:
            main([word, "--help"] if word != "--version" else [word])
    except SystemExit as ended:
        assert ended.code == 0, word
    assert said.getvalue(), word
print({"torch", "monai", "mlflow", "numpy", "pydicom", "PIL"} & sys.modules.keys())
"""


def test_help_of_every_command_imports_nothing_heavy():
    words = [sys.executable, "-c", HELP, "--version", *COMMANDS]
    assert subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout == "set()\n"


def test_recipes_are_named_without_their_path(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "chest_xray").mkdir()  # a folder of that name is no recipe
    code, _, error = run(capsys, "train", "chest_xray", "data.root=/no/such")
    assert (code, error) == (2, "error: configuration: data.root: /no/such: no such file or folder\n")
    code, _, error = run(capsys, "train", "configs/chest_xray.yaml")
    assert (code, error.endswith("did you mean the recipe 'chest_xray'?\n")) == (2, True)
    (tmp_path / "paper_2015").write_text("train: {epochs: 0}\n")  # a file comes first
    assert "train.epochs: 0 should be greater than 0" in run(capsys, "train", "paper_2015")[2]


def test_the_recipes_are_those_of_the_repository():
    assert list(list_recipes()) == sorted(path.stem for path in (ROOT / "configs").glob("*.yaml"))


def complete(script, typed):
    """What bash offers for a line of which the last word is being typed."""
    lines = f"{script}\nCOMP_LINE='{typed}'; COMP_POINT=${{#COMP_LINE}}; COMP_WORDS=($COMP_LINE); "
    lines += f"COMP_CWORD={len(typed.split(' ')) - 1}; _medseg; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    return subprocess.run(["bash", "-c", lines], capture_output=True, text=True, check=True).stdout.split()


def test_bash_completes_commands_recipes_and_settings(capsys, tmp_path, monkeypatch):
    code, script, _ = run(capsys, "completion")
    assert code == 0
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.yaml").touch()
    assert complete(script, "medseg cr") == ["cross-validate"]
    assert complete(script, "medseg train ch") == ["chest_xray"]
    assert complete(script, "medseg train data.ro") == ["data.root="]
    assert complete(script, "medseg train ow") == ["own.yaml"]
    assert complete(script, "medseg train data.root=ow") == ["own.yaml"]
    assert complete(script, "medseg predict chest_xray input.d") == ["input.dir="]
    assert run(capsys, "completion", "bash")[0] == 2
