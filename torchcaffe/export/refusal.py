"""What cannot be exported, and why."""

from collections.abc import Container

from torchcaffe.common.log import Fatal
from torchcaffe.nets.parsed_net import ParsedNet

_REASONS = {
    "Filter": "the size of its top depends on the values of its selector",
    "Python": "it runs your own Python class, which an exported file cannot hold",
}


class Refused(Exception):
    """A layer that cannot be exported. The text is the reason."""


class NeedsFixedBatch(Exception):
    """A layer that can only be exported for one batch size. The text is the reason."""


def check_types(parsed: ParsedNet, known: Container[str], to: str) -> None:
    """Raises Fatal, with one line for each layer of a type that is not among `known`."""
    refuse(
        [
            f"{place}: layer '{layer.name}' ({layer.type}): {_REASONS.get(layer.type, 'no export of this type')}"
            for layer, place in zip(parsed.param.layer, parsed.places, strict=True)
            if layer.type != "Input" and layer.type not in known
        ],
        to,
    )


def refuse(reasons: list[str], to: str) -> None:
    """Raises Fatal with all `reasons`, if there are any."""
    if reasons:
        raise Fatal(f"cannot be exported to {to}:\n" + "\n".join(reasons))
