"""Which head of a net is the headline, and the nets whose graph does not decide it."""

from pathlib import Path

import pytest

from caffeformat import prototxt
from caffeformat.caffeformat_pb2 import NetParameter, SolverParameter
from tools.common.errors import UserError
from tools.protocol.heads import SMOOTHED, Headline, find_heads, headline_of

TEST, TRAIN = "include { phase: TEST }", "include { phase: TRAIN }"
DATA = "".join(f'layer {{ name: "data" type: "Data" top: "x" top: "label" {rule} }}\n' for rule in (TRAIN, TEST))


def layer(name: str, type_: str, bottoms: str, more: str = "", top: str = "") -> str:
    """A line of a prototxt; without `top` the layer's top has its name."""
    reads = " ".join(f'bottom: "{blob}"' for blob in bottoms.split())
    return f'layer {{ name: "{name}" type: "{type_}" {reads} top: "{top or name}" {more} }}\n'


def fc(name: str, bottom: str) -> str:
    return layer(name, "InnerProduct", bottom, "inner_product_param { num_output: 3 }")


def conv(name: str, bottom: str) -> str:
    return layer(name, "Convolution", bottom, "convolution_param { num_output: 3 kernel_size: 1 }")


def accuracy(name: str, scores: str, more: str = TEST) -> str:
    return layer(name, "Accuracy", f"{scores} label", more)


def loss(name: str, scores: str, more: str = "", type_: str = "SoftmaxWithLoss") -> str:
    return layer(name, type_, f"{scores} label", more)


TRUNK = DATA + fc("fc1", "x") + fc("fc2", "fc1")


def headline(text: str, solver: str = "") -> Headline:
    net = prototxt.parse(text, NetParameter(), "net.prototxt")
    state = prototxt.parse(solver, SolverParameter(), "solver.prototxt")
    return headline_of(net, Path("net.prototxt"), state)


def shape(text: str, solver: str = "") -> tuple[str, str, list[str], str | None]:
    """Headline accuracy and loss, the names of its classifier, and the column of its training loss."""
    found = headline(text, solver)
    layers = prototxt.parse(text, NetParameter(), "net.prototxt").layer
    return *found.outputs, [layers[position].name for position in sorted(found.classifier)], found.training_loss


