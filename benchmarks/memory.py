"""The predicted memory of a training against what torch's allocator hands out: random networks of every space.

On a CPU, in float32 and under autocast to bfloat16: the formula of `nas.memory` without overhead and safety. On a GPU,
where there is one: all of it, against what the allocator reserved.

python benchmarks/memory.py [--networks 5] [--batch 128] [--resolution 32]
"""

import argparse
import random
import statistics
import sys

import torch
from torch.nn.functional import cross_entropy

import search_spaces
from nas.audit import allocated_peak
from nas.memory import training_peak
from nas.model import build

CLASSES, CHANNELS = 10, 3


def step(network, batch, device, *, low):
    """Two steps as `nas.training` takes them, without its data."""
    size = network.resolution
    model = build(network, in_channels=CHANNELS, num_classes=CLASSES, resolution=size).to(device)
    average = torch.optim.swa_utils.AveragedModel(model, use_buffers=True)
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    images = torch.randn(batch, CHANNELS, size, size, device=device).contiguous(memory_format=torch.channels_last)
    labels = torch.randint(0, CLASSES, (batch,), device=device)
    for _ in range(2):
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device, torch.bfloat16, enabled=low):
            logits = model(images)
        cross_entropy(logits.float(), labels).backward()
        optimizer.step()
        average.update_parameters(model)


def ratios(network, options):
    """Predicted over measured, by what was measured."""
    peak = training_peak(network, options.batch, num_classes=CLASSES, in_channels=CHANNELS)
    part = peak.weights + peak.activations
    found = {
        "float32": part / allocated_peak(lambda: step(network, options.batch, "cpu", low=False)),
        "bfloat16": part / allocated_peak(lambda: step(network, options.batch, "cpu", low=True)),
    }
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        step(network, options.batch, "cuda", low=True)
        found["GPU, bfloat16"] = peak.total / torch.cuda.max_memory_reserved()
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", type=int, default=5, help="of each space")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--resolution", type=int, default=32)
    options = parser.parse_args()
    torch.set_num_threads(1)
    for name in ("metaformer", "isotropic", "cvt"):
        space, rng = search_spaces.get(name, options.resolution), random.Random(0)
        rows = [ratios(space.decode(space.sample(rng)), options) for _ in range(options.networks)]
        for kind in rows[0]:
            values = [row[kind] for row in rows]
            print(
                f"{name:12} {kind:14} predicted / measured: median {statistics.median(values):.2f}, "
                f"{min(values):.2f} to {max(values):.2f} ({len(values)} networks)",
                flush=True,
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
