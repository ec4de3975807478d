"""The model card of a training: the settings of the model, and facts about its training data."""

import logging
import statistics
from collections.abc import Sequence

from medseg.data.config import DataConfig
from medseg.data.loaders import CachedCases, CachedSplits, CaseFacts
from medseg.data.splits import Splits
from medseg.metrics.shape import measure_extent, measure_outline, measure_position
from medseg.model.checkpoint import Accepts, Extent, ModelCard, Range, Reading
from medseg.model.config import InferenceConfig
from medseg.radiograph.dicom.terms import DEFINED
from medseg.training.recipe import Recipe

_logger = logging.getLogger(__name__)


def describe_model(recipe: Recipe, data: DataConfig, splits: Splits, cached: CachedSplits) -> ModelCard:
    """The card before training: architecture, preprocessing, accepted input, digests and ranges, but no results.

    A recipe may name classes in `predict.components` that the data set does not have; these are left out.
    """
    inference = InferenceConfig(**{name: getattr(recipe.predict, name) for name in InferenceConfig.model_fields})
    kept = {name: number for name, number in inference.components.items() if name in splits.classes}
    if unknown := sorted(inference.components.keys() - kept):
        _logger.info("predict.components: %s: not a class of this data set, ignored", ", ".join(unknown))
    inference, extent = inference.model_copy(update={"components": kept}), summarize_extents(cached.train)
    if inference.zoom and extent is None:
        _logger.info("predict.zoom: no training image has masks of all classes, ignored")
    return ModelCard(
        classes=splits.classes,
        model=recipe.model,
        preprocess=recipe.preprocess,
        inference=inference,
        reading=Reading(presentation=data.presentation, presentation_intent=data.presentation_intent, color=data.color),
        accepts=describe_input(cached.train.facts, data),
        orientations=tuple(sorted({facts.orientation for facts in cached.train.facts if facts.orientation})),
        ranges=measure_ranges(cached.train, splits.classes),
        extent=extent,
        train_digests=tuple(facts.digest for facts in cached.train.facts),
        validation_digests=tuple(facts.digest for facts in cached.validation.facts),
        split=splits.rule,
    )


def describe_input(facts: Sequence[CaseFacts], data: DataConfig) -> Accepts:
    """The accepted input: the settings of `data`, else the tags of the training images, else CR and DX of any kind.

    Only terms defined in the DICOM standard are taken from tags. Other text may name a person, and model files are
    passed on.
    """

    def seen(name: str, otherwise: tuple[str, ...], keyword: str) -> tuple[str, ...]:
        return tuple(sorted({v for f in facts if (v := getattr(f, name)) in DEFINED[keyword]})) or otherwise

    return Accepts(
        modalities=seen("modality", ("CR", "DX"), "Modality") if data.modalities is None else data.modalities,
        body_parts=seen("body_part", (), "BodyPartExamined") if data.body_parts is None else data.body_parts,
        views=seen("view", (), "ViewPosition") if data.views is None else data.views,
    )


def measure_ranges(cached: CachedCases, classes: Sequence[str]) -> dict[str, Range]:
    """The smallest and largest area, center and outline of each class over the masks that are not empty."""
    measured: dict[str, list[tuple[float, ...]]] = {name: [] for name in classes}
    for labels in cached.labels:
        for name, mask in zip(classes, (labels >= 0.5).numpy(), strict=True):
            if (position := measure_position(mask)) is not None:
                measured[name].append((*position, measure_outline(mask)))
    return {
        name: Range(
            **{
                key: (min(values), max(values))
                for key, values in zip(Range.model_fields, zip(*rows, strict=True), strict=True)
            }
        )
        for name, rows in measured.items()
        if rows
    }


def summarize_extents(cached: CachedCases) -> Extent | None:
    """The extents of the masks of all images whose classes are all known; None if there are no such masks."""
    known = cached.present.all(dim=1).tolist()
    masks = (labels for labels, complete in zip(cached.labels, known, strict=True) if complete)
    extents = [extent for each in masks if (extent := measure_extent((each >= 0.5).numpy())) is not None]
    return Extent(smallest=min(extents), usual=statistics.median(extents)) if extents else None
