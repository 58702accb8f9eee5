"""The Python modules that a prototxt names: found as real Caffe finds them, with `import caffe` in them as torchcaffe.

Source followed: GetPythonLayer in BVLC Caffe's layer_factory.cpp.
"""

import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_loader
from pathlib import Path
from types import ModuleType

from torchcaffe.common.log import Fatal

_PACKAGE = str(Path(__file__).parents[1])


class _Alias(Loader):
    """Loads the module that torchcaffe has in the place of one of pycaffe's. It is the same object under both names."""

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = import_module("torchcaffe" + spec.name.removeprefix("caffe"))
        self._spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """The module has run already; the import has just given it another spec."""
        module.__spec__ = self._spec


class _Caffe(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return spec_from_loader(fullname, _Alias()) if fullname.partition(".")[0] == "caffe" else None


def import_caffe_as_torchcaffe() -> None:
    """From now on `import caffe` means torchcaffe in this process, unless it has loaded another caffe already."""
    if not any(isinstance(finder, _Caffe) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Caffe())


def load(name: str) -> ModuleType:
    """The module `name`, from `sys.path`, which has the folders in PYTHONPATH. Raises Fatal if there is none, and what
    the module itself raises."""
    import_caffe_as_torchcaffe()
    if not name:
        raise Fatal("python_param names no module; it needs `module` and `layer`")
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not (name == error.name or name.startswith(f"{error.name}.")):
            raise  # the module is there, and imports another that is not
        hint = "put the folder of its file into PYTHONPATH: `export PYTHONPATH=/path/to/folder:$PYTHONPATH`"
        raise Fatal(f"no Python module '{name}' is found; {hint}") from None


def own_traceback(error: Exception) -> str:
    """The traceback of `error` as Python prints it, from the first line of the user's code on."""
    frame = error.__traceback__
    while frame and (_is_ours(frame.tb_frame.f_code.co_filename) and frame.tb_next):
        frame = frame.tb_next
    return "".join(traceback.format_exception(type(error), error, frame))


def _is_ours(file: str) -> bool:
    """Whether a file of code is torchcaffe's, or the import system's."""
    return file.startswith((_PACKAGE, "<frozen importlib")) or Path(file).parent.name == "importlib"
