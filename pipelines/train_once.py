"""One training, from the cases of its splits to `summary.json`: what `train_xray` does, and `cross_validate` a fold."""

from functools import partial
from pathlib import Path

from medseg.checks.items import summarize_item
from medseg.checks.run import check_training
from medseg.checks.survey import CaseSurvey
from medseg.data.config import DataConfig
from medseg.data.findings import Findings
from medseg.data.loaders import Look, cache_splits
from medseg.data.splits import Splits
from medseg.tracking.lifecycle import start_run
from medseg.training.batch_size import settle_batch_size
from medseg.training.card import describe_model
from medseg.training.engines import seed_everything
from medseg.training.fit import find_resumed, fit_network
from pipelines.train_config import TrainConfig
from pipelines.train_record import describe_run, finish_run, record_findings, record_start, write_summary


def train_once(
    config: TrainConfig, data: DataConfig, splits: Splits, folder: Path, parent_run_id: str | None = None
) -> None:
    """Train one network on `splits` of `data` and record the run, nested under `parent_run_id` if that is given.

    `folder`, which this process has claimed, then holds what `train_xray` promises.
    """
    seed_everything(config.seed)
    findings = Findings(data.root)
    is_fold = parent_run_id is not None  # cross_validate has checked all cases
    look: Look[CaseSurvey] | None = None if is_fold else partial(summarize_item, classes=splits.classes)
    cached, surveys = cache_splits(splits, data, config.preprocess, folder, findings, look)
    if not is_fold:
        check_training(surveys, splits, data, config.split, findings)
    findings.check()
    card = describe_model(splits, cached, data, config.preprocess, config.model, config.inference)
    resumed = find_resumed(config.train, card, folder)
    train = settle_batch_size(config.train, card, len(cached.train), resumed)
    config = config.model_copy(update={"train": train})
    with start_run(config.tracking, **describe_run(config, data, resumed), parent_run_id=parent_run_id) as run:
        record_start(run, config, data, cached, folder, fresh=resumed is None)
        if not is_fold:
            record_findings(run, findings)
        sections = config.train, config.optim, config.loss, config.augment
        card = card.model_copy(update={"run_id": run.id})
        fitted = fit_network(card, cached, sections, config.seed, run, folder, resumed)
        summary = finish_run(run, config, data, splits, cached, fitted, folder)
    write_summary(summary, run, folder)
