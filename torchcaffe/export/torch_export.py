"""Writes a folder with PyTorch code and its weights, after it has computed the same values and gradients."""

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import save_file

from torchcaffe.common.log import Fatal
from torchcaffe.export import torch_maps, torch_recurrent, torch_shapes, torch_values  # noqa: F401  # they register their writers
from torchcaffe.export.exporter import Loaded, Options, checked, load
from torchcaffe.export.gradients import check_gradients
from torchcaffe.export.reference import Arrays, Case
from torchcaffe.export.refusal import NeedsFixedBatch, Refused, refuse
from torchcaffe.export.torch_source import WRITERS, TorchSource, exact_numbers
from torchcaffe.export.trace import with_fixed_batch

CODE, WEIGHTS = "net.py", "weights.safetensors"


def export(options: Options) -> list[str]:
    """Writes the folder and returns lines about it. Raises Fatal; then nothing is written."""
    output = options.output
    if output.exists():
        raise Fatal(f"{output}: exists already; remove it, or give another --output")
    loaded = load(options, WRITERS)
    try:
        source = _written(loaded)
    except NeedsFixedBatch as reason:
        loaded.traced = with_fixed_batch(loaded.net, loaded.inference.parsed, loaded.inference.outputs, str(reason))
        source = _written(loaded)
    facts = [*(f"{name}: {value}" for name, value in loaded.facts().items()), loaded.sizes(), *loaded.left_out()]
    try:
        partial = Path(tempfile.mkdtemp(prefix=f".{output.name}.", suffix=".partial", dir=output.parent))
    except OSError as error:
        raise Fatal(f"{output}: cannot be written: {error.strerror}") from None
    try:
        _write(partial, source, loaded, facts)
        shapes = {layer.name: [tuple(blob.shape) for blob in layer.blobs] for layer in loaded.net.layers if layer.blobs}

        def run(case: Case, dtype: torch.dtype = torch.float32) -> Arrays:
            if dtype == torch.float32:
                return _computed((partial / CODE).read_text(encoding="utf-8"), partial, source, shapes, case, dtype)
            with exact_numbers():
                exact = _written(loaded)
            text = exact.text("", loaded.traced.inputs, loaded.traced.outputs, [])
            return _computed(text, partial, exact, shapes, case, dtype)

        report, against = checked(loaded, run, str(output))
        gradients = check_gradients(loaded, run, str(output))
        facts += [f"checked against: {against}", f"largest difference: {report.worst:.3g} of {report.where}"]
        facts += [f"checked: {gradients}"]
        _write(partial, source, loaded, facts)
        partial.chmod(0o777 & ~_umask())
        partial.rename(output)
    except OSError as error:
        raise Fatal(f"{output}: cannot be written: {error.strerror}; nothing was left there") from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return [
        f"{output}: {CODE} and {WEIGHTS}, {loaded.sizes()}; outputs {loaded.inference.named_outputs()}",
        f"{report.compared} blobs checked against {against}: the largest difference is {report.worst:.3g} of the "
        f"blob's largest value ({report.where})",
        gradients,
        *report.lines(),
    ]


def _written(loaded: Loaded) -> TorchSource:
    """The code. Raises Fatal with all layers that cannot be exported, NeedsFixedBatch for one that needs that."""
    source, reasons = TorchSource(loaded.net.params), []
    for step in loaded.traced.steps:
        if step.layer.type == "Input":
            continue
        where = f"{step.layer.where}: layer '{step.layer.name}' ({step.layer.type})"
        try:
            source.add(step)
        except Refused as reason:
            reasons.append(f"{where}: {reason}")
        except NeedsFixedBatch as reason:
            raise NeedsFixedBatch(f"{where}: {reason}") from None
    refuse(reasons, "pytorch")
    return source


def _write(folder: Path, source: TorchSource, loaded: Loaded, facts: list[str]) -> None:
    title = f"{loaded.net.name or 'A net'}, exported from Caffe."
    text = source.text(title, loaded.traced.inputs, loaded.traced.outputs, facts)
    for name, write in {
        CODE: lambda path: path.write_text(text, encoding="utf-8"),
        WEIGHTS: lambda path: save_file(source.state, path, {"format": "pt"}),
    }.items():
        write(folder / name)
        descriptor = os.open(folder / name, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _computed(
    code: str,
    folder: Path,
    source: TorchSource,
    shapes: dict[str, list[tuple[int, ...]]],
    case: Case,
    dtype: torch.dtype,
) -> Arrays:
    """Blobs and, if the case has gradients of outputs, those of parameters, by `code` that lies in `folder`.

    In float32 with the weights that lie there, else with those of `source`.
    """
    names: dict[str, Any] = {"__file__": str(folder / CODE), "__name__": "exported_net"}
    exec(compile(code, folder / CODE, "exec"), names)  # an import would leave a __pycache__
    if dtype == torch.float32:
        net = names["Net"]()
    else:
        net = names["Net"](weights=None).to(dtype)
        net.load_state_dict({key: torch.from_numpy(array.copy()) for key, array in source.state.items()})
    with torch.set_grad_enabled(bool(case.diffs)):
        found = net.blobs(*(torch.from_numpy(np.array(array)).to(dtype) for array in case.inputs.values()))
    if not case.diffs:
        return {name: blob.detach().numpy() for name, blob in found.items() if name not in case.inputs}
    diffs = [torch.from_numpy(diff).to(dtype) for diff in case.diffs.values()]
    torch.autograd.backward([found[name] for name in case.diffs], diffs)
    parameters, arrays = dict(net.named_parameters(remove_duplicate=False)), {}
    for layer, index, key, transposed in source.gradients:
        if (grad := parameters[key].grad) is not None:
            arrays[f"grad {layer} {index}"] = (grad.T if transposed else grad).numpy().reshape(shapes[layer][index])
    return arrays
