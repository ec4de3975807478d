"""Make a model faster on processors: its convolutions in int8. Research use only. Not for clinical use.

usage: python -m pipelines.quantize_xray model=best.pt data.root=DIR [output.dir=OUT] [quantize.max_dice_loss=0.002]

DIR is the data set of the training. Ranges are measured on training cases, the loss on the others: Dice of each class,
on average and in the worst case, and the cardiothoracic ratio. Writes quantization.json and, unless the loss is above a
limit, int8.pt: the model with its network also in int8, which predict_dicom and evaluate_xray run where that is faster.
Needs the extra: pip install 'medseg[openvino]'.
Exit code 0; 1: the loss is too great, or failed under way; 2: bad configuration, data or model; 130, 143: stopped.
"""

from collections.abc import Sequence
from pathlib import Path

from medseg.config import ExistingPath, Section, parse_args
from medseg.data.config import CasesConfig
from medseg.evaluation.config import QuantizationConfig
from medseg.output.config import OutputConfig
from medseg.tracking.config import StoreConfig


class QuantizeDataConfig(CasesConfig):
    """Radiographs and their masks."""

    root: ExistingPath
    """Data set of the training: a folder with images/ and masks/, a CSV manifest, or a dataset.json."""


class QuantizeOutputConfig(OutputConfig):
    """Where results are written."""

    dir: Path = Path("output/quantize_xray")
    """The folder of this command's results; one process at a time writes into it."""


class QuantizeXrayConfig(Section):
    """One quantization."""

    model: str
    """Model: a file, a folder with best.pt or an MLflow address."""

    data: QuantizeDataConfig
    quantize: QuantizationConfig = QuantizationConfig()
    tracking: StoreConfig = StoreConfig()
    output: QuantizeOutputConfig = QuantizeOutputConfig()


def main(argv: Sequence[str] | None = None) -> None:
    """Quantize a model, measure what that costs, and keep it if that is little."""
    config = parse_args(QuantizeXrayConfig, argv)
    from medseg.data.cases import find_cases
    from medseg.evaluation.candidate import read_as
    from medseg.evaluation.quantization import (
        RESULTS,
        check_loss,
        describe_loss,
        gather_images,
        load_single,
        measure_loss,
        place_float32,
        place_int8,
        save_quantized,
        write_loss,
    )
    from medseg.inference.openvino_runtime import quantize
    from medseg.notice import RESEARCH_USE
    from medseg.output.folder import claim_folder, set_aside

    model = load_single(config.model, config.tracking)
    found = find_cases(read_as(model.card, config.data))
    candidate = place_float32(model, found, config.data)
    with claim_folder(config.output.dir) as folder:
        set_aside(folder, RESULTS)
        images = gather_images(candidate, found.cases, config.quantize)
        quantized = quantize(model.networks[0], images)
        loss = measure_loss(candidate, place_int8(model, quantized), found.cases, len(images))
        write_loss(loss, model, config.quantize, folder)
        print(describe_loss(loss))
        check_loss(loss, config.quantize)
        print(f"model: {save_quantized(loss, model, quantized, folder)}\n{RESEARCH_USE}")
