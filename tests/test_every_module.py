"""Every module has a test file under its own name, with a test that `make test-fast` runs.

tools/planning/state.py is tested by tests/tools/planning/test_state.py, and so on.
"""

import ast
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[1]
PACKAGES = ("caffeformat", "tools", "torchcaffe")
# Modules without a test file of their own -> the file that tests them: base classes by a class that extends them.
TESTED_BY = {
    "caffeformat/errors.py": "caffeformat/test_prototxt.py",
    "tools/cluster/executor.py": "tools/cluster/test_slurm.py",
    "tools/datasets/base.py": "tools/datasets/test_folder.py",
    "tools/datasets/bring.py": "tools/test_fetch.py",
    "torchcaffe/export/gradients.py": "torchcaffe/export/test_torch_export.py",
    "torchcaffe/export/onnx_file.py": "torchcaffe/export/test_onnx_export.py",
    "torchcaffe/export/onnx_graph.py": "torchcaffe/export/test_onnx_export.py",
    "torchcaffe/export/refusal.py": "torchcaffe/export/test_onnx_export.py",
    "torchcaffe/export/torch_maps.py": "torchcaffe/export/test_onnx_maps.py",
    "torchcaffe/export/torch_shapes.py": "torchcaffe/export/test_onnx_shapes.py",
    "torchcaffe/export/torch_values.py": "torchcaffe/export/test_onnx_values.py",
    "torchcaffe/layer_types/base_conv.py": "torchcaffe/layer_types/test_conv.py",
    "torchcaffe/layer_types/loss.py": "torchcaffe/layer_types/test_softmax_loss.py",
    "torchcaffe/layer_types/lstm.py": "torchcaffe/layer_types/test_recurrent.py",
    "torchcaffe/layer_types/neuron.py": "torchcaffe/layer_types/test_relu.py",
    "torchcaffe/layer_types/rnn.py": "torchcaffe/layer_types/test_recurrent.py",
    "torchcaffe/layer_types/unrolled.py": "torchcaffe/layer_types/test_recurrent.py",
}
MODULES = sorted(
    str(path.relative_to(CHECKOUT))
    for package in PACKAGES
    for path in (CHECKOUT / package).rglob("*.py")
    if not path.stem.startswith("__") and not path.stem.endswith("_pb2")
)


def own_test_file(module: str) -> Path:
    path = Path(module)
    return CHECKOUT / "tests" / path.with_name(f"test_{path.name}")


def is_slow(mark: ast.expr) -> bool:
    """Of a decorator, or of what is assigned to `pytestmark`."""
    marks = mark.elts if isinstance(mark, ast.List) else [mark]
    return "pytest.mark.slow" in map(ast.unparse, marks)


def has_fast_test(file: Path) -> bool:
    """Whether a test in `file` is not marked slow, nor is the whole file."""
    if not file.is_file():
        return False
    body = ast.parse(file.read_text(encoding="utf-8")).body
    assigned = [node for node in body if isinstance(node, ast.Assign)]
    if any(ast.unparse(node.targets[0]) == "pytestmark" and is_slow(node.value) for node in assigned):
        return False
    tests = [node for node in body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")]
    return any(not any(map(is_slow, test.decorator_list)) for test in tests)


@pytest.mark.parametrize("module", MODULES)
def test_a_module_has_a_fast_test(module: str) -> None:
    elsewhere = TESTED_BY.get(module)
    file = CHECKOUT / "tests" / elsewhere if elsewhere else own_test_file(module)
    assert has_fast_test(file), f"{file.relative_to(CHECKOUT)}: no test in it, or only slow ones"


@pytest.mark.parametrize("module", TESTED_BY)
def test_an_exception_is_one(module: str) -> None:
    assert module in MODULES, f"{module} is gone: take it out of TESTED_BY"
    assert not own_test_file(module).exists(), f"{module} has a test file of its own: take it out of TESTED_BY"
