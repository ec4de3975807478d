"""Masks as runs of foreground pixels in their rows. A mask of an organ has a thousand times fewer runs than pixels."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Runs:
    """Runs in reading order. Runs of one row do not touch."""

    row: Indices
    start: Indices
    stop: Indices
    """The column after the last."""

    def __len__(self) -> int:
        return len(self.row)

    def __getitem__(self, chosen: NDArray[np.bool_]) -> "Runs":
        return Runs(self.row[chosen], self.start[chosen], self.stop[chosen])


def find_runs(mask: NDArray[np.bool_]) -> Runs:
    """The runs of a mask `(rows, columns)`."""
    width, flat = mask.shape[1], mask.ravel()
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    line = np.arange(len(mask)) * width
    inner = edges[edges % width > 0]
    edges = np.sort(np.concatenate([inner, line[mask[:, 0]], line[mask[:, -1]] + width]))
    row, start = np.divmod(edges[::2], width)
    return Runs(row, start, edges[1::2] - row * width)


def find_gaps(runs: Runs, size: tuple[int, int]) -> Runs:
    """The runs of the background of a mask of `size` `(rows, columns)`, which goes on for one pixel on all sides."""
    width = size[1] + 2
    line = np.arange(size[0] + 2) * width
    first = (runs.row + 1) * width + 1
    start = np.sort(np.concatenate([line, first + runs.stop]))
    stop = np.sort(np.concatenate([first + runs.start, line + width]))
    row, column = np.divmod(start, width)
    return Runs(row - 1, column - 1, stop - row * width - 1)


def label_runs(runs: Runs, corners: bool) -> NDArray[np.int32]:
    """The number of the connected piece to which each run belongs. Pieces are numbered from 0 by their first runs.

    With `corners`, pixels that touch at a corner belong to one piece.
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    width, reach = int(runs.stop.max(initial=0)) + 2, int(corners)
    start, stop = runs.row * width + runs.start, runs.row * width + runs.stop
    first = np.searchsorted(stop, start + width - reach, "right")  # of the runs below that touch
    counts = np.searchsorted(start, stop + width + reach, "left") - first
    ends = np.cumsum(counts)
    below = np.arange(counts.sum()) + np.repeat(first - ends + counts, counts)
    graph = csr_array((np.ones(len(below), np.bool_), below, np.append(0, ends)), (len(runs), len(runs)))
    labels: NDArray[np.int32] = connected_components(graph, directed=False)[1]
    return labels


def count_pixels(runs: Runs, labels: NDArray[np.int32]) -> Indices:
    """The number of pixels of each piece, by its label."""
    return np.bincount(labels, weights=runs.stop - runs.start).astype(np.intp)


def count_columns(runs: Runs, columns: int) -> Indices:
    """The number of pixels in each of the first `columns` columns."""
    starts, stops = (np.bincount(edges, minlength=columns + 1) for edges in (runs.start, runs.stop))
    return np.cumsum(starts - stops)[:columns]


def paint(mask: NDArray[np.bool_], runs: Runs, value: bool) -> None:
    """Set the pixels of `runs` in `mask`."""
    for row, start, stop in zip(runs.row.tolist(), runs.start.tolist(), runs.stop.tolist(), strict=True):
        mask[row, start:stop] = value
