"""What operators see of real brokers: /restartz, the metrics that alert rules and dashboards name, Debian's Prometheus that
scrapes them, the service manager's notify socket and the systemd units."""
import json
import os
import pathlib
import re
import socket
import subprocess
import unittest
import urllib.parse
import urllib.request

from harness import BIN, PATIENCE, ROOT, ClusterTest, free_port, wait_for, without_repeats


def restartz(broker, query=""):
    status, body = broker.http("/restartz?format=json" + query)
    answer = json.loads(body)
    assert (status == 200) == answer["safe_to_stop"], (status, answer)
    return answer


class Restartz(ClusterTest):
    def test_a_rolling_restart_that_asks_first_keeps_every_partition_above_min_isr(self):
        cluster = self.cluster(3, replica__lag__time__max__ms=3000)
        cluster.create_topic("orders", 4, 3, min__insync__replicas=2)
        cluster.wait_isr("orders", [0, 1, 2])
        for broker in cluster.brokers:
            wait_for(f"broker {broker.id} may be stopped", lambda: broker.http("/restartz") == (200, "ok\n"))
            self.assertEqual(broker.terminate(), 0)
            others = [other for other in cluster.brokers if other is not broker]
            # Nobody else may go while this one is away, and each says why.
            for other in others:
                answer = wait_for(f"broker {other.id} may not be stopped, and names all four partitions",
                                  lambda: (said := restartz(other))["partitions_at_risk"] == 4 and said)
                self.assertFalse(answer["safe_to_stop"])
                self.assertEqual(answer["partitions"][0]["problem"], "below_min_isr")
                wait_for("it says so in words too",
                         lambda: "in sync would remain of 2 required" in other.http("/restartz")[1])
            cluster.produce("orders", [f"still taken without {broker.id}"])
            broker.start()
        cluster.wait_isr("orders", [0, 1, 2])
        # Leaderships move all the time: what was not acknowledged was sent again.
        wanted = [f"still taken without {broker.id}" for broker in cluster.brokers]
        self.assertEqual(sorted(without_repeats(cluster.consume("orders"), wanted)), wanted)

    def test_a_topic_of_one_replica_can_be_left_out_of_the_judgement(self):
        cluster = self.cluster(1)
        broker = cluster.brokers[0]
        cluster.create_topic("single", 2, 1)
        answer = wait_for("two partitions at risk",
                          lambda: (said := restartz(broker))["partitions_at_risk"] == 2 and said)
        self.assertTrue(all(p["unavoidable"] and p["problem"] == "only_replica" for p in answer["partitions"]))
        wait_for("without them it may be stopped", lambda: restartz(broker, "&ignore=unavoidable")["safe_to_stop"])
        cluster.zookeeper.kill()
        wait_for("ZooKeeper is missed", lambda: "ZooKeeper" in restartz(broker, "&ignore=unavoidable")["reasons"][0])


def names_in(text):
    """Names of metrics in rules and dashboards, without the suffixes of a histogram's series."""
    names = re.findall(r"\b((?:tidemark|process)_[a-z0-9_]+)", text)
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name in names}


def expressions(dashboard):
    return [(panel["title"], target["expr"]) for panel in dashboard["panels"] for target in panel.get("targets", [])]