PLAIN = accuracy("a", "fc2") + loss("l", "fc2")
AUX = fc("aux", "fc1") + accuracy("aux_a", "aux") + loss("aux_l", "aux", "loss_weight: 0.3")
HEADLINES = {
    "one head": (TRUNK + PLAIN, ("a", "l", ["fc2"], SMOOTHED)),
    "an auxiliary head before it": (DATA + fc("fc1", "x") + AUX + fc("fc2", "fc1") + fc("fc3", "fc2")
                                    + accuracy("a", "fc3") + loss("l", "fc3"), ("a", "l", ["fc3"], "l")),
    "an auxiliary head at the end": (DATA + fc("fc1", "x") + fc("b", "fc1") + fc("fc2", "b") + PLAIN + AUX,
                                     ("a", "l", ["fc2"], "l")),
    "equally deep, with a smaller weight": (TRUNK + AUX + PLAIN, ("a", "l", ["fc2"], "l")),
    "an auxiliary loss without accuracy": (TRUNK + PLAIN + fc("aux", "fc2") + loss("aux_l", "aux"),
                                           ("a", "l", ["fc2"], "l")),
    "a training accuracy first": (TRUNK + accuracy("t", "fc2", TRAIN) + PLAIN, ("a", "l", ["fc2"], SMOOTHED)),
    "top 5 first": (TRUNK + accuracy("five", "fc2", f"{TEST} accuracy_param {{ top_k: 5 }}") + PLAIN,
                    ("a", "l", ["fc2"], SMOOTHED)),
    "ignore_label first": (TRUNK + accuracy("some", "fc2", f"{TEST} accuracy_param {{ ignore_label: 0 }}") + PLAIN,
                           ("a", "l", ["fc2"], SMOOTHED)),
    "two accuracies of one classifier": (TRUNK + PLAIN + accuracy("b", "fc2"), ("a", "l", ["fc2"], SMOOTHED)),
    "over a Softmax": (TRUNK + layer("p", "Softmax", "fc2") + accuracy("a", "p") + loss("l", "fc2"),
                       ("a", "l", ["fc2"], SMOOTHED)),
    "log loss over a Softmax": (TRUNK + layer("p", "Softmax", "fc2") + accuracy("a", "p")
                                + loss("l", "p", type_="MultinomialLogisticLoss"), ("a", "l", ["fc2"], SMOOTHED)),
    "a convolution, pooled": (DATA + conv("c1", "x") + conv("c2", "c1") + layer("r", "ReLU", "c2", top="c2")
                              + layer("p", "Pooling", "c2", "pooling_param { global_pooling: true pool: AVE }")
                              + accuracy("a", "p") + loss("l", "p"), ("a", "l", ["c2"], SMOOTHED)),
    "a trunk of two branches": (DATA + fc("a1", "x") + fc("b1", "x") + layer("both", "Concat", "a1 b1")
                                + fc("fc2", "both") + PLAIN, ("a", "l", ["fc2"], SMOOTHED)),
    "the sum of two layers": (TRUNK + fc("other", "fc1") + layer("sum", "Eltwise", "fc2 other")
                              + accuracy("a", "sum") + loss("l", "sum"), ("a", "l", ["fc2", "other"], SMOOTHED)),
    "a loss for each phase": (TRUNK + accuracy("a", "fc2") + loss("t", "fc2", TRAIN) + loss("l", "fc2", TEST),
                              ("a", "l", ["fc2"], SMOOTHED)),
    "a loss without a top beside": (TRUNK + PLAIN + loss("m", "fc2").replace('top: "m"', ""), ("a", "l", ["fc2"], "l")),
    "a hinge loss beside": (TRUNK + accuracy("a", "fc2") + loss("h", "fc2", type_="HingeLoss") + loss("l", "fc2"),
                            ("a", "l", ["fc2"], "l")),
    "a hinge loss alone": (TRUNK + accuracy("a", "fc2") + loss("h", "fc2", type_="HingeLoss"),
                           ("a", "h", ["fc2"], None)),
    "a weighted loss": (TRUNK + accuracy("a", "fc2") + loss("l", "fc2", "loss_weight: 2"), ("a", "l", ["fc2"], "l")),
    "a decoder beside": (TRUNK + PLAIN + fc("decoder", "fc1") + layer("e", "EuclideanLoss", "decoder x"),
                         ("a", "l", ["fc2"], "l")),
    "a changed loss": (TRUNK + accuracy("a", "fc2") + loss("l", "fc2", "loss_param { normalization: NONE }"),
                       ("a", "l", ["fc2"], None)),
    "scores changed in place later": (TRUNK + PLAIN + layer("late", "ReLU", "fc2", TEST, top="fc2"),
                                      ("a", "l", ["fc2"], SMOOTHED)),
}  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), HEADLINES.values(), ids=HEADLINES)
def test_the_headline_is_of_the_deepest_classifier_in_the_test_phase(text: str, expected: tuple) -> None:
    assert shape(text) == expected


def test_other_labels_than_the_data_layers_make_no_head() -> None:
    other = layer("file", "HDF5Data", "", top="other") + fc("more", "fc1")
    other += layer("other_loss", "SoftmaxWithLoss", "more other")
    assert shape(TRUNK + PLAIN + other) == ("a", "l", ["fc2"], "l")
    net = prototxt.parse(TRUNK + PLAIN + other, NetParameter(), "net")
    assert {net.layer[at].name for at in find_heads(net, Path("net")).classifiers} == {"fc2"}


def test_the_solver_says_which_stage_is_tested() -> None:
    staged = TRUNK + accuracy("v", "fc2", 'include { phase: TEST stage: "v" }') + PLAIN
    assert shape(staged)[0] == "a"
    assert shape(staged, 'test_state { stage: "v" }')[0] == "v"


def test_every_head_over_the_labels_has_a_classifier_and_other_losses_have_none() -> None:
    others = (
        layer("noise", "DummyData", "", top="noise")
        + fc("rotation", "fc1")
        + layer("r", "SoftmaxWithLoss", "rotation noise")
    )
    split = layer("copies", "Split", "label", top="copy") + fc("aux2", "fc1") + layer("l2", "HingeLoss", "aux2 copy")
    net = prototxt.parse(
        TRUNK + PLAIN + AUX.replace("aux_a", "aux_b").replace(TEST, 'include { phase: TEST stage: "none" }')
        + fc("decoder", "fc1") + layer("e", "EuclideanLoss", "decoder x") + others + split,
        NetParameter(), "net",
    )  # fmt: skip
    found = find_heads(net, Path("net"))
    assert sorted(net.layer[position].name for position in found.classifiers) == ["aux", "aux2", "fc2"]
    assert not found.faults


