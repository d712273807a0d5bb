"""Real clusters for integration tests: a real ZooKeeper, real broker processes on loopback, ports chosen free.

Tests wait for conditions, never for time. Every process is stopped by the pid that was started here. A failed test
shows each broker's last lines and keeps its folder. Needs only Debian's python3 packages.
"""
import contextlib
import fcntl
import functools
import itertools
import os
import pathlib
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import unittest

from kazoo.exceptions import KazooException  # python3-kazoo

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("TIDEMARK_BIN", ROOT / "build/release/bin"))
GENERATED = pathlib.Path(os.environ.get("TIDEMARK_PYTHON", ROOT / "build/release/tests/integration/python"))
sys.path.insert(0, str(GENERATED))

import leftovers  # noqa: E402

from tidemark.v1 import envelope_pb2, error_pb2, record_pb2  # noqa: E402  (generated)

# How long a condition may take before the test fails. Never an assertion about speed.
PATIENCE = float(os.environ.get("TIDEMARK_PATIENCE", "60"))


# What a look at a cluster in motion may end with: no answer, or one that lacks what the condition looks at.
UNSETTLED = (OSError, EOFError, AssertionError, subprocess.SubprocessError, LookupError, TypeError, ValueError,
             AttributeError, KazooException)


class Timeout(AssertionError):
    """A condition that did not come true."""


def wait_for(what, condition, patience=PATIENCE):
    """Returns the first true value of condition(); raises Timeout that names what was waited for and last seen. Other
    errors than UNSETTLED end the wait at once: RuntimeError says that it cannot come true any more."""
    deadline = time.monotonic() + patience
    pause = 0.01
    while True:
        last = None
        try:
            value = condition()
            if value:
                return value
            last = value
        except UNSETTLED as error:
            last = error
        if time.monotonic() > deadline:
            cause = last if isinstance(last, Exception) else None
            raise Timeout(f"not within {patience:.0f} s: {what}; last seen: {last!r}") from cause
        time.sleep(pause)  # between two looks at the condition
        pause = min(pause * 1.5, 0.25)


def without_repeats(read, repeatable):
    """What was read, without what at-least-once delivery repeats. Producers are not idempotent: when an acknowledgement
    fails to come (the leadership moves between append and acknowledgement, a connection breaks, a request times out), the
    same batch is sent again, and may be in the log twice. `repeatable` are the records produced while that can happen, each
    with a value of its own; whatever else is there twice stays, for the test to find."""
    repeatable, seen, kept = set(repeatable), set(), []
    for value in read:
        if value not in seen:
            kept.append(value)
        if value in repeatable:
            seen.add(value)
    return kept


def alive(pid):
    """The process has not ended: one that nobody has waited for yet has."""
    try:
        os.kill(pid, 0)
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


_ports = itertools.count(0)
PORTS = 500  # of one test process


@functools.cache
def own_ports():
    """The first of the ports that are this process's as long as it lives: a broker that is down finds its port free again.
    Below those that the kernel hands out for connections, and those of the scripts under deploy/."""
    for slot in range(20):
        lock = os.open(f"{tempfile.gettempdir()}/tidemark-test-ports-{slot}", os.O_CREAT | os.O_RDWR, 0o666)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # held to the end of the process
            return 10000 + slot * PORTS
        except BlockingIOError:
            os.close(lock)
    raise AssertionError("twenty tests run at once")


def free_port():
    """A port nobody listens on."""
    for offset in _ports:
        port = own_ports() + offset % PORTS
        with contextlib.closing(socket.socket()) as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


