"""One alternating training step of CASM (L100), written plainly in PyTorch eager.

The baseline that `make bench-train` compares with: f32, default memory format, torch.optim.
The judge is the current classifier or a network of the history, as a line of standard input says;
the answer is the step's seconds, and after the last line the peak memory in MiB.
Weights and pictures are random; the arithmetic does not depend on them.
"""

import argparse
import copy
import resource
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn


class Bottleneck(nn.Module):
    def __init__(self, channels, width, stride):
        super().__init__()
        out = 4 * width
        self.conv1 = nn.Conv2d(channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out)
        self.downsample = None
        if stride != 1 or channels != out:
            self.downsample = nn.Sequential(
                nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out)
            )

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class ResNet50(nn.Module):
    """Picture -> logits and the five layers that the decoder reads."""

    taps = [(64, 4, True), (256, 4, False), (512, 8, False), (1024, 16, False), (2048, 32, False)]

    def __init__(self, classes=1000):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.stages = nn.ModuleList()
        channels = 64
        for stage, blocks in enumerate([3, 4, 6, 3]):
            width = 64 << stage
            layers = []
            for block in range(blocks):
                layers.append(Bottleneck(channels, width, 2 if stage > 0 and block == 0 else 1))
                channels = 4 * width
            self.stages.append(nn.Sequential(*layers))
        self.fc = nn.Linear(channels, classes)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        taps = [x]
        for stage in self.stages:
            x = stage(x)
            taps.append(x)
        return self.fc(x.mean((2, 3))), taps


class InvertedResidual(nn.Module):
    def __init__(self, channels, out, expansion, stride):
        super().__init__()
        hidden = channels * expansion
        self.expand = nn.Conv2d(channels, hidden, 1) if expansion != 1 else None
        self.depthwise = nn.Conv2d(hidden, hidden, 3, stride, 1, groups=hidden)
        self.project = nn.Conv2d(hidden, out, 1)
        self.residual = stride == 1 and channels == out

    def forward(self, x):
        y = x if self.expand is None else F.relu(self.expand(x))
        y = self.project(F.relu(self.depthwise(y)))
        return x + y if self.residual else y


class MobileNetV2(nn.Module):
    """Batch norm folded: convolutions with bias, plain ReLU."""

    taps = [(24, 4, False), (32, 8, False), (96, 16, False), (1280, 32, False)]
    stages = [
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    ]

    def __init__(self, classes=1000):
        super().__init__()
        self.stem = nn.Conv2d(3, 32, 3, 2, 1)
        self.blocks = nn.ModuleList()
        channels = 32
        for expansion, out, repetitions, stride in self.stages:
            for repetition in range(repetitions):
                self.blocks.append(
                    InvertedResidual(channels, out, expansion, stride if repetition == 0 else 1)
                )
                channels = out
        self.head = nn.Conv2d(channels, 1280, 1)
        self.classifier = nn.Linear(1280, classes)

    def forward(self, x):
        x = F.relu(self.stem(x))
        taps = []
        for index, block in enumerate(self.blocks, 1):
            x = block(x)
            if index in (3, 6, 13):
                taps.append(x)
        x = F.relu(self.head(x))
        taps.append(x)
        return self.classifier(x.mean((2, 3))), taps


class Decoder(nn.Module):
    """Layers -> mask `[N, 1, 224, 224]`."""

    def __init__(self, taps, channels=64):
        super().__init__()
        self.branches = nn.ModuleList()
        total = 0
        for width, stride, raw in taps:
            layers = []
            if not raw:
                layers = [nn.Conv2d(width, channels, 1, bias=False), nn.BatchNorm2d(channels), nn.ReLU()]
            if stride > 4:
                layers.append(nn.Upsample(scale_factor=stride // 4, mode="bilinear"))
            self.branches.append(nn.Sequential(*layers))
            total += width if raw else channels
        self.final = nn.Conv2d(total, 1, 3, padding=1)

    def forward(self, taps):
        x = torch.cat([branch(tap) for branch, tap in zip(self.branches, taps)], 1)
        return F.interpolate(torch.sigmoid(self.final(x)), scale_factor=4, mode="nearest")


NETWORKS = {"resnet50": ResNet50, "mobilenet-v2": MobileNetV2}


class Step:
    """Both halves of an iteration. Both backward passes precede both updates of the masked half."""

    def __init__(self, network, regulariser=10.0):
        self.classifier = NETWORKS[network]().train()
        self.decoder = Decoder(self.classifier.taps).train()
        self.history = copy.deepcopy(self.classifier).eval()
        self.regulariser = regulariser
        self.sgd = torch.optim.SGD(
            self.classifier.parameters(), lr=1e-3, momentum=0.9, weight_decay=1e-4
        )
        self.adam = torch.optim.Adam(self.decoder.parameters(), lr=1e-3, weight_decay=1e-4)

    def __call__(self, x, y, judge):
        # The classifier's half: the clean pictures.
        logits, taps = self.classifier(x)
        clean = F.cross_entropy(logits, y)
        self.sgd.zero_grad()
        clean.backward()
        self.sgd.step()
        correct = logits.argmax(1) == y

        # The masked pictures, seen by the judge.
        mask = self.decoder([tap.detach() for tap in taps])
        network = self.classifier if judge == "current" else self.history
        logits = network(x * (1 - mask))[0]
        masked = F.cross_entropy(logits, y)

        # The decoder's loss: negative entropy where the clean answer was right, and the area where
        # the judge was confused.
        confused = correct & (logits.argmax(1) != y)
        area = F.relu(confused.float() - mask.mean((1, 2, 3))).mean()
        log_p = F.log_softmax(logits, 1)
        entropy = -(log_p.exp() * log_p).sum(1)
        loss = -self.regulariser * area - (entropy * correct.float()).mean()

        self.adam.zero_grad()
        current = judge == "current"
        loss.backward(retain_graph=current)
        nn.utils.clip_grad_norm_(self.decoder.parameters(), 10)
        if current:
            self.sgd.zero_grad()
            kept = [p.grad for p in self.decoder.parameters()]
            self.adam.zero_grad()
            masked.backward()
            for p, grad in zip(self.decoder.parameters(), kept):
                p.grad = grad
            self.sgd.step()
        self.adam.step()
        return clean.item(), masked.item(), loss.item(), mask.mean().item()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--network", choices=NETWORKS, default="resnet50")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--input-size", type=int, default=224)
    parser.add_argument("--serve", action="store_true", help="for bench_train: it always serves")
    arguments = parser.parse_args()

    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    step = Step(arguments.network)
    size = arguments.input_size
    x = torch.randn(arguments.batch, 3, size, size)
    y = torch.randint(1000, (arguments.batch,))
    for line in sys.stdin:
        start = time.perf_counter()
        step(x, y, line.strip())
        print(time.perf_counter() - start, flush=True)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, flush=True)


if __name__ == "__main__":
    main()