class Metrics(ClusterTest):
    def setUp(self):
        super().setUp()
        self.dashboard = json.loads((ROOT / "deploy/grafana/tidemark.json").read_text())
        self.alerts = (ROOT / "deploy/prometheus/alerts.yml").read_text()

    def test_the_rules_are_sound_and_each_has_its_page(self):
        for words in (["check", "rules", ROOT / "deploy/prometheus/alerts.yml"],
                      ["check", "config", ROOT / "deploy/prometheus/prometheus.yml"],
                      ["test", "rules", pathlib.Path(__file__).parent / "alerts_test.yml"]):
            result = subprocess.run(["promtool", *map(str, words)], capture_output=True, text=True, timeout=PATIENCE)
            self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        operations = (ROOT / "docs/operations.md").read_text()
        names = re.findall(r"- alert: (\w+)", self.alerts)
        self.assertGreater(len(names), 20)
        for name in names:
            self.assertIn(f"\n#### {name}\n", operations)
            self.assertIn(f"runbook: docs/operations.md#{name.lower()}\n", self.alerts)
        headings = re.findall(r"^#### (Tidemark\w+)$", operations, re.M)
        self.assertEqual(sorted(headings), sorted(names), "a page for an alert that is no more")

    def test_the_dashboard_is_whole(self):
        panels = self.dashboard["panels"]
        self.assertEqual(len({panel["id"] for panel in panels}), len(panels))
        taken = set()
        for panel in panels:
            place = panel["gridPos"]
            self.assertLessEqual(place["x"] + place["w"], 24, panel["title"])
            cells = {(x, y) for x in range(place["x"], place["x"] + place["w"])
                     for y in range(place["y"], place["y"] + place["h"])}
            self.assertFalse(cells & taken, f"{panel['title']} overlaps another panel")
            taken |= cells
            if panel["type"] != "row":
                self.assertTrue(panel["description"] and panel["targets"], panel["title"])

    def test_prometheus_scrapes_live_brokers_and_every_name_is_there(self):
        cluster = self.cluster(2, offsets__topic__replication__factor=2, group__lag__interval__ms=500)
        cluster.create_topic("orders", 4, 2, min__insync__replicas=1)
        cluster.wait_isr("orders", [0, 1])
        cluster.produce("orders", [f"record {n}" for n in range(100)])
        cluster.tool("console-consumer", "--bootstrap-server", cluster.bootstrap, "--topic", "orders", "--from-beginning",
                     "--max-messages", 90, "--group", "readers")
        # What is left of the hundred, by the word of whoever coordinates.
        wait_for("the lag is told", lambda: sum(self.lags(broker) for broker in cluster.brokers) == 10)
        named = names_in(self.alerts) | names_in(json.dumps(self.dashboard))

        def told():
            """Each broker's page, when nothing is missing: some series are there only as of a last round."""
            answers = [broker.http("/metrics") for broker in cluster.brokers]
            self.assertEqual({status for status, _ in answers}, {200})
            missing = named - {name for _, text in answers for name in re.findall(r"^# TYPE (\S+) ", text, re.M)}
            self.assertEqual(sorted(missing), [], "named, but no broker tells them")
            return [text for _, text in answers]
        for text in wait_for("every name is told", told):
            lint = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True,
                                  timeout=PATIENCE)
            self.assertEqual((lint.returncode, lint.stdout + lint.stderr), (0, ""))
        self.ask_prometheus(cluster)

    def lags(self, broker):
        lines = re.findall(r'^tidemark_group_lag_records{(.*)} (\d+)$', broker.http("/metrics")[1], re.M)
        self.assertTrue(all('group="readers"' in labels and 'topic="orders"' in labels for labels, _ in lines), lines)
        return sum(int(value) for _, value in lines)

    def ask_prometheus(self, cluster):
        port = free_port()
        config = self.folder / "prometheus.yml"
        text = (ROOT / "deploy/prometheus/prometheus.yml").read_text()
        targets = json.dumps([broker.admin for broker in cluster.brokers])
        config.write_text(text.replace('["127.0.0.1:9644"]', targets).replace("15s", "1s")
                          .replace("alerts.yml", str(ROOT / "deploy/prometheus/alerts.yml")))
        self.assertIn(targets, config.read_text())
        with open(self.folder / "prometheus.log", "ab") as log:
            process = subprocess.Popen(["prometheus", f"--config.file={config}", f"--storage.tsdb.path={self.folder}/tsdb",
                                        f"--web.listen-address=127.0.0.1:{port}"],
                                       stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)

        def api(path, **query):
            url = f"http://127.0.0.1:{port}/api/v1/{path}?" + urllib.parse.urlencode(query)
            with urllib.request.urlopen(url, timeout=10) as answer:
                reply = json.load(answer)
            self.assertEqual(reply["status"], "success", reply)
            return reply["data"]

        def ask(expression):
            return api("query", query=expression)["result"]

        wait_for("both brokers are scraped", lambda: [s["value"][1] for s in ask('up{job="tidemark"}')] == ["1", "1"])
        wait_for("one controller is seen", lambda: ask("sum by (job) (tidemark_controller_active) == 1"))
        # Rates need two scrapes of each broker, so panels are waited for.
        for title, expression in expressions(self.dashboard):
            expression = (expression.replace("$job", "tidemark").replace("$instance", ".*")
                          .replace("$__rate_interval", "1m"))
            wait_for(f"panel '{title}' shows something: {expression}", lambda e=expression: ask(e))
        self.assertEqual(len([r for g in api("rules")["groups"] for r in g["rules"] if r["health"] != "err"]),
                         self.alerts.count("- alert: "))
        cluster.brokers[1].kill()

        def raised():
            return {alert["labels"]["alertname"] for alert in api("alerts")["alerts"]}
        wait_for("the death of a broker is noticed", lambda: "TidemarkBrokerDown" in raised())
        wait_for("its partitions are noticed", lambda: "TidemarkUnderReplicated" in raised())


