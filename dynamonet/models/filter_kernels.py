"""Dynamic filters as fused Triton kernels, for CUDA: no padded copy, and no atomic additions.

One warp computes a tile of one picture, each of its threads a column of it. For every column of the filter it walks
down the rows; a row it has loaded serves all sums of the tile that need it. Replicated borders are clamped indices.
Tiles overlap by half a filter, which the caches serve, so that a frame is read from memory about once.

Sums are fp32 (fp64 for fp64) and in a fixed order, so results are bit-identical from run to run. The tile is constant,
because tuning it at run time would change that order. The kernels have been run in Triton's interpreter and compiled
for NVIDIA GPUs; they are not yet timed on a GPU.

frames and grad: (N, C, T, H, W), any strides. filters: (N, T, C or 1, k, k). Results are contiguous.
"""

# ruff: noqa: RUF005 (inside kernels, tuples are concatenated: Triton knows no unpacking)

import torch
import triton
import triton.language as tl
from torch import Tensor

# A tile. With one column a thread, a warp loads neighbouring values at once.
ROWS, COLUMNS = 16, 32
TILE = dict(ROWS=ROWS, COLUMNS=COLUMNS, num_warps=1)


def filter_frames(frames: Tensor, filters: Tensor) -> Tensor:
    n, c, t, h, w = frames.shape
    filters = filters.contiguous()
    filtered = frames.new_empty(frames.shape)
    tiles = triton.cdiv(h, ROWS) * triton.cdiv(w, COLUMNS)
    with torch.cuda.device_of(frames):
        _filter[(n * t * c * tiles,)](
            frames, *frames.stride(), filters, filtered, c, t, h, w, filters.shape[2] < c, filters.shape[-1], **TILE
        )
    return filtered


def gradient_of_frames(grad: Tensor, filters: Tensor) -> Tensor:
    n, c, t, h, w = grad.shape
    k = filters.shape[-1]
    filters = filters.contiguous()
    gradient = grad.new_empty(grad.shape)
    at_borders = filters.new_empty(*filters.shape[:3], 4, 4, k, k)
    tiles = (2 + triton.cdiv(h - 2, ROWS)) * triton.cdiv(w, COLUMNS)
    with torch.cuda.device_of(grad):
        _accumulate_at_borders[(filters.shape[:3].numel(),)](
            filters, at_borders, k, triton.next_power_of_2(k), num_warps=1
        )
        _transpose_filter[(n * t * c * tiles,)](
            grad, *grad.stride(), at_borders, gradient, c, t, h, w, filters.shape[2] < c, k, **TILE
        )
    return gradient


def gradient_of_filters(grad: Tensor, frames: Tensor, size: int, colours: int) -> Tensor:
    n, c, t, h, w = frames.shape
    strips = triton.cdiv(h, ROWS)
    by_strip = grad.new_empty(n, t, c, strips, size, size)
    with torch.cuda.device_of(frames):
        _correlate[(n * t * c * strips,)](
            frames, *frames.stride(), grad, *grad.stride(), by_strip, c, t, h, w, size, **TILE
        )
    return by_strip.sum(3) if colours == c else by_strip.sum((2, 3)).unsqueeze(2)


