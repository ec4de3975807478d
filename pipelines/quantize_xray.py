"""Make a model's network int8: `python -m pipelines.quantize_xray`; `quantize_config` says what can be set."""

from collections.abc import Sequence

from medseg.config import parse_args
from pipelines.command import run_command
from pipelines.quantize_config import QuantizeConfig


def main(argv: Sequence[str] | None = None) -> None:
    """Quantise a model, measure what that costs, and keep it if that is little."""
    config = parse_args(QuantizeConfig, argv)
    from medseg.data.cases import find_cases
    from medseg.evaluation.quantization import check_loss, gather_images, measure_loss
    from medseg.evaluation.subject import read_as
    from medseg.inference.openvino_runtime import quantize
    from medseg.output.folder import claim_folder, set_aside
    from pipelines.quantize_record import RESULTS, load_one, place_quantized, place_reference, record_loss, save_model

    model = load_one(config)
    found = find_cases(read_as(model.card, config.data))
    subject = place_reference(model, config.data, found)
    with claim_folder(config.output.dir) as folder:
        set_aside(folder, RESULTS)
        images = gather_images(subject, found.cases, config.quantize)
        quantized = quantize(model.networks[0], images)
        loss = measure_loss(subject, place_quantized(model, quantized), found.cases, len(images))
        record_loss(loss, model, config.quantize, folder)
        check_loss(loss, config.quantize)
        save_model(loss, model, quantized, folder)


if __name__ == "__main__":
    run_command(main)
