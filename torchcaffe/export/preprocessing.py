"""What is done to an image before the net sees it: mean and scale of a transform_param, and the order of channels."""

from dataclasses import dataclass

import numpy as np

from caffeformat import FormatError, blobs, prototxt
from caffeformat.caffeformat_pb2 import TransformationParameter
from torchcaffe.common.log import Fatal
from torchcaffe.export.inference import InferenceNet

_TAKEN = ("scale", "mean_file", "mean_value", "crop_size")


@dataclass(frozen=True)
class Preprocessing:
    """For the input `blob` of so many `channels`: reverse them if `rgb`, subtract `mean`, multiply by `scale`.

    `mean` is (C, 1, 1) or (C, H, W), float32, BGR; None if there is none.
    """

    blob: str
    channels: int
    mean: np.ndarray | None
    scale: float
    rgb: bool

    def text(self) -> str:
        """What the user has to give, and what the graph does with it, in words."""
        order = ", RGB" if self.rgb else ", BGR" if self.channels == 3 else ""
        does = ["makes BGR of it"] if self.rgb else []
        if self.mean is not None and self.mean.shape[1:] == (1, 1):
            does.append(f"subtracts {', '.join(f'{value:.7g}' for value in self.mean.flat)}")
        elif self.mean is not None:
            does.append("subtracts a mean image")
        if self.scale != 1:
            does.append(f"multiplies by {self.scale:.7g}")
        given = "values as the net takes them" if self.mean is None and self.scale == 1 else "pixels from 0 to 255"
        return f"{self.blob}: {given}{order}; the graph {', then '.join(does)}"

    def undone(self, array: np.ndarray) -> np.ndarray:
        """The image of which `array` (N, C, H, W) is the preprocessed one."""
        raw = array / np.float32(self.scale) + (0 if self.mean is None else self.mean)
        return np.ascontiguousarray(raw[:, ::-1] if self.rgb else raw, np.float32)


def read_preprocessing(
    text: str, channels: str, net: InferenceNet, shapes: dict[str, tuple[int, ...]]
) -> Preprocessing | None:
    """What --preprocess=`text` and --channels=`channels` ask for; None if nothing. Raises Fatal.

    `text` is `net`, for the transform_param of the net's data layer, or the fields of a transform_param.
    """
    if channels not in ("", "BGR", "RGB"):
        raise Fatal(f"--channels={channels}: BGR, Caffe's order, or RGB is needed")
    if not text and channels != "RGB":
        return None
    images = [name for name, shape in shapes.items() if len(shape) == 4]
    flag = "--preprocess" if text else "--channels"
    if len(images) != 1:
        found = f"{len(images)} inputs of images (N, C, H, W), {', '.join(images)}" if images else "no input of images"
        raise Fatal(f"{flag}: the net has {found}; one is needed. Leave the flag out, and do it before the net")
    blob = images[0]
    if text == "net":
        param = net.data[blob][0].transform_param
        name = f"{net.data[blob][2]}: transform_param of layer '{net.data[blob][0].name}'"
    else:
        param, name = prototxt.parse(text, TransformationParameter(), "--preprocess"), "--preprocess"
    other = [field.name for field, _ in param.ListFields() if field.name not in _TAKEN]
    if other and text != "net":
        raise Fatal(f"{name}: {other[0]}: only {', '.join(_TAKEN)} are part of an exported graph")
    _, count, height, width = shapes[blob]
    if channels == "RGB" and count != 3:
        raise Fatal(f"--channels=RGB: input '{blob}' has {count} channels, not 3")
    mean = _mean(param, name, (count, height, width))
    if not 0 < abs(param.scale) < np.inf:
        raise Fatal(f"{name}: scale: {param.scale:g}: a number other than 0 is needed")
    if text and mean is None and param.scale == 1:
        fields = "give the fields, as --preprocess='mean_value: 104 mean_value: 117 mean_value: 123 scale: 0.017'"
        raise Fatal(
            f"{name}: neither a mean nor a scale, so there is nothing to do; leave --preprocess out, or {fields}"
        )
    return Preprocessing(blob, count, mean, param.scale, channels == "RGB")


def _mean(param: TransformationParameter, name: str, shape: tuple[int, int, int]) -> np.ndarray | None:
    """The mean for images of `shape`: of a mean image its centre, as in the TEST phase."""
    channels, height, width = shape
    if param.HasField("mean_file"):
        if param.mean_value:
            raise Fatal(f"{name}: mean_file and mean_value are both given; give one of them")
        try:
            mean = blobs.read_mean(param.mean_file)
        except FormatError as error:
            raise Fatal(f"{name}: {error}") from None
        if mean.shape[0] != channels or mean.shape[1] < height or mean.shape[2] < width:
            raise Fatal(f"{name}: {param.mean_file}: a mean of {mean.shape} for an input of {shape}")
        top, left = (mean.shape[1] - height) // 2, (mean.shape[2] - width) // 2
        return np.ascontiguousarray(mean[:, top : top + height, left : left + width])
    values = list(param.mean_value)
    if len(values) not in (0, 1, channels):
        raise Fatal(f"{name}: mean_value is given {len(values)} times; 1 or {channels} are needed, one a channel")
    return np.broadcast_to(np.array(values, np.float32)[:, None, None], (channels, 1, 1)).copy() if values else None
