"""A layer in prototxt text, for nets of one layer `it` between the blobs x and y."""

from hypothesis import HealthCheck, settings

# For properties that build a net in each engine for every example.
quick = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])

FILLERS = 'weight_filler { type: "gaussian" std: 1 } bias_filler { type: "gaussian" std: 1 }'


def layer(type_: str, settings_: str = "", bottoms: str = "x", tops: str = "y") -> str:
    names = " ".join([f'bottom: "{b}"' for b in bottoms.split()] + [f'top: "{t}"' for t in tops.split()])
    return f'layer {{ name: "it" type: "{type_}" {names} {settings_} }}\n'
