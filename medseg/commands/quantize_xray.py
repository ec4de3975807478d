"""Quantize a model to int8, which is faster on many CPUs. Research use only. Not for clinical use.

usage: medseg quantize [FILE.yaml] model=best.pt data.root=DIR [output.dir=OUT] [quantize.max_dice_loss=0.002]
       In the repository, python -m pipelines.quantize_xray takes the same arguments.

DIR is the data set that the model was trained on. The command measures value ranges on training cases. On the other
cases it measures what int8 loses: Dice of each class, on average and in the worst case, and the cardiothoracic ratio.
It writes quantization.json. If no loss is above its limit, it also writes int8.pt, a model file with the network in
both precisions.
The predict and evaluate commands run int8.pt in int8 if that is faster.
This command needs the extra openvino: pip install 'medseg[openvino]'.
Exit code 0: quantized; 1: the loss is above a limit, or the command failed; 2: bad configuration, data or model;
130, 143: stopped by a signal.
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
    """Data set that the model was trained on: a folder with images/ and masks/, a CSV manifest, a dataset.json,
    annotation files, or a zip or tar."""


class QuantizeOutputConfig(OutputConfig):
    """Where results are written."""

    dir: Path = Path("output/quantize_xray")
    """Folder for the results of this command. Only one process at a time may write into it."""


class QuantizeXrayConfig(Section):
    """One quantization."""

    model: str
    """Model: a file, a folder with best.pt or an MLflow address."""

    data: QuantizeDataConfig
    quantize: QuantizationConfig = QuantizationConfig()
    tracking: StoreConfig = StoreConfig()
    output: QuantizeOutputConfig = QuantizeOutputConfig()


def main(argv: Sequence[str] | None = None) -> None:
    """Quantize a model, measure the loss of accuracy, and keep the int8 model if the loss is small."""
    config = parse_args(QuantizeXrayConfig, argv)
    from medseg.data.cases import find_cases, refuse_drawn
    from medseg.data.layouts.archive import open_data
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
    with open_data(config.data) as data:
        found = find_cases(read_as(model.card, data))
        refuse_drawn(found.cases, data.root)
        candidate = place_float32(model, found, data)
        with claim_folder(config.output.dir) as folder:
            images = gather_images(candidate, found.cases, config.quantize)
            quantized = quantize(model.networks[0], images)
            loss = measure_loss(candidate, place_int8(model, quantized), found.cases, len(images))
            set_aside(folder, RESULTS)
            write_loss(loss, model, config.quantize, folder)
            print(describe_loss(loss))
            check_loss(loss, config.quantize)
            print(f"model: {save_quantized(loss, model, quantized, folder)}\n{RESEARCH_USE}")