@triton.jit
def _picture(channels, steps, tiles):
    """Clip, colour and step of this program. Tiles of a picture come first, then colours, steps and clips."""
    picture = tl.program_id(0) // tiles
    frame = picture // channels
    return (frame // steps).to(tl.int64), picture % channels, frame % steps


@triton.jit
def _filter(
    frames, stride_n, stride_c, stride_t, stride_h, stride_w, filters, filtered, channels, steps, height, width,
    SHARED: tl.constexpr, K: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    across = tl.cdiv(width, COLUMNS)
    tiles = tl.cdiv(height, ROWS) * across
    clip, colour, step = _picture(channels, steps, tiles)
    tile = tl.program_id(0) % tiles
    top = tile // across * ROWS
    column = tile % across * COLUMNS + tl.arange(0, COLUMNS)
    frame = frames + clip * stride_n + colour * stride_c + step * stride_t
    kernel = clip * steps + step
    if not SHARED:
        kernel = kernel * channels + colour
    sums = (tl.zeros((COLUMNS,), filtered.dtype.element_ty),) * ROWS
    for j in range(K):
        x = tl.minimum(tl.maximum(column + j - K // 2, 0), width - 1)
        taps = ()
        for i in tl.static_range(K):
            taps = taps + (tl.load(filters + (kernel * K + i) * K + j),)
        for below in tl.static_range(ROWS + K - 1):
            y = tl.minimum(tl.maximum(top + below - K // 2, 0), height - 1)
            line = tl.load(frame + y * stride_h + x * stride_w)
            for r in tl.static_range(ROWS):
                if below >= r and below - r < K:
                    sums = sums[:r] + (sums[r] + line * taps[below - r],) + sums[r + 1 :]
    out = filtered + ((clip * channels + colour) * steps + step) * height * width
    for r in tl.static_range(ROWS):
        tl.store(out + (top + r) * width + column, sums[r], mask=(column < width) & (top + r < height))


@triton.jit
def _accumulated(taps, BORDER: tl.constexpr, AXIS: tl.constexpr):
    """Taps as the frame's pixels meet them: inside (BORDER 0), first (1), last (2), or first and last (3) along AXIS.

    A first pixel also stands for those copied from it, so each of its taps takes along the taps before it.
    """
    if BORDER == 1:
        taps = tl.cumsum(taps, AXIS)
    elif BORDER == 2:
        taps = tl.cumsum(taps, AXIS, reverse=True)
    elif BORDER == 3:
        taps = tl.cumsum(taps, AXIS) + tl.cumsum(taps, AXIS, reverse=True) - taps
    return taps


@triton.jit
def _accumulate_at_borders(filters, at_borders, K: tl.constexpr, PADDED_K: tl.constexpr):
    """One filter (k, k) as (4, 4, k, k): for pixels at each border of the rows, and of the columns."""
    kernel = tl.program_id(0).to(tl.int64)
    i = tl.arange(0, PADDED_K)[:, None]
    j = tl.arange(0, PADDED_K)[None, :]
    inside = (i < K) & (j < K)
    taps = tl.load(filters + kernel * K * K + i * K + j, mask=inside, other=0)
    for rows in tl.static_range(4):
        by_row = _accumulated(taps, rows, 0)
        for columns in tl.static_range(4):
            out = at_borders + (kernel * 16 + rows * 4 + columns) * K * K
            tl.store(out + i * K + j, _accumulated(by_row, columns, 1), mask=inside)


@triton.jit
def _border(index, size):
    """0 inside, 1 for the first, 2 for the last, 3 for the only one."""
    return (index == 0).to(tl.int32) + 2 * (index == size - 1).to(tl.int32)


@triton.jit
def _transpose_filter(
    grad, stride_n, stride_c, stride_t, stride_h, stride_w, at_borders, gradient, channels, steps, height, width,
    SHARED: tl.constexpr, K: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Each pixel gathers from every output that used it; at a border its filter is the accumulated one.

    The first and the last row have tiles of their own, of one row, so that all rows of a tile share their taps.
    """
    across = tl.cdiv(width, COLUMNS)
    tiles = (2 + tl.cdiv(height - 2, ROWS)) * across
    clip, colour, step = _picture(channels, steps, tiles)
    tile = tl.program_id(0) % tiles
    tile_row = tile // across
    top = tl.where(tile_row == 0, 0, tl.where(tile_row == 1, height - 1, 1 + (tile_row - 2) * ROWS))
    bottom = tl.where(tile_row < 2, top + 1, tl.minimum(top + ROWS, height - 1))
    column = tile % across * COLUMNS + tl.arange(0, COLUMNS)
    frame = grad + clip * stride_n + colour * stride_c + step * stride_t
    kernel = clip * steps + step
    if not SHARED:
        kernel = kernel * channels + colour
    accumulated = at_borders + (kernel * 16 + _border(top, height) * 4 + _border(column, width)) * (K * K)
    sums = (tl.zeros((COLUMNS,), gradient.dtype.element_ty),) * ROWS
    for j in range(K):
        x = column + K // 2 - j
        used = (x >= 0) & (x < width)
        taps = ()
        for i in tl.static_range(K):
            taps = taps + (tl.load(accumulated + i * K + j),)
        for below in tl.static_range(ROWS + K - 1):
            y = top + below - K // 2
            line = tl.load(frame + y * stride_h + x * stride_w, mask=used & (y >= 0) & (y < height), other=0)
            for r in tl.static_range(ROWS):
                if below >= r and below - r < K:
                    sums = sums[:r] + (sums[r] + line * taps[K - 1 - below + r],) + sums[r + 1 :]
    out = gradient + ((clip * channels + colour) * steps + step) * height * width
    for r in tl.static_range(ROWS):
        tl.store(out + (top + r) * width + column, sums[r], mask=(column < width) & (top + r < bottom))


@triton.jit
def _correlate(
    frames, stride_n, stride_c, stride_t, stride_h, stride_w, grad, grad_n, grad_c, grad_t, grad_h, grad_w, by_strip,
    channels, steps, height, width, K: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """For every tap, the sum over ROWS whole rows of the gradient of the output times the pixel that the tap saw."""
    strips = tl.cdiv(height, ROWS)
    clip, colour, step = _picture(channels, steps, strips)
    top = tl.program_id(0) % strips * ROWS
    frame = frames + clip * stride_n + colour * stride_c + step * stride_t
    of_output = grad + clip * grad_n + colour * grad_c + step * grad_t
    out = by_strip + tl.program_id(0).to(tl.int64) * (K * K)
    for j in range(K):
        sums = (tl.zeros((COLUMNS,), by_strip.dtype.element_ty),) * K
        for left in range(0, width, COLUMNS):
            column = left + tl.arange(0, COLUMNS)
            slopes = ()
            for r in tl.static_range(ROWS):
                inside = (column < width) & (top + r < height)
                slope = tl.load(of_output + (top + r) * grad_h + column * grad_w, mask=inside, other=0)
                slopes = slopes + (slope,)
            x = tl.minimum(tl.maximum(column + j - K // 2, 0), width - 1)
            for below in tl.static_range(ROWS + K - 1):
                y = tl.minimum(tl.maximum(top + below - K // 2, 0), height - 1)
                line = tl.load(frame + y * stride_h + x * stride_w)
                for i in tl.static_range(K):
                    if below >= i and below - i < ROWS:
                        sums = sums[:i] + (sums[i] + line * slopes[below - i],) + sums[i + 1 :]
        for i in tl.static_range(K):
            tl.store(out + i * K + j, tl.sum(sums[i]))
