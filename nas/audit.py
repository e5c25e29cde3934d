"""The slow second opinion: fvcore's traced count, with its gaps closed and our conventions.

fvcore counts nothing for fused attention and for convolutions whose padding is a string, and it counts norms and
upsampling, which we do not. Here both gaps have handlers, norms and upsampling count 0, and a product or convolution
without a handler is an error instead of a silent zero.
"""

from __future__ import annotations

import itertools
import logging
import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from nas.errors import NasError

COSTLY = ("mm", "mv", "conv", "linear", "attention", "einsum", "dot", "lstm", "gru", "fft")
FREE = ("aten::layer_norm", "aten::batch_norm", "aten::group_norm", "aten::upsample_nearest2d")


def allocated_peak(work: Callable[[], object]) -> int:
    """Bytes that torch's allocator of the CPU handed out at the peak of `work`, over what there was before it.

    Tensors and what an operator allocates by torch meanwhile; not the scratch space of oneDNN's kernels.
    """
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profiled:
        work()
    recorded: Any = profiled.profiler
    events = [event for event in recorded.kineto_results.events() if event.name() == "[memory]"]
    handed = (int(event.nbytes()) for event in sorted(events, key=lambda event: event.start_ns()))
    return max(itertools.accumulate(handed), default=0)


def traced_macs(model: nn.Module, *, resolution: int, in_channels: int = 3) -> int:
    """MACs of one image through `model`, counted by fvcore from a trace.

    Raises: NasError when the trace holds a product or a convolution that fvcore cannot count.
    """
    from fvcore.nn import FlopCountAnalysis

    logging.getLogger("fvcore").setLevel(logging.ERROR)
    image = torch.zeros(1, in_channels, resolution, resolution, device=next(model.parameters()).device)
    was_training = model.training
    with torch.no_grad():
        analysis = FlopCountAnalysis(model.eval(), image)
        analysis.set_op_handle("aten::scaled_dot_product_attention", _attention)
        analysis.set_op_handle("aten::_convolution_mode", _named_padding)
        for name in FREE:
            analysis.set_op_handle(name, lambda _inputs, _outputs: 0)
        analysis.unsupported_ops_warnings(enabled=False).uncalled_modules_warnings(enabled=False)
        total = int(analysis.total())
        unknown = [name for name in analysis.unsupported_ops() if any(word in name for word in COSTLY)]
    model.train(was_training)
    if unknown:
        raise NasError(f"fvcore has no count for {', '.join(sorted(unknown))}: the traced MACs would be too low")
    return total


def _shape(value: Any) -> list[int]:
    return list(value.type().sizes())


def _attention(inputs: list[Any], _outputs: list[Any]) -> Counter[str]:
    """Q k^T and the product with v: 2 x batch x heads x queries x keys x head width."""
    q, k, v = (_shape(value) for value in inputs[:3])
    rows = math.prod(q[:-1])
    return Counter({"attention": rows * k[-2] * (q[-1] + v[-1])})


def _named_padding(inputs: list[Any], outputs: list[Any]) -> Counter[str]:
    """A convolution whose padding is "same" or "valid": outputs x weights of one output."""
    weight, out = _shape(inputs[1]), _shape(outputs[0])
    return Counter({"conv": math.prod(out) * math.prod(weight[1:])})
