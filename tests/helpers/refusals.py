"""A net that neither engine builds: ours says what is wrong and where, and Caffe, asked too, stops on a CHECK."""

from pathlib import Path

import pytest

import torchcaffe as caffe
from caffeformat import FormatError
from tests.helpers.real_caffe import CaffeAborted, RealCaffe


def refused(text: str, message: str, folder: Path, real: RealCaffe | None) -> None:
    """`real` is None where Caffe builds the net all the same, and goes wrong in silence."""
    path = folder / "net.prototxt"
    path.write_text(text)
    with pytest.raises(FormatError, match=rf"(?s)net\.prototxt:\d+: layer 'it' \(\w+\): .*{message}"):
        caffe.Net(path, caffe.TEST)
    if real:
        with pytest.raises(CaffeAborted):
            real.run('caffe.Net(given["path"], 1)', path=str(path))