REFUSED = {
    "no accuracy": (TRUNK + loss("l", "fc2"), r"net.prototxt: no top-1 Accuracy layer in the TEST phase"),
    "a training accuracy alone": (TRUNK + accuracy("a", "fc2", TRAIN) + loss("l", "fc2"),
                                  r"no top-1 Accuracy layer in the TEST phase .* \(not 'a' at net.prototxt\)"),
    "equally deep": (TRUNK + PLAIN + fc("fc2b", "fc1") + accuracy("b", "fc2b") + loss("lb", "fc2b"),
                     r"none of the top-1 Accuracy layers 'a' of 'fc2' \(2 weighted layers deep, loss_weight 1\), 'b' "
                     r"of 'fc2b' \(2 weighted layers deep, loss_weight 1\) is the headline; leave one of them"),
    "less deep, with a larger weight": (TRUNK + AUX.replace("0.3", "2") + fc("fc3", "fc2") + accuracy("a", "fc3")
                                        + loss("l", "fc3"), r"'aux_a' of 'aux' \(2 weighted .* loss_weight 2\), 'a'"),
    "a loss for training only": (TRUNK + accuracy("a", "fc2") + loss("l", "fc2", TRAIN),
                                 r"no loss layer of the TEST phase reads the scores of 'fc2', which the headline "
                                 r"accuracy 'a' reads; .*put the loss layer into both phases"),
    "a loss of another head": (TRUNK + fc("fc3", "fc2") + accuracy("a", "fc3") + loss("l", "fc2"),
                               r"(?s)no loss layer of the TEST phase .*'fc3'.*add one\n.*it would not learn"),
    "a loss without weight": (TRUNK + accuracy("a", "fc2") + loss("l", "fc2", "loss_weight: 0"),
                              r"no loss layer of the TRAIN phase with a loss_weight reads the scores of 'fc2'"),
    "a loss without a top": (TRUNK + accuracy("a", "fc2") + loss("l", "fc2").replace('top: "l"', ""),
                             r"^net.prototxt: SoftmaxWithLoss layer 'l' has no top: .*; give it one: top: \"l\"$"),
    "scores of a Concat": (TRUNK + fc("more", "fc1") + layer("c", "Concat", "fc2 more") + accuracy("a", "c")
                           + loss("l", "c"), r"Accuracy layer 'a': its scores come from the Concat layer 'c'"),
    "scores of a Slice": (TRUNK + layer("s", "Slice", "fc2", 'top: "s2"') + accuracy("a", "s") + loss("l", "s"),
                          r"SoftmaxWithLoss layer 'l': its scores come from the Slice layer 's'"),
    "no weighted layer": (DATA + accuracy("a", "x") + loss("l", "x"), r"no Convolution or InnerProduct layer gives"),
    "accuracy read by another": (TRUNK + PLAIN + layer("s", "Silence", "a", TEST),
                                 r"Accuracy layer 'a': another layer reads its top 'a', so the test does not print it"),
    "a column's name": (TRUNK + accuracy("Seconds", "fc2") + loss("l", "fc2"), r"have a column 'Seconds' of their own"),
    "a label's name with a space": (TRUNK.replace('"label"', '"the label"') + PLAIN.replace('"label"', '"the label"'),
                                    r"the label's blob 'the label' has a space in its name"),
    "the name that predict adds": (TRUNK.replace('"label"', '"predicted"') + PLAIN.replace('"label"', '"predicted"'),
                                   r"layer 'data': `predict` adds a layer and a blob named 'predicted'"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "told"), REFUSED.values(), ids=REFUSED)
def test_a_net_without_a_clear_headline_is_refused_by_the_names_of_its_layers(text: str, told: str) -> None:
    with pytest.raises(UserError, match=told):
        headline(text)


def test_a_fault_has_the_line_of_its_layer(tmp_path: Path) -> None:
    file = tmp_path / "net.prototxt"
    file.write_text("# layer {\n" + TRUNK + accuracy("a", "fc2") + loss("l", "fc2", TRAIN))
    with pytest.raises(UserError, match=r"net.prototxt:7: no loss layer of the TEST phase"):
        headline_of(prototxt.read_net(file), file)
