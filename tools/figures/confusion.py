"""The confusion matrix of a run: true classes down, predicted classes across."""

from pathlib import Path

import numpy as np

from tools.figures import style

_MOST_NAMES = 50  # classes whose names can be read; of more, every second or third is named


def draw(title: str, facts: str, names: list[str], matrix: np.ndarray, path: Path) -> None:
    """Writes `path` + .png and .pdf. `matrix`: the number of images, int, true classes x predicted classes, K x K."""
    count = len(names)
    side = min(7.0, 4.0 + 0.1 * count)
    figure = style.new_figure(side)
    axes = figure.subplots()
    shares = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    image = axes.imshow(shares, cmap="Greys", vmin=0, vmax=1, aspect="equal", interpolation="none")
    every = -(-count // _MOST_NAMES)
    places = range(0, count, every)
    size = max(4.0, min(8.0, 320 / count * every))
    short = [style.shorten(names[i]) for i in places]
    axes.set_xticks(list(places), short, rotation=90, fontsize=size)
    axes.set_yticks(list(places), short, fontsize=size)
    axes.grid(visible=False)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    figure.colorbar(image, ax=axes, shrink=0.6, label="share of the class's images")
    style.set_title(axes, title, facts)
    style.save(figure, path)
