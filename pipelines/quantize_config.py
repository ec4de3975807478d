"""Make a model faster on processors: its convolutions in int8. Research use only. Not for clinical use.

usage: python -m pipelines.quantize_xray model=best.pt data.root=DIR [output.dir=OUT] [quantize.max_dice_loss=0.002]

DIR is the data set of the training. Ranges are measured on training cases, the loss on the others: Dice of each class,
on average and in the worst case, and the cardiothoracic ratio. Writes quantization.json and, unless the loss is above a
limit, int8.pt: the model with its network also in int8, which predict_dicom and evaluate_xray run where that is faster.
Needs the extra: pip install 'medseg[openvino]'.
Exit code 0; 1: the loss is too great, or failed under way; 2: bad configuration, data or model; 130, 143: stopped.
"""

from pathlib import Path

from medseg.config import ExistingPath, Section
from medseg.data.config import CasesConfig
from medseg.evaluation.config import QuantizationConfig
from medseg.output.config import OutputConfig
from medseg.tracking.config import StoreConfig
from pipelines.train_config import TrainConfig


class QuantizeDataConfig(CasesConfig):
    """Which radiographs and masks."""

    root: ExistingPath
    """The data set of the training: a folder (images/, masks/), a CSV manifest or a dataset.json."""


class QuantizeOutputConfig(OutputConfig):
    """Where results are written."""

    dir: Path = Path("output/quantize_xray")
    """The folder of this command's results; one process at a time writes into it."""


class QuantizeConfig(Section):
    """One quantisation."""

    recipe = TrainConfig

    model: str
    """The model: a file, a folder with best.pt, or an MLflow address."""

    data: QuantizeDataConfig
    quantize: QuantizationConfig = QuantizationConfig()
    tracking: StoreConfig = StoreConfig()
    output: QuantizeOutputConfig = QuantizeOutputConfig()