class ZooKeeper:
    """A standalone ZooKeeper server of Debian's jars."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.port = free_port()
        self.process = None

    @property
    def connect(self):
        return f"127.0.0.1:{self.port}"

    def start(self):
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "zoo.cfg").write_text(
            f"tickTime=500\ndataDir={self.folder}/data\nclientPort={self.port}\nclientPortAddress=127.0.0.1\n"
            "admin.enableServer=false\n4lw.commands.whitelist=*\nmaxClientCnxns=0\n"
            "minSessionTimeout=1000\nmaxSessionTimeout=3600000\n")
        (self.folder / "log4j.properties").write_text(
            "log4j.rootLogger=WARN, A\nlog4j.appender.A=org.apache.log4j.ConsoleAppender\n"
            "log4j.appender.A.layout=org.apache.log4j.PatternLayout\n"
            "log4j.appender.A.layout.ConversionPattern=%d{ISO8601} %p %c %m%n\n")
        jars = ":".join(f"/usr/share/java/{name}.jar" for name in ("zookeeper", "slf4j-log4j12", "log4j-1.2"))
        with open(self.folder / "zookeeper.log", "ab") as log:
            self.process = subprocess.Popen(
                ["java", "-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", f"{self.folder}:{jars}",
                 "org.apache.zookeeper.server.quorum.QuorumPeerMain", str(self.folder / "zoo.cfg")],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_for("ZooKeeper serves", self.serving)
        return self

    def serving(self):
        with contextlib.closing(socket.create_connection(("127.0.0.1", self.port), timeout=2)) as connection:
            connection.sendall(b"srvr")
            return b"Mode:" in connection.recv(4096)

    def kill(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def shell(self, *words):
        """ZooKeeper's own command line."""
        jars = ":".join(f"/usr/share/java/{name}.jar"
                        for name in ("zookeeper", "slf4j-log4j12", "log4j-1.2", "commons-cli"))
        result = subprocess.run(["java", "-cp", f"{self.folder}:{jars}", "org.apache.zookeeper.ZooKeeperMain",
                                 "-server", self.connect, *words], capture_output=True, text=True, timeout=PATIENCE,
                                check=False)
        return result.stdout

    def client(self):
        from kazoo.client import KazooClient  # python3-kazoo
        client = KazooClient(hosts=self.connect, timeout=10)
        client.start()
        return client


# For tests that wait until a broker that was killed is missed. In the others a session has the product's time, so that no
# leadership moves because the machine stood still.
SHORT_SESSIONS = {"zookeeper__session__timeout__ms": 6000}


