import subprocess
from pathlib import Path

from medseg.tracking.provenance import describe_commit, describe_environment


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=n", "-c", "user.email=e@example.org", "-c", "init.defaultBranch=main"]
    answer = subprocess.run(["git", "-C", folder, *identity, *arguments], check=True, capture_output=True, text=True)
    return answer.stdout.strip()


def test_commit_branch_and_whether_files_differ(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    assert describe_commit(tmp_path) == {}
    (tmp_path / "code.py").write_text("1")
    git(tmp_path, "add", "code.py")
    git(tmp_path, "commit", "-qm", "m")
    tags = describe_commit(tmp_path)
    assert tags == {
        "mlflow.source.git.commit": git(tmp_path, "rev-parse", "HEAD"),
        "mlflow.source.git.dirty": "false",
        "mlflow.source.git.branch": "main",
    }
    (tmp_path / "code.py").write_text("2")
    assert describe_commit(tmp_path)["mlflow.source.git.dirty"] == "true"


def test_no_commit_outside_a_checkout_or_for_what_it_ignores(tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    assert describe_commit(tmp_path / "plain") == {}
    git(tmp_path, "init", "-q")
    (tmp_path / ".gitignore").write_text(".venv/\n")
    git(tmp_path, "add", ".gitignore")
    git(tmp_path, "commit", "-qm", "m")
    (tmp_path / ".venv" / "medseg").mkdir(parents=True)
    assert describe_commit(tmp_path / ".venv" / "medseg") == {}


def test_environment_names_machine_and_packages() -> None:
    environment = describe_environment()
    assert environment["torch"] == environment["packages"]["torch"]
    assert environment["python"].startswith("3.")
    assert environment["processor"]
    assert environment["memory_gib"] > 0
