"""Modules of the user's, in processes of their own: what `import caffe` means, and errors."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.engine_runs import CHECKOUT
from torchcaffe.common import user_module
from torchcaffe.common.log import Fatal


def test_in_a_users_module_caffe_is_torchcaffe_with_all_its_modules(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "import caffe\nimport caffe.pycaffe\nfrom caffe import nets\nfrom caffe.nets import net\n"
    )
    program = (
        "import sys, torchcaffe, torchcaffe.nets.net; from torchcaffe.common import user_module\n"
        "mine = user_module.load('mine')\n"
        "assert mine.caffe is torchcaffe is sys.modules['caffe']\n"
        "assert mine.net is torchcaffe.nets.net\n"
        "assert torchcaffe.__spec__.name == 'torchcaffe' == torchcaffe.__name__\n"
        "import importlib; importlib.reload(torchcaffe)\n"
    )
    environment = {"PYTHONPATH": f"{tmp_path}:{CHECKOUT}"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_module_that_is_not_there_differs_from_one_that_imports_what_is_not_there(tmp_path, monkeypatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "needs_more.py").write_text("import not_there_at_all")
    with pytest.raises(Fatal, match=r"no Python module 'package\.of\.mine' is found; .* PYTHONPATH"):
        user_module.load("package.of.mine")
    with pytest.raises(ModuleNotFoundError, match="not_there_at_all") as caught:
        user_module.load("needs_more")
    lines = user_module.own_traceback(caught.value).splitlines()
    assert f'  File "{tmp_path}/needs_more.py", line 1, in <module>' in lines