class Broker:
    """One broker process."""

    def __init__(self, cluster, number, overrides):
        self.cluster = cluster
        self.id = number
        self.folder = cluster.folder / f"broker-{number}"
        self.data = self.folder / "data"
        self.port = free_port()
        self.overrides = dict(overrides)
        self.process = None
        self.paused = False
        self.admin = None

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    @property
    def log_path(self):
        return self.folder / "broker.log"

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def properties(self):
        values = {"broker.id": self.id, "listeners": f"PLAINTEXT://127.0.0.1:{self.port}", "log.dirs": self.data,
                  "zookeeper.connect": self.cluster.zookeeper.connect}
        values.update(self.overrides)
        return {name: value for name, value in values.items() if value is not None}

    def spawn(self, *extra):
        """Starts the process without waiting for it to serve."""
        self.folder.mkdir(parents=True, exist_ok=True)
        properties = self.folder / "server.properties"
        properties.write_text("".join(f"{name}={value}\n" for name, value in self.properties().items()))
        self.mark = len(self.log())
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen([str(BIN / "tidemark-server-start"), str(properties), *extra],
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder)
        return self

    def ready_line(self):
        return re.search(rf"tidemark broker (\d+) ready listeners=(\S+) admin=(\S+)", self.log()[self.mark:])

    @property
    def serving(self):
        """Its process runs: neither ended, whoever ended it, nor paused."""
        return self.process is not None and self.process.poll() is None and not self.paused

    def start(self):
        self.spawn()
        self.wait_ready()
        self.cluster.wait_acquainted()
        return self

    def wait_ready(self):
        def ready():
            if self.process.poll() is not None:
                raise RuntimeError(f"broker {self.id} ended with {self.process.returncode}:\n{self.log()[-3000:]}")
            return self.ready_line()
        match = wait_for(f"broker {self.id} is ready", ready)
        self.admin = match[3]

    def kill(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None
            self.paused = False

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)
        self.paused = True

    def resume(self):
        self.process.send_signal(signal.SIGCONT)
        self.paused = False

    def terminate(self, patience=PATIENCE):
        """SIGTERM; returns the exit status."""
        self.process.terminate()
        status = self.process.wait(timeout=patience)
        self.process = None
        return status

    def metadata(self, *topics):
        """The cluster as this broker tells it."""
        request = envelope_pb2.Request()
        for topic in topics:
            request.metadata.topics.add(name=topic)
        request.metadata.SetInParent()
        with Wire(self.address) as wire:
            return wire.call(request).metadata

    def partitions(self, topic):
        """partition -> (leader, replicas, isr), as this broker tells it."""
        return {p.partition: (p.leader, list(p.replicas), sorted(p.isr))
                for p in self.metadata(topic).topics[0].partitions}

    def http(self, path):
        """(status, body) of the admin listener."""
        import urllib.error
        import urllib.request
        try:
            with urllib.request.urlopen(f"http://{self.admin}{path}", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()


class Cluster:
    """ZooKeeper and brokers in a folder of their own."""

    def __init__(self, folder, brokers=3, **overrides):
        self.folder = pathlib.Path(folder)
        self.zookeeper = ZooKeeper(self.folder / "zookeeper")
        self.brokers = [Broker(self, number, {k.replace("__", "."): v for k, v in overrides.items()})
                        for number in range(brokers)]

    @property
    def bootstrap(self):
        return ",".join(broker.address for broker in self.brokers)

    @property
    def serving(self):
        return [broker for broker in self.brokers if broker.serving]

    def start(self):
        self.zookeeper.start()
        self.start_brokers()
        return self

    def start_brokers(self):
        """Starts all that are down, at once."""
        down = [broker for broker in self.brokers if broker.process is None]
        for broker in down:
            broker.spawn()
        for broker in down:
            broker.wait_ready()
        self.wait_acquainted()

    def wait_acquainted(self):
        """A broker is ready when it has heard of itself: waits until each has heard of all, and of a controller."""
        def acquainted():
            ids = {int(broker.ready_line()[1]) for broker in self.serving}
            answers = [broker.metadata() for broker in self.serving]
            return all(ids <= {b.id for b in answer.brokers} and answer.controller_id in ids for answer in answers)
        wait_for("every broker knows the others and the controller", acquainted)

    def stop(self):
        for broker in self.brokers:
            if broker.process is not None:
                with contextlib.suppress(OSError):
                    broker.process.send_signal(signal.SIGCONT)
                broker.kill()
        if self.zookeeper.process is not None:
            with contextlib.suppress(OSError):
                self.zookeeper.resume()
            self.zookeeper.kill()

    def tool(self, name, *words, stdin=None, check=True, patience=2 * PATIENCE):
        """Runs tidemark-NAME; with check, a failure shows what it printed."""
        return self._run(f"tidemark-{name}", *words, stdin=stdin, check=check, patience=patience)

    def verb(self, *words, stdin=None, check=True, patience=2 * PATIENCE):
        """Runs `tidemark NOUN VERB ...` likewise."""
        return self._run("tidemark", *words, "-b", self.bootstrap, stdin=stdin, check=check, patience=patience)

    @staticmethod
    def _run(program, *words, stdin, check, patience):
        data = stdin.encode() if isinstance(stdin, str) else stdin
        keywords = {"input": data} if data is not None else {"stdin": subprocess.DEVNULL}
        result = subprocess.run([str(BIN / program), *map(str, words)], capture_output=True,
                                timeout=patience, check=False, **keywords)
        result.out = result.stdout.decode(errors="replace")
        result.err = result.stderr.decode(errors="replace")
        if check and result.returncode != 0:
            raise AssertionError(f"{program} {' '.join(map(str, words))} ended with {result.returncode}\n"
                                 f"{result.out[-2000:]}{result.err[-2000:]}")
        return result

    def create_topic(self, topic, partitions=1, replicas=None, **configs):
        words = ["--bootstrap-server", self.bootstrap, "--create", "--topic", topic, "--partitions", partitions,
                 "--replication-factor", replicas or min(3, len(self.brokers))]
        for name, value in configs.items():
            words += ["--config", f"{name.replace('__', '.')}={value}"]
        return self.tool("topics", *words)

    def describe(self, topic):
        """partition -> (leader, replicas, isr), from tidemark-topics --describe."""
        out = self.tool("topics", "--bootstrap-server", self.bootstrap, "--describe", "--topic", topic).out
        partitions = {}
        for match in re.finditer(
                r"Partition: (\d+)\s+Leader: (-?\d+|none)\s+Replicas: ([\d,]*)\s+Isr: ([\d,]*)", out):
            leader = -1 if match[2] == "none" else int(match[2])
            partitions[int(match[1])] = (leader, [int(r) for r in match[3].split(",") if r],
                                         sorted(int(r) for r in match[4].split(",") if r))
        return partitions

    def wait_partitions(self, what, topic, condition):
        """Waits until condition(partition -> (leader, replicas, isr)) holds by the word of every serving broker, so that
        it holds for whomever a tool asks next. Returns what the first of them tells."""
        def everywhere():
            told = [broker.partitions(topic) for broker in self.serving]
            if not told or not all(view and condition(view) for view in told):
                raise AssertionError(f"the brokers tell {told}")
            return told[0]
        return wait_for(what, everywhere)

    def wait_isr(self, topic, members):
        """Waits until every partition's ISR is `members` and it has a leader in it."""
        wanted = sorted(members)
        return self.wait_partitions(f"ISR of {topic} is {wanted}", topic, lambda view: all(
            isr == wanted and leader in wanted for leader, _, isr in view.values()))

    def wait_led(self, topic, leaders, partition=0):
        """Waits until one of these broker ids leads the partition; returns its id."""
        return self.wait_partitions(f"one of {sorted(leaders)} leads {topic}-{partition}", topic,
                                    lambda view: view[partition][0] in leaders)[partition][0]

    @contextlib.contextmanager
    def noticed(self, pattern):
        """What is changed in this block is known to every serving broker at its end: each has logged a line like this."""
        marks = {broker: len(broker.log()) for broker in self.serving}
        yield
        for broker, mark in marks.items():
            wait_for(f"broker {broker.id} logs '{pattern}'",
                     lambda b=broker, m=mark: re.search(pattern, b.log()[m:], re.M))

    def produce(self, topic, lines, *words, check=True):
        return self.tool("console-producer", "--bootstrap-server", self.bootstrap, "--topic", topic, *words,
                         stdin="".join(line + "\n" for line in lines), check=check)

    def consume(self, topic, *words, form="%v\\n", check=True):
        """Every record's value (or what `form` says), from the start to what was the end when it began: a slow broker is
        waited for, where the console consumer would take its silence for the end."""
        return self.verb("consume", topic, "-e", "-f", form, *words, check=check).out.splitlines()

    def offsets(self, topic, place="latest"):
        """partition -> offset; `place` as in get-offsets --time."""
        out = self.tool("get-offsets", "--bootstrap-server", self.bootstrap, "--topic", topic, "--time", place).out
        return {int(p): int(offset) for p, offset in re.findall(r":(\d+):(\d+)$", out, re.M)}


class Wire:
    """A bare connection that speaks frames; for requests that no well-behaved client sends."""

    def __init__(self, address, timeout=20):
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout=timeout)
        self.correlation = 0

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send_bytes(self, data):
        self.socket.sendall(data)

    def send(self, request):
        self.correlation += 1
        request.header.correlation_id = self.correlation
        request.header.protocol_version = 1
        data = request.SerializeToString()
        self.send_bytes(struct.pack(">I", len(data)) + data)

    def read_exactly(self, count):
        data = b""
        while len(data) < count:
            piece = self.socket.recv(count - len(data))
            if not piece:
                raise ConnectionError(f"closed after {len(data)} of {count} bytes")
            data += piece
        return data

    def receive(self):
        length, = struct.unpack(">I", self.read_exactly(4))
        return envelope_pb2.Response.FromString(self.read_exactly(length))

    def call(self, request):
        self.send(request)
        response = self.receive()
        assert response.header.correlation_id == self.correlation
        return response

    def read_to_end(self):
        """All bytes until the peer closes."""
        data = b""
        while True:
            try:
                piece = self.socket.recv(65536)
            except ConnectionResetError:
                return data
            if not piece:
                return data
            data += piece