class Service(ClusterTest):
    """systemd's side of the notify socket."""

    def listen(self, name):
        manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        manager.bind("\0" + name[1:] if name.startswith("@") else name)
        manager.settimeout(PATIENCE)
        self.addCleanup(manager.close)
        return manager

    def messages(self, manager, wanted, about=""):
        """Reads until a message has the wanted assignment; all read, as lists of assignments."""
        seen = []

        def found():
            seen.append(manager.recv(4096).decode().split("\n"))
            return any(line.startswith(wanted) and about in line for line in seen[-1])
        wait_for(f"the manager is told {wanted}", found)
        return seen

    def run_under(self, name, watchdog=None):
        cluster = self.cluster(1, start=False)
        manager = self.listen(name)
        broker = cluster.brokers[0]
        os.environ["NOTIFY_SOCKET"] = name
        if watchdog is not None:
            os.environ["WATCHDOG_USEC"] = str(watchdog)
        try:
            broker.spawn()
        finally:
            os.environ.pop("NOTIFY_SOCKET")
            os.environ.pop("WATCHDOG_USEC", None)
        return cluster, broker, manager

    def test_a_start_says_what_it_waits_for_then_ready_then_stopping(self):
        name = f"@tidemark-test-{os.getpid()}"
        cluster, broker, manager = self.run_under(name, watchdog=2_000_000)
        # There is no ZooKeeper yet: the manager is told, asked for more time, and not told READY.
        before = self.messages(manager, "WATCHDOG=1")
        before += self.messages(manager, "EXTEND_TIMEOUT_USEC=")
        self.assertTrue(any(line.startswith("STATUS=starting: ") for message in before for line in message), before)
        self.assertFalse(any("READY=1" in message for message in before), before)
        cluster.zookeeper.start()
        ready = self.messages(manager, "READY=1")[-1]
        self.assertTrue(any(line.startswith("STATUS=") for line in ready), ready)
        broker.wait_ready()
        for _ in range(2):
            self.assertNotIn("STOPPING=1", self.messages(manager, "WATCHDOG=1")[-1])
        cluster.zookeeper.kill()
        self.messages(manager, "STATUS=not ready", about="ZooKeeper")
        broker.process.terminate()
        self.assertIn("STATUS=stopping: moving leaderships, closing logs", self.messages(manager, "STOPPING=1")[-1])
        self.assertEqual(broker.process.wait(timeout=PATIENCE), 0)
        broker.process = None

    def test_a_broker_that_cannot_go_on_says_why(self):
        name = str(self.folder / "notify")
        cluster, broker, manager = self.run_under(name)
        cluster.zookeeper.start()
        self.messages(manager, "READY=1")
        broker.wait_ready()
        broker.terminate()
        (broker.data / "meta.properties").write_text("version=0\nbroker.id=0\ncluster.id=x\n")  # as Kafka's
        os.environ["NOTIFY_SOCKET"] = name
        try:
            broker.spawn()
        finally:
            os.environ.pop("NOTIFY_SOCKET")
        self.assertNotEqual(broker.process.wait(timeout=PATIENCE), 0)
        broker.process = None
        self.messages(manager, "STATUS=stopping: moving")  # of the first life
        last = self.messages(manager, "STOPPING=1")[-1]
        self.assertTrue(any("meta.properties" in line or "Kafka" in line for line in last), last)

    def test_the_units_are_sound_and_sandboxed(self):
        for unit in sorted((ROOT / "deploy/systemd").glob("*.service")):
            copy = self.folder / unit.name
            text = unit.read_text().replace("/usr/bin/tidemark-server-start", str(BIN / "tidemark-server-start"))
            copy.write_text(text)
            verify = subprocess.run(["systemd-analyze", "verify", "--man=no", str(copy)], capture_output=True,
                                    text=True, timeout=PATIENCE)
            said = [line for line in (verify.stdout + verify.stderr).splitlines() if unit.name in line]
            self.assertEqual((verify.returncode, said), (0, []))
            security = subprocess.run(["systemd-analyze", "security", "--offline=yes", "--threshold=25", str(copy)],
                                      capture_output=True, text=True, timeout=PATIENCE)
            self.assertEqual(security.returncode, 0, security.stdout[-500:] + security.stderr)


if __name__ == "__main__":
    unittest.main()
