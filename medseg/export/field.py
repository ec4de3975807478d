"""`medseg.data.frame` for a batch of images, in operations that exported programs have: no sizes depend on values."""

from typing import Any

import torch
from torch import Tensor

from medseg.data.frame import FLAT, INSIDE, MARGIN, SAMPLES, WHITE, WORTH


def sample(maps: Tensor, step: int) -> Tensor:
    """Every `step`-th row and column of maps `(batch, rows, columns)`."""
    for axis in (1, 2):
        number = (maps.shape[axis] + step - 1) // step
        maps = maps.index_select(axis, torch.arange(number, device=maps.device) * step)
    return maps


def choose_step(maps: Tensor, samples: int) -> int:
    """The step of `sample` that keeps about `samples` rows or columns, whichever are fewer."""
    sides: Any = torch.sym_min(maps.shape[1], maps.shape[2])  # type: ignore[no-untyped-call]
    return torch.sym_max(1, sides // samples)  # type: ignore[no-untyped-call, no-any-return]


def take_percentiles(values: Tensor, counted: Tensor, percents: Tensor) -> Tensor:
    """Percentiles `(..., len(percents))` of those `values` `(..., number)` that are `counted`; 0 if none is."""
    ordered = torch.where(counted, values, torch.inf).sort(dim=-1).values
    last = (counted.sum(dim=-1, keepdim=True) - 1).clamp(min=0)
    places = last * (percents / 100)
    first = places.floor().long()
    low, high = ordered.gather(-1, first), ordered.gather(-1, torch.minimum(first + 1, last))
    found = low + (high - low) * (places - first)
    return torch.where(counted.any(dim=-1, keepdim=True), found, 0.0)


def find_field(grey: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """First and last + 1 row, and column, inside the flat borders: two `(batch, 2)`, of maps `(batch, rows, columns)`.

    The rules are those of `medseg.data.frame.find_field`.
    """
    entire, step = whole(grey), choose_step(grey, SAMPLES // 2)
    grey, valid = sample(grey, step), sample(valid, step)
    median = take_percentiles(grey.flatten(1), valid.flatten(1), _percents(grey, 50))
    filled = torch.where(valid, grey, median[:, :, None])
    rows, columns = (_whole(filled, axis) for axis in (1, 2))
    for flat in FLAT:
        down, across = _inside(filled, rows, 1)[:, :, None], _inside(filled, columns, 2)[:, None]
        levels = take_percentiles(filled.flatten(1), (down & across).flatten(1), _percents(grey, 95, 5))
        limit = flat * (levels[:, :1] - levels[:, 1:])
        rows, columns = (
            _trim(filled, across.expand_as(filled), limit, rows),
            _trim(filled.mT, down.mT.expand_as(filled.mT), limit, columns),
        )
    levels = take_percentiles(filled.flatten(1), torch.ones_like(valid).flatten(1), _percents(grey, 95, 5))
    white = filled >= (levels[:, :1] - FLAT[-1] * (levels[:, :1] - levels[:, 1:]))[:, :, None]
    rows, columns = _keep_anatomy(white, rows, columns), _keep_anatomy(white.mT, columns, rows)
    some = valid.flatten(1).any(dim=1, keepdim=True)
    return tuple(  # type: ignore[return-value]
        torch.where(some, torch.stack([lines[:, 0] * step, (lines[:, 1] - 1) * step + 1], dim=1), every)
        for lines, every in zip((rows, columns), entire, strict=True)
    )


def find_frame(grey: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """The exposed field, a little widened, as `find_field`; the whole image if the field covers nearly all of it."""
    ranges = []
    for lines, axis in zip(find_field(grey, valid), (1, 2), strict=True):
        margin = (MARGIN * (lines[:, 1] - lines[:, 0])).round().long()
        first, end = (lines[:, 0] - margin).clamp(min=0), (lines[:, 1] + margin).clamp(max=grey.shape[axis])
        ranges.append(torch.stack([first, end], dim=1))
    area = (ranges[0][:, 1] - ranges[0][:, 0]) * (ranges[1][:, 1] - ranges[1][:, 0])
    worth = (area < WORTH * (grey.shape[1] * grey.shape[2]))[:, None]
    return (
        torch.where(worth, ranges[0], _whole(grey, 1)),
        torch.where(worth, ranges[1], _whole(grey, 2)),
    )


def is_inside(lines: Tensor, length: int) -> Tensor:
    """Which of `length` lines lie in each range of `lines` `(batch, 2)`: bool `(batch, length)`."""
    places = torch.arange(length, device=lines.device)[None]
    return (places >= lines[:, :1]) & (places < lines[:, 1:])


def whole(maps: Tensor) -> tuple[Tensor, Tensor]:
    """All rows and all columns of maps `(batch, rows, columns)`, as the ranges of `find_frame`."""
    return _whole(maps, 1), _whole(maps, 2)


def _percents(like: Tensor, *percents: float) -> Tensor:
    return torch.tensor(percents, dtype=like.dtype, device=like.device)


def _whole(maps: Tensor, axis: int) -> Tensor:
    ends = torch.ones_like(maps[:, :1, 0], dtype=torch.long) * maps.shape[axis]
    return torch.cat([torch.zeros_like(ends), ends], dim=1)


def _inside(maps: Tensor, lines: Tensor, axis: int) -> Tensor:
    return is_inside(lines, maps.shape[axis])


def _trim(field: Tensor, counted: Tensor, limit: Tensor, lines: Tensor) -> Tensor:
    """The range from the first to the last of `lines` whose spread exceeds `limit`; `lines` if nearly all are flat."""
    spread = take_percentiles(field, counted, _percents(field, 90, 10))
    inside = is_inside(lines, field.shape[1])
    textured = inside & (spread[..., 0] - spread[..., 1] > limit)
    places = torch.arange(field.shape[1], device=field.device)[None].expand_as(textured)
    first = torch.where(textured, places, field.shape[1]).amin(dim=1)
    last = torch.where(textured, places, -1).amax(dim=1)
    flat = (textured.sum(dim=1) <= inside.sum(dim=1) // 5)[:, None]
    return torch.where(flat, lines, torch.stack([first, last + 1], dim=1))


def _keep_anatomy(white: Tensor, lines: Tensor, others: Tensor) -> Tensor:
    """The range `lines`, and beyond it the flat, white lines that do not end at a straight edge."""
    within = is_inside(others, white.shape[2])[:, None]
    shares = (white & within).sum(dim=2) / within.sum(dim=2)
    start, stop = lines[:, 0], lines[:, 1]
    inside = (stop - start) // INSIDE
    before = is_inside(torch.stack([torch.zeros_like(start), start], dim=1), white.shape[1])
    after = is_inside(torch.stack([stop, torch.full_like(stop, white.shape[1])], dim=1), white.shape[1])
    ends = []
    for beyond, edge in ((before, start + inside), (after, stop - 1 - inside)):
        mean = (shares * beyond).sum(dim=1) / beyond.sum(dim=1).clamp(min=1)
        at_edge = shares.gather(1, edge.clamp(0, white.shape[1] - 1)[:, None])[:, 0]
        ends.append(beyond.any(dim=1) & (torch.minimum(mean, at_edge) > WHITE))
    return torch.stack(
        [torch.where(ends[0], 0, start), torch.where(ends[1], white.shape[1], stop)],
        dim=1,
    )
