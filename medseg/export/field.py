"""`medseg.data.frame` for a batch of images, in operations that exported programs have."""

import torch
from torch import Tensor

from medseg.data.frame import FLAT, INSIDE, MARGIN, SAMPLES, WHITE, WORTH


def choose_lines(maps: Tensor, samples: int) -> tuple[Tensor, Tensor, Tensor]:
    """A step, and the rows and columns of maps `(batch, rows, columns)` at that step: about `samples`, or a few more.

    The axis with fewer lines decides. The numbers of rows and columns are values for the exporters: as formulas of the
    size of the image, they would take minutes to simplify.
    """
    last = [torch.arange(length, device=maps.device)[-1] for length in maps.shape[1:]]
    step = ((torch.minimum(*last) + 1) // samples).clamp(min=1)
    rows, columns = (_space(place, step) for place in last)
    return step, rows, columns


def _space(last: Tensor, step: Tensor) -> Tensor:
    """The numbers 0, step, 2 * step ... up to `last`."""
    number = (last // step + 1).item()
    torch._check(number >= 1)  # type: ignore[no-untyped-call]
    return torch.arange(number, device=last.device) * step


def sample(maps: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """The given rows and columns of maps `(..., rows, columns)`."""
    return maps.index_select(-2, rows).index_select(-1, columns)


def take_percentiles(values: Tensor, counted: Tensor, percents: Tensor) -> Tensor:
    """Percentiles `(..., len(percents))` of those `values` `(..., number)` that are `counted`; 0 if none is."""
    ordered = torch.where(counted, values, torch.inf).sort(dim=-1).values
    last = (counted.sum(dim=-1, keepdim=True) - 1).clamp(min=0)
    places = last * (percents / 100)
    first = places.floor().long()
    low, high = ordered.gather(-1, first), ordered.gather(-1, torch.minimum(first + 1, last))
    found = low + (high - low) * (places - first)
    return torch.where(counted.any(dim=-1, keepdim=True), found, 0.0)


def find_field(gray: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """First and last + 1 row, and column, inside the flat borders: two `(batch, 2)`, of maps `(batch, rows, columns)`.

    The rules are those of `medseg.data.frame.find_field`.
    """
    entire, (step, *lines) = whole(gray), choose_lines(gray, SAMPLES // 2)
    gray, valid = sample(gray, *lines), sample(valid, *lines)
    median = take_percentiles(gray.flatten(1), valid.flatten(1), _percents(gray, 50))
    filled = torch.where(valid, gray, median[:, :, None])
    rows, columns = whole(filled)
    for flat in FLAT:
        down, across = is_inside(rows, filled.shape[1])[:, :, None], is_inside(columns, filled.shape[2])[:, None]
        levels = take_percentiles(filled.flatten(1), (down & across).flatten(1), _percents(gray, 95, 5))
        limit = flat * (levels[:, :1] - levels[:, 1:])
        rows, columns = (
            _trim(filled, across.expand_as(filled), limit, rows),
            _trim(filled.mT, down.mT.expand_as(filled.mT), limit, columns),
        )
    levels = take_percentiles(filled.flatten(1), torch.ones_like(valid).flatten(1), _percents(gray, 95, 5))
    white = filled >= (levels[:, :1] - FLAT[-1] * (levels[:, :1] - levels[:, 1:]))[:, :, None]
    rows, columns = _keep_anatomy(white, rows, columns), _keep_anatomy(white.mT, columns, rows)
    some = valid.flatten(1).any(dim=1, keepdim=True)
    return tuple(  # type: ignore[return-value]
        torch.where(some, torch.stack([lines[:, 0] * step, (lines[:, 1] - 1) * step + 1], dim=1), every)
        for lines, every in zip((rows, columns), entire, strict=True)
    )


def find_frame(gray: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """The exposed field, a little widened, as `find_field`; the whole image if the field covers nearly all of it."""
    ranges = []
    for lines, axis in zip(find_field(gray, valid), (1, 2), strict=True):
        margin = (MARGIN * (lines[:, 1] - lines[:, 0])).round().long()
        first, end = (lines[:, 0] - margin).clamp(min=0), (lines[:, 1] + margin).clamp(max=gray.shape[axis])
        ranges.append(torch.stack([first, end], dim=1))
    area = (ranges[0][:, 1] - ranges[0][:, 0]) * (ranges[1][:, 1] - ranges[1][:, 0])
    worth = (area < WORTH * (gray.shape[1] * gray.shape[2]))[:, None]
    rows, columns = (torch.where(worth, *pair) for pair in zip(ranges, whole(gray), strict=True))
    return rows, columns


def is_inside(lines: Tensor, length: int) -> Tensor:
    """Which of `length` lines lie in each range of `lines` `(batch, 2)`: bool `(batch, length)`."""
    places = torch.arange(length, device=lines.device)[None]
    return (places >= lines[:, :1]) & (places < lines[:, 1:])


def whole(maps: Tensor) -> tuple[Tensor, Tensor]:
    """All rows and all columns of maps `(batch, rows, columns)`, as the ranges of `find_frame`."""
    ones = torch.ones_like(maps[:, :1, 0], dtype=torch.long)
    rows, columns = (torch.cat([0 * ones, length * ones], dim=1) for length in maps.shape[1:])
    return rows, columns


def _percents(like: Tensor, *percents: float) -> Tensor:
    return torch.tensor(percents, dtype=like.dtype, device=like.device)


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
