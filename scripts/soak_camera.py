#!/usr/bin/python3
"""A camera on the network that loses packets and goes away: casmesaliency behind rtspsrc, on loopback.

GStreamer's own RTSP server runs as a child. The client drops RTP packets, and again and again the server is killed in the middle
of a frame; the client is then started anew, as an application does that watches its camera. Frames must flow again each time, and memory must
not grow. Needs python3-gi and gir1.2-gst-rtsp-server-1.0 (Debian's names). Exit codes: 0 done, 1 failed, 77 something is missing.
"""

import argparse
import os
import signal
import socket
import subprocess
import sys
import time

MISSING = 77
# Longest wait for frames after a start, in seconds, in a loaded machine.
PATIENCE = 60
ENCODING = (
    "videotestsrc is-live=true pattern=ball ! video/x-raw,format=I420,width=320,height=240,framerate=15/1 "
    "! jpegenc ! rtpjpegpay name=pay0 pt=26"
)
PIPELINE = (
    "rtspsrc location=rtsp://127.0.0.1:{port}/camera protocols={protocol} latency=100 timeout=3000000 name=r "
    "r. ! application/x-rtp,media=video ! identity drop-probability={loss} ! rtpjpegdepay ! jpegdec "
    "! casmesaliency name=c overlay=box ! fakesink sync=false"
)


def load(server):
    """The bindings; a stop with code 77 if they are not there."""
    try:
        import gi

        gi.require_version("Gst", "1.0")
        names = ["Gst", "GLib"]
        if server:
            gi.require_version("GstRtspServer", "1.0")
            names.append("GstRtspServer")
        module = __import__("gi.repository", fromlist=names)
        loaded = [getattr(module, name) for name in names]
    except (ImportError, ValueError, AttributeError) as error:
        print(f"skipped: {error}; apt-get install python3-gi gir1.2-gst-rtsp-server-1.0", file=sys.stderr)
        sys.exit(MISSING)
    loaded[0].init(None)
    return loaded


def serve(port):
    _, glib, rtsp = load(server=True)
    server = rtsp.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(str(port))
    factory = rtsp.RTSPMediaFactory()
    factory.set_launch(f"( {ENCODING} )")
    factory.set_shared(True)
    server.get_mount_points().add_factory("/camera", factory)
    server.attach(None)
    glib.MainLoop().run()


class Server:
    """The server as a child process."""

    def __init__(self, port):
        self.child = subprocess.Popen([sys.executable, os.path.abspath(__file__), "--serve", str(port)])
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            if self.child.poll() is not None:
                sys.exit(self.child.returncode or 1)
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return
            time.sleep(0.05)
        self.kill()
        sys.exit("the RTSP server does not listen")

    def kill(self):
        self.child.send_signal(signal.SIGKILL)
        self.child.wait()


def resident():
    """Resident memory of this process in KiB."""
    with open("/proc/self/status", encoding="ascii") as status:
        line = next(line for line in status if line.startswith("VmRSS:"))
    return int(line.split()[1])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reconnects", type=int, default=20)
    parser.add_argument("--frames", type=int, default=30, help="frames before the camera goes away")
    parser.add_argument("--loss", type=float, default=0.02, help="share of lost packets")
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve(arguments.serve)
        return
    if arguments.reconnects < 1:
        parser.error("--reconnects: at least 1")
    gst, _ = load(server=False)
    load(server=True)
    if gst.ElementFactory.find("casmesaliency") is None:
        sys.exit("casmesaliency is not found; set GST_PLUGIN_PATH")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    frames, ends, memory = 0, {"error": 0, "eos": 0, "silence": 0}, []
    for number in range(arguments.reconnects + 1):
        server = Server(port)
        protocol = ("udp", "tcp")[number % 2]
        pipeline = gst.parse_launch(PIPELINE.format(port=port, protocol=protocol, loss=arguments.loss))
        seen = [0]

        def count(_pad, _info, seen=seen):
            seen[0] += 1
            return gst.PadProbeReturn.OK

        pipeline.get_by_name("c").get_static_pad("src").add_probe(gst.PadProbeType.BUFFER, count)
        bus = pipeline.get_bus()
        wanted = gst.MessageType.ERROR | gst.MessageType.EOS
        pipeline.set_state(gst.State.PLAYING)
        end = time.monotonic() + PATIENCE
        while seen[0] < arguments.frames:
            message = bus.timed_pop_filtered(50 * gst.MSECOND, wanted)
            if message is not None or time.monotonic() > end:
                said = message.parse_error() if message and message.type == gst.MessageType.ERROR else "nothing"
                pipeline.set_state(gst.State.NULL)
                server.kill()
                sys.exit(f"connection {number} ({protocol}): {seen[0]} frames, then {said}")
        # The camera goes away; what the client hears of it depends on the protocol.
        server.kill()
        message = bus.timed_pop_filtered(8 * gst.SECOND, wanted)
        if message is None:
            ends["silence"] += 1
        else:
            ends["error" if message.type == gst.MessageType.ERROR else "eos"] += 1
            if message.type == gst.MessageType.ERROR and message.src == pipeline.get_by_name("c"):
                sys.exit(f"connection {number}: the element takes the loss of its camera for an error")
        begin = time.monotonic()
        pipeline.set_state(gst.State.NULL)
        if time.monotonic() - begin > 10:
            sys.exit(f"connection {number}: stopping took {time.monotonic() - begin:.0f} s")
        frames += seen[0]
        memory.append(resident())
        print(f"connection {number} ({protocol}): {seen[0]} frames, {memory[-1]} KiB", file=sys.stderr)
    # What the allocator keeps goes up and down by some tens of MB; the lowest is what nothing gives back.
    half = max(len(memory) // 2, 1)
    grown = min(memory[half:]) - min(memory[:half])
    heard = ", ".join(f"{name} {times}" for name, times in ends.items() if times)
    row = (
        f"| RTSP camera, {arguments.loss:.0%} of packets lost, killed and restarted, UDP and TCP in turn "
        f"| {arguments.reconnects} reconnects | {frames} frames; end heard as: {heard}; "
        f"memory {min(memory) / 1024:.0f} to {max(memory) / 1024:.0f} MiB, "
        f"lowest of the second half {grown:+d} KiB from that of the first |"
    )
    print(row)
    if report := os.environ.get("CASM_SOAK_REPORT"):
        with open(report, "a", encoding="utf-8") as table:
            print(row, file=table)
    # A reconnect that kept a model would take 10 MB each; the allocator's ups and downs are as large as two of them.
    if grown > max(32 * 1024, 5 * 1024 * (len(memory) - half)):
        sys.exit(f"memory grew by {grown} KiB in {arguments.reconnects} reconnects")


if __name__ == "__main__":
    main()
