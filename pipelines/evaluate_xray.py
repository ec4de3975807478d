"""Evaluate a model on a data set: `python -m pipelines.evaluate_xray`; `evaluate_config` says what can be set."""

from collections.abc import Sequence

from medseg.config import parse_args
from pipelines.command import run_command
from pipelines.evaluate_config import EvaluateConfig


def main(argv: Sequence[str] | None = None) -> None:
    """Measure a model on the cases it has not seen, and report."""
    config = parse_args(EvaluateConfig, argv)
    from medseg.data.cases import find_cases
    from medseg.evaluation.subject import read_as
    from medseg.inference.models import load_models
    from medseg.output.folder import claim_folder
    from pipelines.evaluate_record import check_store, evaluate, find_other, find_run, place_model, record_evaluation

    model = load_models(config.model, config.tracking, config.predict)
    found = find_cases(read_as(model.card, config.data))
    subject = place_model(model, config, found)
    other = find_other(config, model, found)
    check_store(config.tracking)
    with claim_folder(config.output.dir) as folder:
        evaluation = evaluate(subject, found, config, other)
        record_evaluation(evaluation, config, find_run(config, model), folder)


if __name__ == "__main__":
    run_command(main)
