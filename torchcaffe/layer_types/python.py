"""Python: a layer that a class of the user's computes.

Source followed: BVLC Caffe's python_layer.hpp, and GetPythonLayer in its layer_factory.cpp.
"""

from caffeformat.blobs import blob_to_array
from caffeformat.caffeformat_pb2 import LayerParameter
from torchcaffe.common import host_arrays, log, user_module
from torchcaffe.common.context import Context
from torchcaffe.layer_types.base import Blob, BlobVec, Fatal, Layer, to_device

METHODS = ("setup", "reshape", "forward")  # of a user's class; `backward` is needed for a gradient only


class UserBlobVec(BlobVec):
    """The parameters of a layer in Python, which adds them itself."""

    def __init__(self, context: Context):
        super().__init__()
        self._context = context

    def add_blob(self, *shape: int) -> None:
        """Adds a parameter of zeros."""
        self.append(Blob(self._context, shape))


class UserLayer:
    """The base class of layers in Python, `caffe.Layer` of a script.

    A subclass has `setup(bottom, top)`, `reshape(bottom, top)`, `forward(bottom, top)` and
    `backward(top, propagate_down, bottom)`. Their blobs have `data` and `diff`, float32 arrays that are the net's own
    memory, and `reshape(*shape)`. `param_str` is the text in the prototxt, `phase` caffe.TRAIN or caffe.TEST. In
    `setup`, `self.blobs.add_blob(*shape)` adds a parameter.
    """

    type = "Python"
    param_str: str
    phase: int
    _blobs: UserBlobVec

    def __init__(self, param: LayerParameter):
        pass

    @property
    def blobs(self) -> UserBlobVec:
        return self._blobs


class Python(Layer):
    """Calls the methods of `user`, an object of the class that python_param names.

    `reshape` of the class runs before each forward pass, as in Caffe. What it or another method raises is raised, with
    a note that names the layer, and has the attribute `python_layer`: the name of the method for messages.
    """

    n_bottoms = (0, None)
    n_tops = (0, None)
    recordable = False
    reshapes_itself = True

    def __init__(self, param: LayerParameter, context: Context, where: str):
        super().__init__(param, context, where)
        self.user = self._create()
        self.blobs = self.user.blobs

    def _create(self) -> UserLayer:
        names = self.param.python_param
        try:
            module = user_module.load(names.module)
        except Fatal as error:
            raise self.refuse(str(error)) from None
        except Exception as error:
            raise self._told(error, "the import") from None
        file = getattr(module, "__file__", None) or "built in"
        log.info("layer_factory.cpp:294", f"Layer {self.name} is {names.layer} of the Python module {file}")
        kind = getattr(module, names.layer, None)
        if not (isinstance(kind, type) and issubclass(kind, UserLayer)):
            raise self.refuse(f"{file}: `{names.layer}` is to be a class of caffe.Layer; found {kind!r}")
        self._file = file
        user: UserLayer = kind.__new__(kind)
        user._blobs = UserBlobVec(self.context)
        for index, proto in enumerate(self.param.blobs):
            array = blob_to_array(proto, f"blobs[{index}]")
            user._blobs.add_blob(*array.shape)
            user._blobs[index].value = to_device(array, self.context)
        try:
            kind.__init__(user, self.param)
        except Exception as error:
            raise self._told(error, "__init__") from None
        return user

    def layer_setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        self.user.param_str = self.param.python_param.param_str
        self.user.phase = int(self.phase)
        missing = [name for name in METHODS if not hasattr(self.user, name)]
        if "setup" not in missing:
            self._call("setup", bottom, top)  # first, as in Caffe: what it raises tells more
        name = type(self.user).__name__
        self.check(not missing, f"{self._file}: class {name} has no method {' and no '.join(missing)}")

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        self._call("reshape", bottom, top)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        before = [blob.shape for blob in top]
        self.reshape(bottom, top)
        self._call("forward", bottom, top)
        self.resized = before != [blob.shape for blob in top]

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        for blob, down in zip(bottom, propagate_down, strict=True):
            if down:  # what the method does not write stays; it may not write into another blob's gradient
                blob.grad = blob.gradient().clone()
        self._call("backward", top, propagate_down, bottom)

    def _call(self, method: str, *arguments: list) -> None:
        host_arrays.refresh()
        try:
            getattr(self.user, method)(*arguments)
            host_arrays.push()
        except Exception as error:
            raise self._told(error, method) from None

    def _told(self, error: Exception, method: str) -> Exception:
        """`error` with the name of the layer and of the method."""
        names = self.param.python_param
        place = f"{self.where}: layer '{self.name}' (Python): in {method} of {names.module}.{names.layer}"
        error.add_note(place)
        error.python_layer = place  # type: ignore[attr-defined]
        return error
