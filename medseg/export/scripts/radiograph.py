"""Read DICOM radiographs, run an exported model on them, and clean its masks. Research use only.

    python radiograph.py IMAGE.dcm OUT

medseg exported this file beside model.onnx, model.xml or model.pt2. It needs numpy, pydicom, scipy and pillow, the
library that runs the model (onnxruntime, openvino or torch), and not medseg. It writes OUT/<class>.png for each class.
Not for clinical use.
"""

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut

Values = NDArray[np.float32]
Masks = NDArray[np.bool_]


def read_dicom(path: str | Path, presentation: str = "stored") -> Values:
    """The input of the program, float32 `(1, 1, rows, columns)`, of a DICOM file with one grayscale image.

    `presentation` is the one in the model's `reading`: `stored`, or `voi` to apply the VOI LUT or window.
    """
    dataset = dcmread(path)
    stored = dataset.pixel_array
    if stored.ndim != 2:
        raise ValueError(f"{path}: has the shape {stored.shape}; one grayscale image is needed")
    return make_input(apply_modality_lut(stored, dataset), dataset, presentation)[None, None]


def make_input(values: NDArray[Any], dataset: Dataset, presentation: str = "stored") -> Values:
    """Modality values as the program needs them: padding pixels are NaN, and dense tissue is bright."""
    padding = np.zeros(values.shape, np.bool_)
    if dataset.get("PixelPaddingValue") is not None:
        first = int(dataset.PixelPaddingValue)
        limits = np.array([first, int(dataset.get("PixelPaddingRangeLimit", first))])
        low, high = sorted(np.asarray(apply_modality_lut(limits, dataset), np.float64))
        padding = (values >= low) & (values <= high)
    if presentation == "voi":
        values = apply_voi_lut(values, dataset)
    values = values.astype(np.float32)
    if dataset.get("PhotometricInterpretation") == "MONOCHROME1":
        values = sum(_find_limits(dataset)) - values
    return np.where(padding, np.float32(np.nan), values)


def _find_limits(dataset: Dataset) -> tuple[float, float]:
    """The least and the greatest modality value that the pixels of a file can have."""
    bits, is_signed = int(dataset.BitsStored), bool(dataset.get("PixelRepresentation"))
    least = -(1 << bits >> 1) if is_signed else 0
    ends = np.array([least, least + (1 << bits) - 1])
    stored = np.arange(ends[0], ends[1] + 1) if "ModalityLUTSequence" in dataset else ends
    values = np.asarray(apply_modality_lut(stored, dataset), np.float64)
    return float(values.min()), float(values.max())


def clean(masks: Masks, classes: list[str], components: Mapping[str, int], fill_holes: bool) -> Masks:
    """Masks `(class, rows, columns)` with only the largest `components` of each class, and without holes.

    Pixels that touch at a corner belong to one component.
    """
    from scipy import ndimage

    cleaned = masks.copy()
    for index, name in enumerate(classes):
        if name in components:
            labels, number = ndimage.label(cleaned[index], np.ones((3, 3)))
            sizes = np.bincount(labels.ravel(), minlength=number + 1)[1:]
            kept = 1 + np.argsort(-sizes, kind="stable")[: components[name]]
            cleaned[index] = np.isin(labels, kept)
        if fill_holes:
            cleaned[index] = ndimage.binary_fill_holes(cleaned[index])
    return cleaned


def load(folder: Path) -> tuple[Callable[[Values], Masks], dict[str, Any]]:
    """The function that runs the model in `folder`, and what the model says of itself."""
    if (folder / "model.onnx").exists():
        import onnxruntime  # type: ignore[import-untyped]

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(folder / "model.onnx", options)
        texts = session.get_modelmeta().custom_metadata_map
        return lambda image: session.run(None, {"image": image})[0], json.loads(texts["medseg"])
    if (folder / "model.xml").exists():
        import openvino  # type: ignore[import-untyped]

        graph = openvino.Core().read_model(folder / "model.xml")
        compiled = openvino.compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        return lambda image: compiled(image)[0], json.loads(graph.get_rt_info(["medseg"]).value)
    import torch

    texts = {"medseg.json": ""}
    program = torch.export.load(folder / "model.pt2", extra_files=texts).module()
    return lambda image: program(torch.from_numpy(image)).numpy(), json.loads(texts["medseg.json"])


def main() -> None:
    """Write the masks of one DICOM file as PNG."""
    from PIL import Image

    if len(sys.argv) != 3:
        sys.exit("usage: python radiograph.py IMAGE.dcm OUT")
    run, facts = load(Path(__file__).parent)
    if facts["reading"]["color"] == "rgb":
        sys.exit("This model takes color images, and DICOM files are read as gray ones. Call it from Python.")
    image = read_dicom(sys.argv[1], facts["reading"]["presentation"])
    masks = clean(run(image)[0], facts["classes"], facts["components"], facts["fill_holes"])
    folder = Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    for name, mask in zip(facts["classes"], masks, strict=True):
        Image.fromarray(mask).save(folder / f"{name}.png")
        print(f"{name}: {mask.sum()} pixels")


if __name__ == "__main__":
    main()
