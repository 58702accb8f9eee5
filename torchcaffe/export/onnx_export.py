"""Writes an ONNX file, after onnxruntime has computed the same with it as the original does."""

from onnx import ModelProto

from torchcaffe.common.files import write_file
from torchcaffe.export import onnx_file
from torchcaffe.export.exporter import Loaded, Options, checked, load
from torchcaffe.export.preprocessing import Preprocessing, read_preprocessing
from torchcaffe.export.reference import Arrays, Case
from torchcaffe.export.refusal import NeedsFixedBatch
from torchcaffe.export.trace import with_fixed_batch


def export(options: Options) -> list[str]:
    """Writes the file and returns lines about it. Raises Fatal; then nothing is written."""
    loaded = load(options, onnx_file.TYPES)
    shapes = {value.blob: value.shape for value in loaded.traced.inputs}
    preprocessing = read_preprocessing(options.preprocess, options.channels, loaded.inference, shapes)
    try:
        model = onnx_file.build(loaded.traced, preprocessing)
    except NeedsFixedBatch as reason:
        loaded.traced = with_fixed_batch(loaded.net, loaded.inference.parsed, loaded.inference.outputs, str(reason))
        model = onnx_file.build(loaded.traced, preprocessing)
    whole = onnx_file.with_all_blobs(model, loaded.traced)

    def run(case: Case) -> Arrays:
        return _blobs(whole, model, loaded, case, preprocessing)

    report, against = checked(loaded, run, str(options.output))
    facts = loaded.facts() | {
        "checked_against": against,
        "largest_difference": f"{report.worst:.3g}",
        "largest_difference_of": report.where,
        "batch_size": (loaded.traced.fixed and loaded.sizes()) or "any",
    }
    if preprocessing:
        facts["preprocessing"] = preprocessing.text()
    write_file(options.output, [onnx_file.with_facts(model, facts)])
    outputs = loaded.inference.named_outputs()
    return [
        f"{options.output}: ONNX, opset {onnx_file.OPSET}, {loaded.sizes()}; outputs {outputs}",
        f"{report.compared} blobs checked against {against}: the largest difference is {report.worst:.3g} of the "
        f"blob's largest value ({report.where})",
        *([f"takes {preprocessing.text()}"] if preprocessing else []),
        *report.lines(),
    ]


def _blobs(
    whole: ModelProto, model: ModelProto, loaded: Loaded, case: Case, preprocessing: Preprocessing | None
) -> Arrays:
    """All blobs that the graph computes; its outputs from the model as it is written, without the others."""
    given = dict(case.inputs)
    if preprocessing:
        given[preprocessing.blob] = preprocessing.undone(given[preprocessing.blob])
    found = onnx_file.run(whole, given) | onnx_file.run(model, given)
    names = {value.name: value.blob for value in loaded.traced.blobs.values()}
    return {names[name]: array for name, array in found.items()}
