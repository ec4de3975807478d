"""Check a result against its receipt, or repeat it. Research use only. Not for clinical use.

usage: medseg verify RECEIPT [rerun=true] [data=DIR] [model=M]
       In the repository, python -m pipelines.verify takes the same arguments.

RECEIPT is the output folder of a training, cross-validation, evaluation, prediction or export, or its summary.json or
metrics.json. The command prints a line for each item of the receipt: same, changed, or cannot be checked, with the
reason.
With rerun=true it also repeats a prediction, an evaluation or a training in a temporary folder, and compares the
results byte for byte. On another kind of CPU or with another code, the results must be alike within tolerances. A
training with a budget in minutes cannot be repeated.
Exit code 0: nothing that could be checked has changed; 1: something has changed; 2: could not start;
130, 143: stopped by a signal.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from medseg.config import ExistingPath, Section, parse_args
from medseg.inference.config import Addresses

if TYPE_CHECKING:
    from medseg.hardware.device import Hardware
    from medseg.training.recipe import Recipe
    from medseg.verification.item import Item
    from medseg.verification.proof import Proof, Recorded
    from medseg.verification.rerun import Likeness


class VerifyConfig(Section):
    """One check of a receipt."""

    word = "receipt"

    receipt: ExistingPath
    """Result to check: its folder, its summary.json or its metrics.json. A word without = on the command line is this
    setting."""

    rerun: bool = False
    """Also repeat the result in a temporary folder, and compare. This takes as long as the first time."""

    data: ExistingPath | None = None
    """Place of the data set or of the images, if it is not the recorded one. null: as recorded."""

    model: Addresses = ()
    """Model of an evaluation or prediction, if it is not in the recorded place. Empty list: as recorded."""


def main(argv: Sequence[str] | None = None) -> int:
    """Check a receipt, print a line for each item, and return 1 if something has changed."""
    items = run(parse_args(VerifyConfig, argv), say=lambda item: print(item.describe(), flush=True))
    return 1 if any(item.verdict == "changed" for item in items) else 0


def run(config: VerifyConfig, say: "Callable[[Item], None]" = lambda item: None) -> "list[Item]":
    """Check every item of a receipt, and repeat its result if asked for. `say` gets each item. Raises `MedsegError`."""
    from medseg.errors import ConfigError
    from medseg.receipt.environment import describe_environment
    from medseg.receipt.receipt import describe_code
    from medseg.verification.item import Item, Missing, check_differences
    from medseg.verification.proof import read_proof, read_recorded
    from medseg.verification.rerun import NAME

    proof = read_proof(config.receipt)
    receipt = proof.receipt
    now = describe_environment(receipt.environment.backend)
    items: list[Item] = []

    def keep(*found: Item) -> None:
        items.extend(found)
        for item in found:
            say(item)

    try:
        if receipt.kind == "export":
            keep(*_check_export(proof))
        else:
            recorded = read_recorded(proof, config.data)
            keep(*_check(proof, recorded, config))
    except Missing as error:
        keep(Item("settings", "cannot be checked", str(error)))
    except ConfigError as error:
        keep(Item("configuration", "changed", f"the recorded settings are not valid any more: {error}"))
    keep(check_differences("code", receipt.code.compare(describe_code())))
    keep(check_differences("environment", receipt.environment.compare(now)))
    if config.rerun and receipt.kind == "export":
        keep(Item(NAME, "cannot be checked", "an export is not repeated; run medseg export again"))
    elif config.rerun:
        unfit = [item.name for item in items if item.verdict != "same" and item.name not in ("code", "environment")]
        if unfit:
            keep(Item(NAME, "cannot be checked", f"{', '.join(unfit)}: not the same as when the receipt was made"))
        else:
            with TemporaryDirectory(prefix="medseg-verify-") as scratch:
                keep(_rerun(proof, recorded, config, Path(scratch) / "again"))
    return items


def _check(proof: "Proof", recorded: "Recorded", config: VerifyConfig) -> "list[Item]":
    """The items of the receipt that its kind of result has."""
    from medseg.commands.evaluate_xray import EvaluateXrayConfig
    from medseg.commands.predict_dicom import PredictDicomConfig
    from medseg.verification.evaluation import check_evaluation
    from medseg.verification.prediction import check_prediction
    from medseg.verification.training import check_folds, check_training

    if proof.receipt.kind == "training":
        return check_training(proof, recorded)
    if proof.receipt.kind == "cross-validation":
        return check_folds(proof, recorded)
    if proof.receipt.kind == "evaluation":
        own = recorded.build(EvaluateXrayConfig)
        given = config.model or own.model
        return check_evaluation(proof, recorded, own, given, own.data, own.predict, own.tracking)
    predicted = recorded.build(PredictDicomConfig)
    model = config.model or predicted.model
    return check_prediction(proof, recorded, model, predicted.predict, predicted.tracking, predicted.input)


def _check_export(proof: "Proof") -> "list[Item]":
    """The files of an export."""
    from medseg.export.export import list_files
    from medseg.receipt.digests import digest_files
    from medseg.verification.item import check_digest

    folder = proof.folder
    return check_digest("files", proof.receipt.results, lambda: digest_files(folder, list_files(folder)))


def _rerun(proof: "Proof", recorded: "Recorded", config: VerifyConfig, folder: Path) -> "Item":
    """The item of a result that is made again in `folder`."""
    from medseg.errors import MedsegError
    from medseg.verification.item import Item
    from medseg.verification.rerun import NAME

    repeat = {"training": _repeat_training, "evaluation": _repeat_evaluation, "prediction": _repeat_prediction}
    if proof.receipt.kind not in repeat:
        reason = f"repeat its folds one by one, such as medseg verify {proof.folder / 'fold0'} rerun=true"
        return Item(NAME, "cannot be checked", reason)
    try:
        return repeat[proof.receipt.kind](proof, recorded, config, folder)
    except MedsegError as error:
        return Item(NAME, "cannot be checked", str(error))


def _repeat_training(proof: "Proof", recorded: "Recorded", config: VerifyConfig, folder: Path) -> "Item":
    from medseg.commands import train_xray
    from medseg.hardware.device import find_hardware
    from medseg.verification.rerun import check_budget, judge, list_departures

    changes = {
        "output.dir": folder,
        "tracking.uri": f"sqlite:///{folder.parent}/mlflow.db",
        "tracking.register": None,
        "tracking.system_metrics": False,
        "train.resume": False,
    }
    changes |= _find_start(recorded.build(train_xray.TrainXrayConfig))
    recipe = recorded.build(train_xray.TrainXrayConfig, changes | _on_hardware(proof, "train"))
    hardware = find_hardware(recipe.train.device, recipe.train.precision, recipe.train.channels_last)
    check_budget(recipe.train, hardware)
    again, first = train_xray.run(recipe).summary, proof.summary
    names = ("validation", "test", "thresholds")
    equal = [first[name] for name in names] == [again[name] for name in names]
    equal &= all(first["receipt"][name] == again["receipt"][name] for name in ("weights", "results"))
    likeness = None if equal else _compare_trainings(proof.folder, folder, recipe, hardware)
    return judge(equal, "weights, thresholds, scores and masks", list_departures(proof.receipt), likeness)


def _compare_trainings(first: Path, second: Path, recipe: "Recipe", hardware: "Hardware") -> "Likeness":
    """How alike the models in two folders are. `second` has the phantoms, if there are any."""
    from medseg.data.cases import find_cases
    from medseg.data.layouts.archive import open_data
    from medseg.data.splits import split_by_patient
    from medseg.data.synthetic import find_data
    from medseg.verification.rerun import compare_trainings

    with open_data(recipe.data) as given:
        data = find_data(given, recipe.phantom, second)
        cases = find_cases(data)
        test = split_by_patient(cases, recipe.split).test
        return compare_trainings(first / "best.pt", second / "best.pt", cases, test, data, hardware)


def _repeat_evaluation(proof: "Proof", recorded: "Recorded", config: VerifyConfig, folder: Path) -> "Item":
    from medseg.commands import evaluate_xray
    from medseg.errors import ConfigError
    from medseg.evaluation.files import PER_CASE
    from medseg.verification.rerun import compare_tables, judge, list_departures, list_unequal

    own = recorded.build(evaluate_xray.EvaluateXrayConfig)
    if own.tracking.promote:
        raise ConfigError("tracking.promote=true compared the model with the champion of that time")
    changes = {"output.dir": folder, "tracking.record": False, "model": list(config.model or own.model)}
    evaluate_xray.run(
        recorded.build(evaluate_xray.EvaluateXrayConfig, changes | _on_hardware(proof, "predict", library="backend"))
    )
    equal = not list_unequal(proof.folder, folder, [PER_CASE])
    likeness = None if equal else compare_tables(proof.folder / PER_CASE, folder / PER_CASE)
    return judge(equal, f"the tables {PER_CASE}", list_departures(proof.receipt), likeness)


def _repeat_prediction(proof: "Proof", recorded: "Recorded", config: VerifyConfig, folder: Path) -> "Item":
    from medseg.commands import predict_dicom
    from medseg.errors import ConfigError
    from medseg.objects.places import find_source
    from medseg.verification.prediction import copy_journal, list_results
    from medseg.verification.proof import read_proof
    from medseg.verification.rerun import compare_files, judge, list_departures, list_unequal

    if recorded.settings.get("folder", {}).get("results") is not None:
        raise ConfigError("the masks are objects in a store")
    changes: dict[str, Any] = {"output.dir": folder, "input.watch": False, "folder.engine": "local"}
    changes |= {"model": list(config.model)} if config.model else {}
    changes |= _on_hardware(proof, "predict", library="backend")
    own = recorded.build(predict_dicom.PredictDicomConfig, changes)
    with TemporaryDirectory(prefix="medseg-verify-") as scratch:
        copy_journal(
            proof.folder, folder, find_source(own.input.dir, folder, own.input, Path(scratch), own.predict.shard)
        )
    for _ in predict_dicom.run(own):
        pass
    formats = own.output.formats
    names = sorted({*list_results(proof, formats), *list_results(read_proof(folder), formats)})
    unequal = list_unequal(proof.folder, folder, names)
    likeness = compare_files(proof.folder, folder, names) if unequal else None
    return judge(not unequal, f"{len(names)} files", list_departures(proof.receipt), likeness)


def _find_start(recipe: "Recipe") -> dict[str, str]:
    """`train.init` as a file, if it is an MLflow address: the training that is repeated has a store of its own."""
    from medseg.inference.models import is_in_mlflow
    from medseg.tracking.logged_model import download_model_checkpoint

    address = recipe.train.init
    if address is None or not is_in_mlflow(address):
        return {}
    return {"train.init": str(download_model_checkpoint(address, recipe.tracking))}


def _on_hardware(proof: "Proof", section: str, library: str = "") -> dict[str, Any]:
    """The settings of `section` that choose the device and precision of the receipt, and the library, if it has one."""
    names = dict(zip(("library", "device", "precision"), proof.receipt.environment.backend.split("/"), strict=True))
    chosen = {f"{section}.{name}": names[name] for name in ("device", "precision")}
    return chosen | ({f"{section}.{library}": names["library"]} if library else {})