def crc32c(data, crc=0):
    """CRC-32C, bit by bit by table; slow and independent of the broker's."""
    crc ^= 0xFFFFFFFF
    for byte in data:
        crc = _CRC_TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def _crc_table():
    table = []
    for value in range(256):
        for _ in range(8):
            value = (value >> 1) ^ 0x82F63B78 if value & 1 else value >> 1
        table.append(value)
    return table


_CRC_TABLE = _crc_table()


class ClusterTest(unittest.TestCase):
    """A test with a folder that is removed on success and kept, with the brokers' last lines shown, on failure."""

    def setUp(self):
        base = os.environ.get("TIDEMARK_TEST_DIR")
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix=f"tidemark-{self._testMethodName}-", dir=base))
        self.clusters = []
        self.finished = False
        leftovers.at_end(leftovers.TELL, self._interrupted)
        self.addCleanup(self._finish)

    def cluster(self, brokers=3, start=True, **overrides):
        cluster = Cluster(self.folder / f"cluster-{len(self.clusters)}", brokers, **overrides)
        self.clusters.append(cluster)
        return cluster.start() if start else cluster

    def _failed(self):
        outcome = self._outcome
        result = getattr(outcome, "result", None)
        if result is None:
            return False
        return any(test is self or getattr(test, "test_case", None) is self
                   for test, _ in itertools.chain(result.failures, result.errors)) or \
            any(error is not None for _, error in getattr(outcome, "errors", []) or [])

    def _finish(self):
        for cluster in self.clusters:
            cluster.stop()
        if self._failed():
            self._tell()
        else:
            shutil.rmtree(self.folder, ignore_errors=True)
        self.finished = True

    def _interrupted(self):
        if not self.finished:
            leftovers.say(f"--- interrupted: {self.id()}")
            self._tell()

    def _tell(self):
        for cluster in self.clusters:
            for broker in cluster.brokers:
                leftovers.say(f"--- last lines of broker {broker.id} ({broker.log_path})")
                leftovers.say("\n".join(broker.log().splitlines()[-40:]))
        leftovers.say(f"--- kept: {self.folder}")
