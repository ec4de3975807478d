"""The items of an evaluation."""

from collections.abc import Sequence
from functools import cache

from medseg.config import Section
from medseg.data.cases import find_cases
from medseg.data.config import EvaluateDataConfig
from medseg.data.layouts.archive import open_data
from medseg.errors import CheckpointError
from medseg.evaluation.candidate import build_candidate, read_as
from medseg.evaluation.evaluate import digest_content
from medseg.evaluation.files import PER_CASE
from medseg.evaluation.receipt import digest_evaluation
from medseg.inference.config import ModelPredictConfig
from medseg.inference.models import LoadedModel, digest_networks, load_models
from medseg.inference.predictor import Predictor
from medseg.receipt.digests import digest_file
from medseg.tracking.config import StoreConfig
from medseg.verification.item import Item, Missing, check_digest
from medseg.verification.proof import Proof, Recorded


def check_evaluation(
    proof: Proof,
    recorded: Recorded,
    config: Section,
    model: Sequence[str],
    data: EvaluateDataConfig,
    predict: ModelPredictConfig,
    tracking: StoreConfig,
) -> list[Item]:
    """The items of an evaluation, but code and environment. Reads every case again. `config` has all its settings."""
    receipt = proof.receipt
    load = cache(lambda: find_model(model, tracking, predict))

    def digest_data() -> str:
        recorded.find_place()
        loaded = load()
        with open_data(data) as opened:
            reading = read_as(loaded.card, opened)
            found = find_cases(reading)
            return digest_content(build_candidate(loaded, Predictor(loaded.card, [], predict), reading, found), found)

    return [
        *check_digest("configuration", receipt.configuration, lambda: digest_evaluation(config)),
        *check_digest("data", receipt.data, digest_data),
        *check_digest("weights", receipt.weights, lambda: digest_networks(load())),
        *check_digest("scores", receipt.results, lambda: digest_file(proof.folder / PER_CASE)),
    ]


def find_model(
    addresses: Sequence[str], tracking: StoreConfig, predict: ModelPredictConfig | None = None
) -> LoadedModel:
    """The model at the addresses. Raises `Missing` if it is not there."""
    try:
        return load_models(addresses, tracking, predict)
    except CheckpointError as error:
        raise Missing(f"{error}. Give the place of the model with model=M") from error
