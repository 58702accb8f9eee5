"""What each part may know: the imports of the whole tree, read from the source, functions and type checks included."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tools.__main__ import VERBS

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("caffeformat", "torchcaffe", "tools")

# A verb may import other verbs only here. `sweep` makes the tables of what there is when runs have failed.
VERBS_OF_VERBS = {"run": {"parse", "predict", "render", "train"}, "sweep": {"summarize"}, "retain": {"run"}}
NO_VERBS = {"cli", "__main__", "__init__"}

# Folder -> the folders that it may import besides itself. Everybody may import caffeformat.
MAY_IMPORT = {
    "tools.common": set(),
    "tools.protocol": {"tools.common"},
    "tools.caffe_log": {"tools.common"},
    "tools.nets": {"tools.common", "tools.protocol"},
    "tools.datasets": {"tools.common", "tools.protocol"},
    "tools.results": {"tools.common", "tools.protocol"},
    "tools.stats": {"tools.common", "tools.protocol", "tools.results"},
    "tools.training": {"tools.common", "tools.protocol", "tools.nets", "tools.caffe_log", "tools.results"},
    "tools.figures": {
        *("tools.common", "tools.protocol", "tools.datasets", "tools.nets", "tools.results", "tools.stats"),
        "tools.training",
    },
    "tools.page": {"tools.common", "tools.protocol", "tools.results", "tools.figures"},
    "tools.planning": {
        *("tools.common", "tools.protocol", "tools.datasets", "tools.nets", "tools.results", "tools.stats"),
        *("tools.training", "tools.caffe_log", "tools.page"),
    },
    "tools.cluster": {"tools.common", "tools.protocol", "tools.training", "tools.planning"},
    "tools.verification": {
        *("tools.common", "tools.protocol", "tools.nets", "tools.results", "tools.stats", "tools.training"),
        *("tools.caffe_log", "tools.planning"),
    },
    "torchcaffe.warm": set(),
    "torchcaffe.proto": set(),
    "torchcaffe.random": set(),
    "torchcaffe.common": {"torchcaffe.random"},
    "torchcaffe.data": {"torchcaffe.common", "torchcaffe.random"},
    "torchcaffe.layer_types": {"torchcaffe.common", "torchcaffe.random", "torchcaffe.data"},
    "torchcaffe.nets": {"torchcaffe.common", "torchcaffe.random", "torchcaffe.data", "torchcaffe.layer_types"},
    "torchcaffe.snapshots": {"torchcaffe.common", "torchcaffe.layer_types", "torchcaffe.nets"},
    "torchcaffe.export": {
        *("torchcaffe.common", "torchcaffe.layer_types", "torchcaffe.nets", "torchcaffe.snapshots"),
    },
    "torchcaffe.solvers": {
        *("torchcaffe.common", "torchcaffe.random", "torchcaffe.data", "torchcaffe.layer_types", "torchcaffe.nets"),
        "torchcaffe.snapshots",
    },
}
FACES = {
    *("torchcaffe.__main__", "torchcaffe.cli", "torchcaffe.commands", "torchcaffe.flags"),
    *("torchcaffe.pycaffe", "torchcaffe.pysolver", "torchcaffe.pyglobals", "torchcaffe.io", "torchcaffe.net_spec"),
    *("torchcaffe.classifier", "torchcaffe.detector", "torchcaffe.draw", "torchcaffe.coord_map"),
}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {module_name(path): path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))}


def imports(tree: ast.AST) -> Iterator[str]:
    """The names that a module imports; of `from a import b` it is `a.b`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports name the whole path"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def own_modules(names: Iterator[str]) -> set[str]:
    """The modules of this tree among the imported names: `tools.common.files.lock` is `tools.common.files`."""
    modules = set()
    for name in names:
        parent = name.rpartition(".")[0]
        modules |= {module for module in (name if name in FILES else parent,) if module in FILES}
    return modules


@cache
def trees() -> dict[str, ast.Module]:
    return {module: ast.parse(path.read_text(encoding="utf-8")) for module, path in FILES.items()}


