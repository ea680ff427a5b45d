"""Fetch members of pinned wheels from PyPI by HTTP range requests.

This reads the zip directory at the end of a wheel and then fetches only the members wanted.  Where a
server or proxy does not honour ranges, the whole wheels are downloaded instead; wheels that lie in
<dest>/.download already, say carried there from another machine, are taken as they are.

Nothing is trusted that is not pinned: each wheel's RECORD is pinned by SHA-256, and RECORD holds
the SHA-256 of every member.  An interrupted run goes on where it stopped.

Standard library only, Python 3.9 or newer.
"""

import argparse
import base64
import csv
import errno
import fcntl
import hashlib
import html
import io
import json
import os
import platform
import re
import shutil
import struct
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import zipfile
import zlib
from pathlib import Path

# Whoever passes the libraries on has to pass these on, too.
LICENCES = r"[^/]+\.dist-info/licenses/.+"

ROOT = Path(__file__).resolve().parent.parent
STAMP = ".complete"
PARTS = ".download"
TRIES = 6
NEAR = 1 << 18  # members closer than this are fetched by one request
LARGE = 1 << 21  # members larger than this always have a request of their own
BLOCK = 1 << 18
MB = 1e6


class Library:
    """What is fetched: its name and wheels, the file that must be there, and what to say of it."""

    def __init__(self, name, wheels, probe, ready, own, elsewhere, finish=lambda dest: None):
        self.name, self.wheels, self.probe, self.ready = name, wheels, probe, ready
        self.own, self.elsewhere, self.finish = own, elsewhere, finish


# The one that this run is for.
LIBRARY = None


class Failure(Exception):
    """Ends the run; the message names the remedy."""


class NoRanges(Exception):
    """The server does not honour range requests."""


def say(text):
    print(f"{LIBRARY.name}: {text}", flush=True)


def mismatch(what):
    return Failure(
        f"{what} does not match its SHA-256 and was thrown away. Run this again; if it happens "
        "again, the index or a proxy alters files."
    )


def sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as source:
        for block in iter(lambda: source.read(BLOCK), b""):
            digest.update(block)
    return digest.digest()


def require_space(folder, need):
    free = shutil.disk_usage(folder).free
    if free < need + 50 * MB:
        raise Failure(
            f"{folder} has {free / MB:.0f} MB free, and {need / MB:.0f} MB are needed. Make room, "
            f"or give another folder with --dest and {LIBRARY.elsewhere}."
        )


class Progress:
    """One line that is rewritten on a terminal, a line per quarter elsewhere."""

    def __init__(self, label, total, done):
        self.label, self.total, self.done, self.before = label, total, done, done
        self.start = time.monotonic()
        self.tty = sys.stdout.isatty()
        self.shown = 0 if self.tty else self.quarter()

    def quarter(self):
        return self.done * 4 // self.total

    def add(self, count):
        self.done += count
        now = time.monotonic()
        speed = (self.done - self.before) / max(now - self.start, 1e-3) / MB
        line = (
            f"{LIBRARY.name}: {self.label}: {self.done / MB:.0f} of {self.total / MB:.0f} MB "
            f"({100 * self.done // self.total} %), {speed:.1f} MB/s"
        )
        if self.tty:
            last = self.done >= self.total
            if last or now - self.shown > 0.1:
                self.shown = now
                print(f"\r{line}\033[K", end="\n" if last else "", flush=True)
        elif self.quarter() > self.shown:
            self.shown = self.quarter()
            print(line, flush=True)


