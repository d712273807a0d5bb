"""Configs of brokers and quotas of clients, changed while real brokers run, by the tools."""
import json
import subprocess
import time
import unittest

from harness import BIN, PATIENCE, ClusterTest, wait_for


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
                                 f"client.id={client}", "batch.size=10000", patience=5 * PATIENCE).out

    def set_quota(self, *words, status=0):
        """What the tool says; every broker keeps to the quota when this returns."""
        with self.brokers.noticed("quotas changed: "):
            return self.configs("--alter", *words, status=status)

    def test_quotas(self):
        self.brokers = self.cluster(1)
        self.brokers.create_topic("orders", 1, 1)
        done = self.set_quota("--client", "slow one", "--add-config", "producer_byte_rate=100000")
        self.assertEqual(done.out, "Completed updating config for client slow one.\n")
        self.assertEqual(self.configs("--describe", "--entity-type", "clients").out,
                         "Quota configs for client-id 'slow one' are producer_byte_rate=100000\n")
        self.produce("free", 2000)
        self.assertEqual(self.throttled("produce"), 0, "it has no quota")
        begun = time.monotonic()
        self.assertIn("ms throttled by a quota", self.produce("slow one", 1300))
        # 1.3 MB at 0.1 MB/s, of which the first ten seconds' worth is free: it cannot have been faster.
        self.assertGreater(time.monotonic() - begun, 2.9)
        self.assertGreater(self.throttled("produce"), 0)
        told = self.value('tidemark_throttle_seconds_total{quota="produce"}')
        self.assertGreater(told, 0)
        self.produce("free", 2000)
        self.assertEqual(self.value('tidemark_throttle_seconds_total{quota="produce"}'), told, "nobody else is delayed")
        # The change takes effect without a restart.
        self.set_quota("--client", "slow one", "--delete-config", "producer_byte_rate")
        self.assertIn("quotas changed: 0 client ids", self.brokers.brokers[0].log())
        self.produce("slow one", 2000)
        self.assertEqual(self.value('tidemark_throttle_seconds_total{quota="produce"}'), told)
        user = self.configs("--alter", "--user", "alice", "--add-config", "consumer_byte_rate=1000")
        self.assertIn("nobody authenticates", user.err)
        self.assertEqual(self.configs("--describe", "--user", "alice").out,
                         "Quota configs for user-principal 'alice' are consumer_byte_rate=1000\n")
        self.configs("--alter", "--client-defaults", "--add-config", "request_percentage=50")
        self.assertEqual(self.configs("--describe", "--client-defaults").out,
                         "Quota configs for the default client-id are request_percentage=50\n")

    def consume_as(self, client, records, *words):
        return self.brokers.tool("console-consumer", "--bootstrap-server", self.brokers.bootstrap, "--topic", "orders",
                                 "--from-beginning", "--max-messages", records, "--consumer-property", f"client.id={client}",
                                 *words, patience=5 * PATIENCE).out.splitlines()

    def value(self, name, broker=0):
        _, text = self.brokers.brokers[broker].http("/metrics")
        return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith((name, name + "{")))

    def throttled(self, quota, broker=0):
        return self.value(f'tidemark_throttled_requests_total{{quota="{quota}"}}', broker)

    def test_verbs_and_formats(self):
        self.brokers = self.cluster(1)
        self.brokers.create_topic("orders", 1, 1)

        def verb(*words, status=0):
            result = subprocess.run([str(BIN / "tidemark"), "config", *words, "-b", self.brokers.bootstrap],
                                    capture_output=True, text=True, timeout=2 * PATIENCE, check=False)
            self.assertEqual(result.returncode, status, f"{words}\n{result.stdout}{result.stderr}")
            return result
        set_one, = json.loads(verb("set", "brokers", "log.retention.ms=600000", "-o", "json").stdout)
        self.assertEqual((set_one["name"], set_one["after"]), ("log.retention.ms", "600000"))
        verb("set", "broker/0", "log.retention.ms=700000")
        got, = json.loads(verb("get", "topic/orders", "retention.ms", "-o", "json").stdout)
        self.assertEqual((got["value"], got["source"]), ("700000", "broker"))
        self.assertEqual(got["synonyms"][:2], ["broker:log.retention.ms=700000", "brokers:log.retention.ms=600000"])
        unset, = json.loads(verb("unset", "broker/0", "log.retention.ms", "-o", "json").stdout)
        self.assertEqual((unset["before"], unset["after"]), ("700000", "600000"))
        diff = json.loads(verb("diff", "broker/0", "-o", "json").stdout)
        self.assertIn({"name": "log.retention.ms", "broker/0": "600000", "default": ""}, diff)
        verb("set", "client/batch load", "producer_byte_rate=1000")
        verb("set", "clients", "consumer_byte_rate=2000")
        quotas = {row["name"]: (row["value"], row["source"]) for row in json.loads(verb("get", "client/batch load", "-o", "json").stdout)}
        self.assertEqual(quotas, {"producer_byte_rate": ("1000", "client"), "consumer_byte_rate": ("2000", "clients")})
        verb("unset", "client/batch load", "producer_byte_rate")
        self.assertEqual(json.loads(verb("get", "client/batch load", "producer_byte_rate", "-o", "json").stdout)[0]["value"], None)
        self.assertIn("did you mean", verb("get", "brokes", status=2).stderr)
        self.assertIn("did you mean retention.ms", verb("get", "topic/orders", "retention.mss", status=4).stderr)
        self.assertIn("not live", verb("get", "broker/7").stderr)
        rows = json.loads(self.configs("--describe", "--entity-type", "clients", "-o", "json").out)
        self.assertEqual([(row["kind"], row["entity"], row["name"], row["value"], row["source"]) for row in rows],
                         [("client", None, "consumer_byte_rate", "2000", "DYNAMIC_DEFAULT_CLIENT_CONFIG")])
        table = self.configs("--describe", "--broker-defaults", "-o", "csv").out.splitlines()
        self.assertEqual(table[0], "kind,entity,name,value,source,default,read_only,synonyms,client,not_in_force")
        self.assertTrue(table[1].startswith("broker,,log.retention.ms,600000,DYNAMIC_DEFAULT_BROKER_CONFIG"), table)

    def test_fetch_quota_of_a_group(self):
        self.brokers = self.cluster(1, offsets__topic__replication__factor=1, group__initial__rebalance__delay__ms=0,
                                    group__consumer__heartbeat__interval__ms=500)
        self.brokers.create_topic("orders", 1, 1)
        self.produce("free", 6000)
        self.set_quota("--client", "reader", "--add-config", "consumer_byte_rate=200000")
        begun = time.monotonic()
        self.assertEqual(len(self.consume_as("other", 6000)), 6000)
        self.assertEqual(self.throttled("fetch"), 0, "it has no quota")
        begun = time.monotonic()
        lines = self.consume_as("reader", 6000, "--group", "readers", "--consumer-property", "session.timeout.ms=9000")
        self.assertEqual(len(lines), 6000)
        # 6 MB in answers of no more than 2 MB, each ten seconds' worth: the first is free, the last is not waited out.
        self.assertGreater(time.monotonic() - begun, 3)
        self.assertGreater(self.throttled("fetch"), 0)
        # Its heartbeats came through while a fetch was held for ten seconds: nobody took it for dead.
        self.assertEqual(self.value("tidemark_group_fenced_members_total"), 0)
        self.assertGreater(self.value("tidemark_group_heartbeats_total"), 1)

    def test_request_quota(self):
        self.brokers = self.cluster(1)
        self.brokers.create_topic("orders", 1, 1)
        # A microsecond is free.
        self.set_quota("--client", "busy", "--add-config", "request_percentage=0.00001")
        self.produce("free", 200)
        self.assertEqual(self.throttled("request"), 0, "it has no quota")
        self.assertIn("ms throttled by a quota", self.produce("busy", 50), "the client is told")
        throttled = self.throttled("request")
        self.assertGreater(throttled, 0)
        self.produce("free", 200)
        self.assertEqual(self.throttled("request"), throttled, "nobody else is delayed")

    def test_followers_have_no_quota(self):
        self.brokers = self.cluster(2)
        self.brokers.create_topic("orders", 1, 2)
        self.brokers.wait_isr("orders", [0, 1])
        # Of all client ids, the brokers' own among them.
        self.set_quota("--client-defaults", "--add-config", "consumer_byte_rate=1000,request_percentage=0.01")
        self.set_quota("--client", "free", "--add-config", "request_percentage=100000,consumer_byte_rate=1000000000")
        self.produce("free", 2000)
        self.assertEqual(self.brokers.describe("orders")[0][2], [0, 1], "the follower followed")
        for broker in (0, 1):
            self.assertEqual(self.throttled("fetch", broker), 0, f"by broker {broker}")


if __name__ == "__main__":
    unittest.main()
