"""What the training loop needs of a process group; without one, everything is the single-process case."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from hybrid_core.errors import TrainingStoppedError


def rank() -> int:
    """This process's number, 0 without a process group."""
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    """Number of processes, 1 without a process group."""
    return dist.get_world_size() if dist.is_initialized() else 1


class _Gather(torch.autograd.Function):
    """Concatenate the parts of all ranks; the gradient of a part is the sum over the ranks that used it."""

    @staticmethod
    def forward(ctx: Any, part: Tensor, sizes: list[int]) -> Tensor:
        ctx.sizes = sizes
        longest = max(sizes)  # collectives want equal shapes: shorter parts are padded, the padding is cut off again
        padded = torch.cat([part, part.new_zeros(longest - len(part), *part.shape[1:])]).contiguous()
        parts = [torch.empty_like(padded) for _ in sizes]
        dist.all_gather(parts, padded)
        return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        total = grads[0].contiguous().clone()
        dist.all_reduce(total)
        return torch.split(total, ctx.sizes)[rank()], None


def gather(part: Tensor, sizes: list[int]) -> Tensor:
    """All ranks' rows in rank order, differentiable. `sizes` says how many rows every rank holds."""
    if world_size() == 1:
        return part
    gathered: Tensor = _Gather.apply(part, sizes)  # type: ignore[no-untyped-call]
    return gathered


def sum_gradients(parameters: Iterable[torch.nn.Parameter]) -> list[Tensor]:
    """Replace gradients by their sum over ranks, in one all-reduce; returns this rank's own, untouched."""
    trained = [p for p in parameters if p.grad is not None]
    own = [p.grad for p in trained if p.grad is not None]
    if world_size() > 1:
        flat = torch.cat([g.reshape(-1) for g in own])
        dist.all_reduce(flat)
        for p, total in zip(trained, torch.split(flat, [g.numel() for g in own]), strict=True):
            p.grad = total.view_as(p)
    return own


def sum_over_ranks(value: Tensor) -> float:
    """Sum of a scalar over ranks. NaN or infinity on one rank shows on all of them."""
    total = value.detach().double().clone()
    if world_size() > 1:
        dist.all_reduce(total)
    return float(total)


def from_rank_zero(values: dict[str, float], device: torch.device) -> dict[str, float]:
    """Rank 0's numbers under these names, so that all ranks decide by the same ones."""
    if world_size() == 1:
        return values
    numbers = torch.tensor([values[name] for name in sorted(values)], dtype=torch.float64, device=device)
    dist.broadcast(numbers, src=0)
    return dict(zip(sorted(values), numbers.tolist(), strict=True))


def ranks_where(holds: bool, device: torch.device) -> list[int]:
    """The ranks on which it holds, known to all of them."""
    if world_size() == 1:
        return [0] if holds else []
    mine = torch.tensor([int(holds)], device=device)
    flags = [torch.empty_like(mine) for _ in range(world_size())]
    dist.all_gather(flags, mine)
    return [r for r, flag in enumerate(flags) if int(flag)]


def check_agreement(step: int, digest: int, device: torch.device) -> None:
    """Stop when ranks hold different batches for the same step.

    Raises:
        TrainingStoppedError: on every rank; names the ranks that differ from rank 0.
    """
    if world_size() == 1:
        return
    mine = torch.tensor([digest], dtype=torch.int64, device=device)
    digests = [torch.empty_like(mine) for _ in range(world_size())]
    dist.all_gather(digests, mine)
    wrong = [r for r, other in enumerate(digests) if int(other) != int(digests[0])]
    if wrong:
        raise TrainingStoppedError(
            f"step {step}: rank(s) {wrong} planned another batch than rank 0; the corpus, config or seed differs between workers"
        )
