"""Configs of brokers and quotas of clients, changed while real brokers run, by the tools."""
import time
import unittest

from harness import ClusterTest, wait_for


class DynamicConfigs(ClusterTest):
    def configs(self, *words, status=0):
        result = self.brokers.tool("configs", "--bootstrap-server", self.brokers.bootstrap, *words, check=False)
        self.assertEqual(result.returncode, status, f"{words}\n{result.out}{result.err}")
        return result

    def test_broker_configs(self):
        self.brokers = self.cluster(2)
        self.brokers.create_topic("orders", 1, 2)
        alter = self.configs("--alter", "--entity-type", "brokers", "--entity-default", "--add-config",
                             "log.retention.ms=600000,min.insync.replicas=3")
        self.assertEqual(alter.out, "Completed updating default config for brokers in the cluster.\n")
        self.assertIn("warning: min.insync.replicas=3 is above the number of live brokers, 2", alter.err)
        self.assertEqual(self.configs("--alter", "--broker", "1", "--add-config", "log.retention.ms=700000").out,
                         "Completed updating config for broker 1.\n")
        for broker, value in (("0", "600000"), ("1", "700000")):
            out = self.configs("--describe", "--broker", broker, "--all").out
            self.assertIn(f"All configs for broker {broker} are:\n", out)
            self.assertIn(f"  log.retention.ms={value} sensitive=false synonyms={{", out)
            self.assertIn("STATIC_BROKER_CONFIG:zookeeper.connect=", out)
        self.assertEqual(self.configs("--describe", "--broker", "1").out,
                         "Dynamic configs for broker 1 are:\n"
                         "  log.retention.ms=700000 sensitive=false synonyms={DYNAMIC_BROKER_CONFIG:log.retention.ms=700000, "
                         "DYNAMIC_DEFAULT_BROKER_CONFIG:log.retention.ms=600000, DEFAULT_CONFIG:log.retention.ms=}\n")
        self.assertIn("Default configs for brokers in the cluster are:\n  log.retention.ms=600000",
                      self.configs("--describe", "--broker-defaults").out)
        every = self.configs("--describe", "--entity-type", "brokers").out
        self.assertEqual([line for line in every.splitlines() if line.endswith("are:")],
                         ["Dynamic configs for broker 0 are:", "Dynamic configs for broker 1 are:",
                          "Default configs for brokers in the cluster are:"])
        topic = self.configs("--describe", "--topic", "orders", "--all").out
        self.assertRegex(topic, r"  retention\.ms=[67]00000 .*DYNAMIC_DEFAULT_BROKER_CONFIG:log\.retention\.ms=600000")
        refused = self.configs("--alter", "--broker-defaults", "--add-config", "log.retention.hours=1", status=1)
        self.assertIn("set log.retention.ms", refused.err)
        (self.folder / "more.properties").write_text("# for all\nnum.partitions=4\n")
        self.configs("--alter", "--broker-defaults", "--add-config-file", str(self.folder / "more.properties"),
                     "--delete-config", "log.retention.ms,min.insync.replicas")
        wait_for("new topics get four partitions", lambda: self.four_partitions())

    def four_partitions(self):
        self.tries = getattr(self, "tries", 0) + 1
        name = f"try{self.tries}"
        where = ["--bootstrap-server", self.brokers.bootstrap, "--topic", name]
        self.brokers.tool("topics", "--create", *where)
        return "PartitionCount: 4" in self.brokers.tool("topics", "--describe", *where).out

    def produce(self, client, records):
        """A run of records of a kilobyte; what the tool says of it."""
        return self.brokers.tool("producer-perf-test", "--topic", "orders", "--num-records", records, "--record-size", 1000,
                                 "--throughput", -1, "--producer-props", f"bootstrap.servers={self.brokers.bootstrap}",
                                 f"client.id={client}", "batch.size=10000", patience=300).out

    def metric(self, name, quota):
        _, text = self.brokers.brokers[0].http("/metrics")
        for line in text.splitlines():
            if line.startswith(f'{name}{{quota="{quota}"}}'):
                return float(line.split()[-1])
        return 0.0

    def test_quotas(self):
        self.brokers = self.cluster(1)
        self.brokers.create_topic("orders", 1, 1)
        done = self.configs("--alter", "--client", "slow one", "--add-config", "producer_byte_rate=100000")
        self.assertEqual(done.out, "Completed updating config for client slow one.\n")
        self.assertEqual(self.configs("--describe", "--entity-type", "clients").out,
                         "Quota configs for client-id 'slow one' are producer_byte_rate=100000\n")
        self.produce("free", 2000)
        self.assertEqual(self.metric("tidemark_throttled_requests_total", "produce"), 0, "it has no quota")
        begun = time.monotonic()
        self.assertIn("ms throttled by a quota", self.produce("slow one", 1300))
        # 1.3 MB at 0.1 MB/s, of which the first ten seconds' worth is free: it cannot have been faster.
        self.assertGreater(time.monotonic() - begun, 2.9)
        self.assertGreater(self.metric("tidemark_throttled_requests_total", "produce"), 0)
        told = self.metric("tidemark_throttle_seconds_total", "produce")
        self.assertGreater(told, 0)
        self.produce("free", 2000)
        self.assertEqual(self.metric("tidemark_throttle_seconds_total", "produce"), told, "nobody else is delayed")
        # The change takes effect without a restart.
        self.configs("--alter", "--client", "slow one", "--delete-config", "producer_byte_rate")
        wait_for("the quota is gone", lambda: "quotas changed: 0 client ids" in self.brokers.brokers[0].log())
        self.produce("slow one", 2000)
        self.assertEqual(self.metric("tidemark_throttle_seconds_total", "produce"), told)
        user = self.configs("--alter", "--user", "alice", "--add-config", "consumer_byte_rate=1000")
        self.assertIn("nobody authenticates", user.err)
        self.assertEqual(self.configs("--describe", "--user", "alice").out,
                         "Quota configs for user-principal 'alice' are consumer_byte_rate=1000\n")
        self.configs("--alter", "--client-defaults", "--add-config", "request_percentage=50")
        self.assertEqual(self.configs("--describe", "--client-defaults").out,
                         "Quota configs for the default client-id are request_percentage=50\n")


if __name__ == "__main__":
    unittest.main()
