"""The receipt of an evaluation: digests of its cases, settings, model and table."""

import hashlib
from dataclasses import replace

from medseg.config import Section, flatten
from medseg.evaluation.files import format_per_case
from medseg.evaluation.result import Evaluation
from medseg.inference.models import LoadedModel, digest_networks
from medseg.receipt.digests import digest_values
from medseg.receipt.receipt import build_receipt

_FREE = (
    *("model", "output.", "tracking.", "data.root", "shown"),
    *("predict.batch_size", "predict.device", "predict.backend", "predict.precision", "predict.channels_last"),
)
"""Settings of places, of the hardware, which the receipt names itself, and of displays."""


def add_receipt(evaluation: Evaluation, model: LoadedModel, config: Section) -> Evaluation:
    """The evaluation with its receipt. `config` has all settings of the command."""
    receipt = build_receipt(
        "evaluation",
        configuration=digest_evaluation(config),
        backend=evaluation.backend,
        data=evaluation.content,
        weights=digest_networks(model),
        results=hashlib.sha256(format_per_case(evaluation).encode()).hexdigest(),
    )
    return replace(evaluation, receipt=receipt)


def digest_evaluation(config: Section) -> str:
    """The digest of the settings that decide the result of an evaluation, without the places of files."""
    return digest_values(flatten(config), _FREE)
