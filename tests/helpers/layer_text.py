"""Nets in prototxt text: of one layer `it` between the blobs x and y, or of several."""

import pytest
from hypothesis import HealthCheck, settings

# For properties that build a net in each engine for every example.
quick = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])

FILLERS = 'weight_filler { type: "gaussian" std: 1 } bias_filler { type: "gaussian" std: 1 }'

# For a layer that works in place too: the name of its top is that of its bottom, or another one.
apart_and_in_place = pytest.mark.parametrize("tops", ["y", "x"], ids=["apart", "in place"])


def layer(type_: str, settings_: str = "", bottoms: str = "x", tops: str = "y", name: str = "it") -> str:
    names = " ".join([f'bottom: "{b}"' for b in bottoms.split()] + [f'top: "{t}"' for t in tops.split()])
    return f'layer {{ name: "{name}" type: "{type_}" {names} {settings_} }}\n'


def between_layers(type_: str, settings_: str = "", tops: str = "a") -> str:
    """The layer between a convolution, which lays its top out in another order of axes, and an inner product."""
    filler = 'weight_filler { type: "gaussian" std: 1 }'
    return (
        layer("Convolution", f"convolution_param {{ num_output: 4 kernel_size: 3 {filler} }}", tops="c", name="conv")
        + layer(type_, settings_, "c", tops)
        + layer("InnerProduct", f"inner_product_param {{ num_output: 3 {filler} }}", "a", "ip", name="ip")
    )
