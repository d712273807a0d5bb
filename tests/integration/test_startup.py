"""How a broker starts, refuses to start, and comes back: configs, directories, ports, ids, ZooKeeper."""
import os
import re
import socket
import subprocess
import unittest

from harness import BIN, PATIENCE, Broker, Cluster, ClusterTest, free_port, wait_for

STOCK = """# Kafka's stock server.properties
broker.id=0
num.network.threads=3
num.io.threads=8
socket.send.buffer.bytes=102400
socket.receive.buffer.bytes=102400
socket.request.max.bytes=104857600
log.dirs=/tmp/kafka-logs
num.partitions=1
num.recovery.threads.per.data.dir=1
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
log.retention.hours=168
#log.retention.bytes=1073741824
#log.segment.bytes=1073741824
log.retention.check.interval.ms=300000
zookeeper.connect=localhost:2181
zookeeper.connection.timeout.ms=18000
group.initial.rebalance.delay.ms=0
"""


class Startup(ClusterTest):
    def refused(self, broker, *words, patience=2 * PATIENCE, status=1):
        """Status 2 is for a configuration that the next start finds as wrong: systemd does not try again."""
        broker.spawn()
        ended = broker.process.wait(timeout=patience)
        broker.process = None
        self.assertEqual(ended, status)
        log = broker.log()[broker.mark:]
        for word in words:
            self.assertIn(word, log)
        return log

    def test_configs(self):
        cluster = self.cluster(1, start=False)
        broker = cluster.brokers[0]
        broker.overrides = {"log.retention.hors": 5}
        self.refused(broker, "log.retention.hors", "log.retention.hours", status=2)
        broker.overrides = {"num.partitions": "many"}
        self.refused(broker, "num.partitions", "many", status=2)
        broker.overrides = {"log.dirs": None}
        self.refused(broker, "log.dirs", status=2)
        result = subprocess.run([str(BIN / "tidemark-server-start"), "--zookeeper", "localhost:2181"],
                                capture_output=True, text=True, check=False, timeout=PATIENCE)
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("tidemark-server-stop", result.stderr)
        for words, named in ((["--no-such-flag"], "unknown flag --no-such-flag"), (["--minloglevl=1"], "--minloglevel"),
                             (["-deamon", "server.properties"], "--daemon"), (["--minloglevel=high"], "'high'")):
            result = subprocess.run([str(BIN / "tidemark-server-start"), *words], capture_output=True, text=True,
                                    check=False, timeout=PATIENCE)
            self.assertEqual((result.returncode, result.stderr.count("\n")), (2, 1), result.stderr)
            self.assertIn(named, result.stderr)
        result = subprocess.run([str(BIN / "tidemark-server-start"), "--help"], capture_output=True, text=True,
                                check=False, timeout=PATIENCE)
        self.assertEqual(result.returncode, 0)

    def test_kafkas_stock_properties_start_a_broker(self):
        cluster = self.cluster(1, start=False)
        cluster.zookeeper.start()
        broker = cluster.brokers[0]
        broker.folder.mkdir(parents=True)
        path = broker.folder / "server.properties"
        path.write_text(STOCK)
        overrides = {"log.dirs": broker.data, "listeners": f"PLAINTEXT://127.0.0.1:{broker.port}",
                     "zookeeper.connect": cluster.zookeeper.connect}
        broker.mark = 0
        words = [word for name, value in overrides.items() for word in ("--override", f"{name}={value}")]
        with open(broker.log_path, "ab") as log:
            broker.process = subprocess.Popen([str(BIN / "tidemark-server-start"), str(path), *words],
                                              stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        broker.wait_ready()
        self.assertEqual(broker.terminate(), 0)

    def test_directories_ids_and_ports(self):
        cluster = self.cluster(1)
        first = cluster.brokers[0]
        # The same directory while the first one runs: locked; names the pid.
        twin = Broker(cluster, 0, {"log.dirs": first.data})
        twin.folder = cluster.folder / "twin"
        self.refused(twin, str(first.process.pid))
        # The same port.
        clash = Broker(cluster, 5, {"listeners": f"PLAINTEXT://{first.address}"})
        self.refused(clash, str(first.port))
        # The same id from another directory: an error that names the one who has it.
        rival = Broker(cluster, 0, {})
        rival.folder = cluster.folder / "rival"
        rival.data = rival.folder / "data"
        self.refused(rival, f"127.0.0.1:{first.port}")
        self.assertEqual(first.terminate(), 0)
        # Its directory under another id.
        first.overrides["broker.id"] = 9
        self.refused(first, "9", "0", status=2)
        del first.overrides["broker.id"]
        # Its directory in another cluster.
        other = self.cluster(1)
        stranger = Broker(other, 0, {"log.dirs": first.data})
        stranger.folder = other.folder / "stranger"
        other.brokers[0].terminate()
        self.refused(stranger, "cluster", status=2)
        # Its directory twice, the second time by another name.
        alias = cluster.folder / "alias"
        alias.symlink_to(first.data)
        first.overrides["log.dirs"] = f"{first.data},{alias}"
        self.refused(first, "are the same", str(first.data), str(alias), status=2)
        del first.overrides["log.dirs"]
        # A directory that holds Kafka's data.
        kafka = cluster.folder / "kafka"
        (kafka / "topic-0").mkdir(parents=True)
        (kafka / "meta.properties").write_text("version=0\nbroker.id=0\ncluster.id=abcdefghijklmnopqrstuv\n")
        (kafka / "topic-0" / "00000000000000000000.log").write_bytes(b"\0" * 100)
        first.overrides["log.dirs"] = kafka
        self.refused(first, "Kafka", status=2)

    def test_killed_broker_registers_again_at_once(self):
        # Only the closing of its old session lets it in within this test's patience.
        cluster = self.cluster(1, zookeeper__session__timeout__ms=int(PATIENCE * 10000))
        cluster.create_topic("kept", 1, 1)
        cluster.produce("kept", ["before"])
        broker = cluster.brokers[0]
        for _ in range(3):
            broker.kill()
            broker.start()
            self.assertEqual(cluster.consume("kept"), ["before"])

    def test_generated_broker_id_is_kept(self):
        cluster = self.cluster(1, start=False)
        cluster.zookeeper.start()
        broker = cluster.brokers[0]
        broker.overrides["broker.id"] = -1
        broker.start()
        number = int(broker.ready_line()[1])
        self.assertGreater(number, 1000)
        self.assertEqual(broker.terminate(), 0)
        broker.start()
        self.assertEqual(int(broker.ready_line()[1]), number)

    def test_zookeeper_unreachable_at_start(self):
        cluster = self.cluster(1, start=False)
        broker = cluster.brokers[0]
        broker.spawn()
        wait_for("it says whom it cannot reach", lambda: re.search(
            rf"ZooKeeper.*{re.escape(cluster.zookeeper.connect)}", broker.log()))
        self.assertIsNone(broker.process.poll())
        cluster.zookeeper.start()
        broker.wait_ready()
        self.assertEqual(broker.terminate(), 0)
        cluster.zookeeper.kill()
        broker.overrides["zookeeper.connection.timeout.ms"] = 2000
        self.refused(broker, "zookeeper.connection.timeout.ms")

    def test_zookeeper_silent_at_start(self):
        # It takes the connection and says nothing, as one that stands still does.
        with socket.create_server(("127.0.0.1", 0)) as silent:
            address = f"127.0.0.1:{silent.getsockname()[1]}"
            cluster = self.cluster(1, start=False)
            broker = cluster.brokers[0]
            broker.overrides["zookeeper.connect"] = address
            broker.spawn()
            wait_for("it says whom it waits for", lambda: re.search(
                rf"no answer from ZooKeeper at {re.escape(address)} so far; waiting until it answers", broker.log()))
            self.assertIsNone(broker.process.poll())
            self.assertEqual(broker.terminate(), 0)

    def test_sigterm_ends_a_broker_whose_zookeeper_is_gone(self):
        cluster = self.cluster(2)
        cluster.create_topic("topic", 2, 2)
        cluster.zookeeper.kill()
        for broker in cluster.brokers:
            self.assertEqual(broker.terminate(), 0)

    def test_server_stop(self):
        cluster = self.cluster(1)
        broker = cluster.brokers[0]
        cluster.tool("server-stop", broker.folder / "server.properties")
        self.assertEqual(broker.process.wait(timeout=PATIENCE), 0)
        broker.process = None

    def test_idle_broker_is_small_and_healthy(self):
        cluster = self.cluster(1)
        broker = cluster.brokers[0]
        self.assertEqual(broker.http("/livez")[0], 200)
        wait_for("ready", lambda: broker.http("/readyz")[0] == 200)
        status, metrics = broker.http("/metrics")
        self.assertEqual(status, 200)
        self.assertIn("# TYPE tidemark_", metrics)
        rss_kb = int(re.search(r"VmRSS:\s+(\d+)", open(f"/proc/{broker.process.pid}/status").read())[1])
        if "release" in str(BIN):
            self.assertLess(rss_kb, 30 * 1024)


if __name__ == "__main__":
    unittest.main()
