"""Frozen blocks sharded over the processes (FSDP2), for models too large for one device.

A block's weights are whole only while it runs. Trainable parameters stay whole on every process, so that gradients
are summed as usual; so do embeddings, final norm and head.

Note:
    Every pass, forward or backward, is a collective operation: a process that runs one more than the others hangs.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from expunge.models.adapters import block_stack


def shard(module: Any, device: torch.device, count: int) -> None:
    """Shard the frozen weights of every block of `module` over `count` processes, one part on each one's `device`.

    The module may be in host memory; the other weights are moved to `device`. Call it once, after the process group
    is initialized and before the first pass.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard
    from torch.distributed.tensor import DTensor

    mesh = init_device_mesh(device.type, (count,))
    stack, _ = block_stack(module)
    for block in module.get_submodule(stack):
        fully_shard(block, mesh=mesh, ignored_params={p for p in block.parameters() if p.requires_grad})
    around: nn.Module = module.get_submodule(stack.rpartition(".")[0])
    fully_shard(around, mesh=mesh, ignored_params={p for p in around.parameters() if not isinstance(p, DTensor)})
    for tensor in (*module.parameters(), *module.buffers()):
        if not isinstance(tensor, DTensor):
            tensor.data = tensor.data.to(device)