@cache
def graph() -> dict[str, set[str]]:
    """Module -> the modules of this tree that it imports."""
    return {module: own_modules(imports(tree)) - {module} for module, tree in trees().items()}


@cache
def arrows() -> list[tuple[str, str]]:
    return sorted((module, target) for module, targets in graph().items() for target in targets)


def folder(module: str) -> str:
    """tools.common.files -> tools.common; tools.split -> tools; caffeformat.blobs -> caffeformat."""
    parts = module.split(".")
    if len(parts) > 1 and (ROOT / parts[0] / parts[1]).is_dir():
        return ".".join(parts[:2])
    return parts[0]


def test_no_two_modules_import_each_other_in_a_circle() -> None:
    try:
        TopologicalSorter(graph()).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_every_folder_has_its_line_in_the_table() -> None:
    assert {folder(module) for module in FILES} - {"caffeformat", "tools", "torchcaffe"} == MAY_IMPORT.keys()


def test_a_folder_imports_only_those_below_it() -> None:
    wrong = [
        f"{module} imports {target}"
        for module, target in arrows()
        if (above := folder(module)) in MAY_IMPORT and folder(target) not in MAY_IMPORT[above] | {above, "caffeformat"}
    ]
    assert not wrong


def test_caffeformat_imports_neither_program_and_these_not_each_other() -> None:
    tops = {(module.split(".")[0], target.split(".")[0]) for module, target in arrows()}
    assert {pair for pair in tops if pair[0] != pair[1]} == {("tools", "caffeformat"), ("torchcaffe", "caffeformat")}


def test_a_file_of_tools_is_a_verb_and_imports_no_other() -> None:
    files = {path.stem for path in (ROOT / "tools").glob("*.py")} - NO_VERBS
    assert files == VERBS.keys()
    verbs = {f"tools.{name}" for name in files}
    known = {name: {t.removeprefix("tools.") for t in graph()[f"tools.{name}"] & verbs} for name in files}
    assert {name: others for name, others in known.items() if others} == VERBS_OF_VERBS


def test_the_faces_of_torchcaffe_are_its_only_files_and_its_parts_do_not_import_them() -> None:
    files = {module for module in FILES if folder(module) == "torchcaffe"} - {"torchcaffe"}
    assert files == FACES
    assert not [arrow for arrow in arrows() if arrow[1] in FACES and arrow[0] not in FACES | {"torchcaffe"}]


def test_a_private_name_is_not_imported_elsewhere() -> None:
    wrong = [
        f"{module} imports {node.module}.{alias.name}"
        for module, tree in trees().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.name.startswith("_") and not alias.name.startswith("__") and node.module != module
    ]
    assert not wrong


def test_the_graph_loads_nothing_that_works_on_data() -> None:
    """Snakemake reads the Snakefile again for every job."""
    snakefile = (ROOT / "Snakefile").read_text(encoding="utf-8")
    lines = [line for line in snakefile.splitlines() if line.startswith("from tools")]
    assert lines and not loaded(lines, ["numpy", "cv2", "lmdb", "scipy", "matplotlib"])


@pytest.mark.parametrize(
    ("module", "names"),
    [
        ("tools.datasets.present", ["numpy", "cv2", "multiprocessing"]),  # a plan looks whether images have changed
        ("tools.planning.state", ["numpy", "cv2", "scipy", "matplotlib"]),
        ("tools.pack", ["google.protobuf", "tqdm", "scipy"]),
        ("tools.claims", ["statsmodels", "pandas", "matplotlib"]),
        ("tools.parse", ["numpy", "pydantic"]),
    ],
)
def test_a_module_loads_only_what_its_work_needs(module: str, names: list[str]) -> None:
    """Each verb is a process of its own, so what it loads is loaded for every call."""
    assert not loaded([f"import {module}"], names)


def loaded(lines: list[str], names: list[str]) -> list[str]:
    """Those of the modules `names` that a Python has loaded after these lines."""
    check = f"import sys; print(*(name for name in {names} if name in sys.modules))"
    command = [sys.executable, "-c", "\n".join([*lines, check])]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
