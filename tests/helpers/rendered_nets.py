"""What a run of tiny.yaml trains, rendered: its net and solver as messages; templates of the mini net with an edit."""

from caffeformat import prototxt
from tools.nets.templates import render
from tools.protocol.layout import Run

LAYERS = ["conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8"]


def rendered(exp, condition="S3T", size=300, direction="A2B"):
    rendered = render(exp, Run(exp.name, direction, size, condition, 0))
    net = prototxt.parse(rendered.net, prototxt.NetParameter(), "net")
    return rendered, {layer.name: layer for layer in net.layer if layer.param}, net


def solver_of(rendered):
    return prototxt.parse(rendered.solver, prototxt.SolverParameter(), "solver")


def edited(checkout, tmp_path, old, new):
    """The mini template with one edit, in the root's own prototxt/."""
    folder = tmp_path / "prototxt" / "mine"
    folder.mkdir(parents=True)
    text = (checkout / "prototxt" / "mini" / "train_val.prototxt").read_text()
    assert old in text
    (folder / "train_val.prototxt").write_text(text.replace(old, new, 1))
    return "model=mine crop_size=24"