def pip_config():
    """Index, certificates and proxy as pip is configured: environment, then files."""
    config = {"index-url": "https://pypi.org/simple"}
    try:
        listing = subprocess.run(
            [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True
        ).stdout
    except OSError:
        listing = ""
    for section in ("global", "install", ":env:"):
        config.update(re.findall(rf"^{section}\.([\w-]+)='(.*)'$", listing, re.M))
    # Once more, for a Python that comes without pip.
    for key in ("index-url", "cert", "proxy"):
        value = os.environ.get("PIP_" + key.upper().replace("-", "_"))
        if value:
            config[key] = value
    return config


class Http:
    """GET with retries, from the index that pip is configured for."""

    # urllib.request, http.client and ssl are imported where they are used: that is 20 ms which a
    # run that finds everything in place does not pay.

    def __init__(self):
        import ssl
        import urllib.request

        self.config = pip_config()
        self.accounts = {}
        context = ssl.create_default_context()
        for bundle in (self.config.get("cert"), os.environ.get("REQUESTS_CA_BUNDLE")):
            if bundle and os.path.isfile(bundle):
                context.load_verify_locations(bundle)
        handlers = [urllib.request.HTTPSHandler(context=context)]
        proxy = self.config.get("proxy")
        if proxy:
            handlers.append(urllib.request.ProxyHandler({"http": proxy, "https": proxy}))
        self.opener = urllib.request.build_opener(*handlers)
        self.opener.addheaders = [("User-Agent", "casm-setup")]

    def open(self, url, **headers):
        import urllib.request

        # urllib does not take user:password@host, which private indexes are often given with.
        parts = urllib.parse.urlsplit(url)
        account, _, host = parts.netloc.rpartition("@")
        if account:
            self.accounts[host] = base64.b64encode(urllib.parse.unquote(account).encode()).decode()
            url = urllib.parse.urlunsplit(parts._replace(netloc=host))
        request = urllib.request.Request(url, headers=headers)
        if host in self.accounts:
            request.add_unredirected_header("Authorization", f"Basic {self.accounts[host]}")
        return self.opener.open(request, timeout=60)

    def retry(self, what, attempt, position=lambda: 0):
        """Call attempt() until it succeeds.  Tries are counted anew whenever position() moved."""
        import http.client

        left, reached = TRIES, position()
        while True:
            try:
                return attempt()
            except urllib.error.HTTPError as caught:
                if caught.code < 500 and caught.code not in (408, 425, 429):
                    raise Failure(
                        f"{what}: the server answers {caught.code} {caught.reason}. Is pip's index "
                        f"(PIP_INDEX_URL) right?\n{LIBRARY.own}"
                    )
                error = caught
            except (http.client.HTTPException, OSError) as caught:
                if getattr(caught, "errno", None) == errno.ENOSPC:
                    raise
                error = getattr(caught, "reason", caught)
            if position() > reached:
                left, reached = TRIES, position()
            left -= 1
            if left == 0:
                raise Failure(
                    f"{what}: {error}\nIs there a network? What has been downloaded is kept: run "
                    "this again to go on.\nFrom another index than PyPI: set PIP_INDEX_URL, or "
                    f"pip's configuration.\n{LIBRARY.own}"
                )
            pause = 2 ** (TRIES - left - 1)
            say(f"{what}: {error}; trying again in {pause} s")
            time.sleep(pause)

    def find(self, project, name):
        """Address of a wheel, from the index's page of its project."""
        page = f"{self.config['index-url'].rstrip('/')}/{project}/"

        def attempt():
            accept = "application/vnd.pypi.simple.v1+json, text/html;q=0.5"
            with self.open(page, Accept=accept) as answer:
                return answer.geturl(), answer.headers.get_content_type(), answer.read().decode()

        base, kind, text = self.retry(f"index page of {project}", attempt)
        if kind.endswith("json"):
            links = [file["url"] for file in json.loads(text)["files"]]
        else:
            links = map(html.unescape, re.findall(r'href\s*=\s*["\']([^"\']+)', text))
        for link in links:
            url = urllib.parse.urldefrag(urllib.parse.urljoin(base, link)).url
            if urllib.parse.unquote(url).endswith("/" + name):
                return url
        raise Failure(f"pip's index lists no {name}.\n{LIBRARY.own}")

    def require_ranges(self, url):
        def attempt():
            with self.open(url, Range="bytes=0-0") as answer:
                if answer.status != 206:
                    raise NoRanges

        self.retry("first request", attempt)

    def fetch(self, url, start, end, sink, progress=None, restart=False):
        """Write bytes start..end of a file to sink, going on where sink ends.

        With `restart`, a server that does not honour ranges makes it start over.
        """

        def attempt():
            first = start + sink.tell()
            if first >= end:
                return
            with self.open(url, Range=f"bytes={first}-{end - 1}") as answer:
                if answer.status == 206:
                    if not answer.headers.get("Content-Range", "").startswith(f"bytes {first}-"):
                        raise NoRanges
                elif restart:
                    if progress:
                        progress.done -= sink.tell()
                    sink.seek(0)
                    sink.truncate()
                    first = start
                else:
                    raise NoRanges
                while first < end:
                    block = answer.read(min(end - first, BLOCK))
                    if not block:
                        raise ConnectionError("connection closed early")
                    sink.write(block)
                    first += len(block)
                    if progress:
                        progress.add(len(block))

        self.retry("download", attempt, sink.tell)


class Tail:
    """The end of a remote file, as much of a file object as zipfile needs."""

    def __init__(self, http, url, size):
        self.http, self.url, self.size = http, url, size
        self.position = self.start = size
        self.buffer = b""

    def seekable(self):
        return True

    def tell(self):
        return self.position

    def seek(self, offset, whence=0):
        self.position = offset + (0, self.position, self.size)[whence]
        return self.position

    def read(self, count=-1):
        stop = self.size if count < 0 else min(self.size, self.position + count)
        if self.position < min(self.start, stop):
            # In large steps: what is read next lies before this, and each request is a round trip.
            first = max(0, min(self.position, self.start - (1 << 20)))
            sink = io.BytesIO()
            self.http.fetch(self.url, first, self.start, sink)
            self.buffer = sink.getvalue() + self.buffer
            self.start = first
        block = self.buffer[self.position - self.start : max(0, stop - self.start)]
        self.position += len(block)
        return block


class Wheel:
    def __init__(self, dest, pin):
        self.project, self.name, self.size, self.sha256, self.record_sha256, wanted = pin
        self.wanted = re.compile(f"{wanted}|{LICENCES}")
        self.dest = dest
        self.parts = dest / PARTS
        self.file = self.parts / self.name
        self.record = "-".join(self.name.split("-")[:2]) + ".dist-info/RECORD"
        self.url = None  # stays None when the whole wheel is here

    def open(self, http, full):
        """Read the zip directory: of the local file if there is one, else of the remote one."""
        if not self.file.exists():
            url = http.find(self.project, self.name)
            try:
                if full:
                    raise NoRanges
                http.require_ranges(url)
                self.read_directory(zipfile.ZipFile(Tail(http, url, self.size)))
                self.url = url
                return
            except NoRanges:
                self.download(http, url)
        if sha256(self.file).hex() != self.sha256:
            raise Failure(f"{self.file} is not the wheel that is pinned: delete it, run this again.")
        self.read_directory(zipfile.ZipFile(self.file))

    def download(self, http, url):
        say(f"no range requests: fetching the whole of {self.name}, {self.size / MB:.0f} MB")
        part = self.parts / (self.name + ".part")
        with open(part, "ab") as sink:
            require_space(self.dest, self.size - sink.tell())
            progress = Progress("wheel", self.size, sink.tell())
            http.fetch(url, 0, self.size, sink, progress, restart=True)
        if sha256(part).hex() != self.sha256:
            part.unlink()
            raise mismatch(self.name)
        part.rename(self.file)

    def read_directory(self, archive):
        text = archive.read(self.record)
        self.members = sorted(
            ((archive.getinfo(name), digest) for name, digest in self.digests(text).items()),
            key=lambda member: member[0].header_offset,
        )
        starts = sorted(info.header_offset for info in archive.infolist())
        self.ends = dict(zip(starts, starts[1:] + [archive.start_dir]))
        # For --check.
        record = self.dest / self.record
        record.parent.mkdir(parents=True, exist_ok=True)
        record.write_bytes(text)

    def digests(self, record):
        """SHA-256 of each member wanted, from the text of RECORD."""
        if hashlib.sha256(record).hexdigest() != self.record_sha256:
            raise mismatch(f"RECORD of {self.name}")
        return {
            name: base64.urlsafe_b64decode(digest.partition("=")[2] + "=")
            for name, digest, _ in csv.reader(record.decode().splitlines())
            if digest and self.wanted.fullmatch(name)
        }

    def is_missing(self, name, digest):
        try:
            return sha256(self.dest / name) != digest
        except OSError:
            return True

    def runs(self):
        """(start, end, members) of neighbours: a request for each of 9700 headers would be slow.

        The grouping does not depend on what is there already, so that a part file left behind by
        an interrupted run fits the next run.
        """
        runs = []
        for info, digest in self.members:
            start, end = info.header_offset, self.ends[info.header_offset]
            large = end - start > LARGE
            if runs and not large and not runs[-1][3] and start - runs[-1][1] < NEAR:
                runs[-1][1] = end
                runs[-1][2].append((info, digest))
            else:
                runs.append([start, end, [(info, digest)], large])
        return [run[:3] for run in runs]

    def part(self, start, end):
        return self.parts / f"{self.name}.{start}-{end}.part"

    def extract(self, source, base, members):
        """Unpack members from a file that holds the wheel from byte `base` on."""
        for info, digest in members:
            path = self.dest / info.filename
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_name(path.name + ".part")
            # The local header repeats the name, and its extra field may differ from the directory's.
            source.seek(info.header_offset - base + 26)
            source.seek(sum(struct.unpack("<HH", source.read(4))), os.SEEK_CUR)
            inflate = zlib.decompressobj(-15) if info.compress_type else None
            seen, left = hashlib.sha256(), info.compress_size
            try:
                with open(part, "wb") as sink:
                    while left > 0:
                        block = source.read(min(left, BLOCK))
                        left -= len(block) or left
                        block = inflate.decompress(block) if inflate else block
                        seen.update(block)
                        sink.write(block)
            except zlib.error:
                pass  # shows as a digest that does not match
            if seen.digest() != digest:
                part.unlink()
                raise mismatch(info.filename)
            os.replace(part, path)


def fetch(dest, wheels, full):
    (dest / PARTS).mkdir(parents=True, exist_ok=True)
    http = Http()
    todo, download, kept, unpacked = [], 0, 0, 0
    for pin in wheels:
        wheel = Wheel(dest, pin)
        wheel.open(http, full)
        for start, end, members in wheel.runs():
            members = [member for member in members if wheel.is_missing(member[0].filename, member[1])]
            if not members:
                continue
            todo.append((wheel, start, end, members))
            unpacked += sum(info.file_size for info, _ in members)
            if wheel.url:
                download += end - start
                part = wheel.part(start, end)
                kept += part.stat().st_size if part.exists() else 0

    require_space(dest, download - kept + unpacked)
    if download:
        here = f" ({kept / MB:.0f} MB of them are here)" if kept else ""
        say(f"fetching {download / MB:.0f} MB{here} for {unpacked / MB:.0f} MB in {dest}")
    progress = Progress("fetched", max(download, 1), kept)
    for wheel, start, end, members in todo:
        if not wheel.url:
            with open(wheel.file, "rb") as source:
                wheel.extract(source, 0, members)
            continue
        part = wheel.part(start, end)
        with open(part, "ab") as sink:
            http.fetch(wheel.url, start, end, sink, progress)
        try:
            with open(part, "rb") as source:
                wheel.extract(source, start, members)
        except Failure:
            part.unlink()  # going on from wrong bytes would end in the same mismatch
            raise
        part.unlink()

    LIBRARY.finish(dest)
    (dest / STAMP).write_text(stamp(wheels))
    shutil.rmtree(dest / PARTS)
    say(f"{LIBRARY.ready} is ready in {dest}")


def check(dest, wheels):
    bad = 0
    for pin in wheels:
        wheel = Wheel(dest, pin)
        try:
            digests = wheel.digests((dest / wheel.record).read_bytes())
        except FileNotFoundError:
            raise Failure(f"{dest} holds no complete {LIBRARY.name}. Run this without --check to fetch it.")
        for name, digest in digests.items():
            if wheel.is_missing(name, digest):
                say(f"missing or altered: {name}")
                bad += 1
    if bad:
        (dest / STAMP).unlink(missing_ok=True)
        raise Failure(f"{bad} files are missing or altered. Run this without --check to fetch them.")
    say(f"all files in {dest} are as published")


def stamp(wheels):
    """Changes whenever anything does that decides what is fetched."""
    return "".join(f"{name} {record} {wanted}\n" for _, name, _, _, record, wanted in wheels)


def is_complete(dest, wheels):
    try:
        if (dest / STAMP).read_text() == stamp(wheels):
            # setup.sh does not even start Python while this is newer than the script.
            os.utime(dest / STAMP)
            return (dest / LIBRARY.probe).exists()
    except OSError:
        pass
    return False


def fetch_library(description):
    parser = argparse.ArgumentParser(description=description.split("\n\n")[0])
    parser.add_argument("--dest", type=Path, default=ROOT / "third_party" / LIBRARY.name)
    parser.add_argument("--check", action="store_true", help="verify what is there, fetch nothing")
    parser.add_argument("--force-full", action="store_true", help="download whole wheels (a test)")
    options = parser.parse_args()
    dest = options.dest.resolve()
    machine = platform.machine()
    if machine not in LIBRARY.wheels or sys.platform != "linux":
        name = LIBRARY.name
        raise Failure(f"there is no light {name} for {machine} on {sys.platform}.\n{LIBRARY.own}")
    wheels = LIBRARY.wheels[machine]
    if options.check:
        return check(dest, wheels)
    if is_complete(dest, wheels):
        return None
    try:
        dest.mkdir(parents=True, exist_ok=True)
        with open(dest / ".lock", "w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                say("another run is at work here; waiting for it")
                fcntl.flock(lock, fcntl.LOCK_EX)
            if not is_complete(dest, wheels):
                fetch(dest, wheels, options.force_full)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise Failure(f"no space left in {dest}. Make room and run this again to go on.")
        raise Failure(str(error))


def main(library, description):
    """Do what the command line says, for this library."""
    global LIBRARY
    LIBRARY = library
    try:
        fetch_library(description)
    except Failure as failure:
        sys.exit(f"{library.name}: {failure}")
    except KeyboardInterrupt:
        sys.exit(f"\n{library.name}: interrupted; run this again to go on where it stopped")
