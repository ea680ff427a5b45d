"""The same network in other programs, as their users run it: PyTorch, ONNX Runtime, OpenVINO.

For `make bench`. PyTorch computes the network written plainly (../../bench_train/step_plain.py), with random
weights; the others read an ONNX file of the unfolded network. All get a prepared, normalised picture. Speaks as
`contestant/mod.rs` does: a line of JSON when it is ready, then one for each number of batches that it reads.
"""

import argparse
import json
import os
import sys
import time

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--program", choices=["eager", "frozen", "onnxruntime", "openvino"], required=True)
parser.add_argument("--precision", choices=["f32", "bf16"], default="f32")
parser.add_argument("--network", choices=["mobilenet-v2", "resnet50"], required=True)
parser.add_argument("--model", help="ONNX file")
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--batch", type=int, default=1)
arguments = parser.parse_args()
SHAPE = (arguments.batch, 3, 224, 224)


def pytorch():
    here = os.path.dirname(os.path.abspath(__file__))
    sys.path.insert(0, os.path.join(here, "..", "..", "bench_train"))
    import step_plain
    import torch

    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)

    class Network(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = step_plain.NETWORKS[arguments.network]()
            self.decoder = step_plain.Decoder(self.encoder.taps)

        def forward(self, x):
            logits, taps = self.encoder(x)
            return self.decoder(taps), logits

    kind = torch.bfloat16 if arguments.precision == "bf16" else torch.float32
    network = Network().eval().to(kind)
    x = torch.rand(SHAPE).to(kind)
    if arguments.program == "eager":
        network = network.to(memory_format=torch.channels_last)
        x = x.to(memory_format=torch.channels_last)
    else:
        with torch.inference_mode():
            network = torch.jit.freeze(torch.jit.trace(network, x))
            network = torch.jit.optimize_for_inference(network)

    def run():
        with torch.inference_mode():
            network(x)

    return f"PyTorch {torch.__version__}", run


def onnxruntime():
    import numpy
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = arguments.threads
    session = onnxruntime.InferenceSession(arguments.model, options, providers=["CPUExecutionProvider"])
    x = {session.get_inputs()[0].name: numpy.random.rand(*SHAPE).astype("float32")}
    return f"ONNX Runtime {onnxruntime.__version__}", lambda: session.run(None, x)


def openvino():
    import numpy
    import openvino

    core = openvino.Core()
    model = core.read_model(arguments.model)
    model.reshape(list(SHAPE))
    settings = {
        "INFERENCE_PRECISION_HINT": arguments.precision,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": arguments.threads,
    }
    request = core.compile_model(model, "CPU", settings).create_infer_request()
    request.set_input_tensor(openvino.Tensor(numpy.random.rand(*SHAPE).astype("float32")))
    return f"OpenVINO {openvino.__version__.split('-')[0]} from Python", request.infer


def memory(name):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(name + ":"))


def say(message):
    print(json.dumps(message), flush=True)


engine, run = {"eager": pytorch, "frozen": pytorch, "onnxruntime": onnxruntime, "openvino": openvino}[arguments.program]()
for _ in range(5):
    run()
say({"network": arguments.network, "engine": engine})
for line in sys.stdin:
    count = int(line or 1)
    begin = time.perf_counter()
    for _ in range(count):
        run()
    seconds = time.perf_counter() - begin
    say({"seconds": seconds, "resident_kib": memory("VmRSS"), "peak_kib": memory("VmHWM")})
