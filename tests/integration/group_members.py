"""Console consumers as members of a group, what each of them printed, and producers that feed every partition."""
import collections
import random
import signal
import subprocess

from harness import BIN, PATIENCE, Wire, wait_for
from load import Load

Record = collections.namedtuple("Record", "partition offset value")


class ConsoleMember:
    """A tidemark-console-consumer --group of its own process. Its session is short only where it is to be found dead."""

    def __init__(self, cluster, group, topic, number, *words, session_ms=45000):
        self.number, self.name = number, f"member-{number}"
        self.path = cluster.folder / f"{group}-{self.name}.out"
        self.out = open(self.path, "wb")  # closed by end()
        self.err = open(self.path.with_suffix(".err"), "wb")
        self.process = subprocess.Popen(
            [str(BIN / "tidemark-console-consumer"), "--bootstrap-server", cluster.bootstrap, "--topic", topic,
             "--group", group, "--from-beginning", "--consumer-property", f"client.id={self.name}",
             "--consumer-property", f"session.timeout.ms={session_ms}", "--consumer-property", "auto.commit.interval.ms=500",
             "--property", "print.partition=true", "--property", "print.offset=true", *words],
            stdin=subprocess.DEVNULL, stdout=self.out, stderr=self.err)

    def records(self):
        """All that it has printed, in order; a line that is being written is left out."""
        text = self.path.read_text()
        out = []
        for line in text[:text.rfind("\n") + 1].splitlines():
            partition, offset, value = line.split("\t")
            out.append(Record(int(partition.removeprefix("Partition:")), int(offset.removeprefix("Offset:")), value))
        return out

    def said(self):
        return self.path.with_suffix(".err").read_text()

    def kill(self):
        self.process.kill()
        self.process.wait()

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def leave(self, patience=PATIENCE):
        """Ctrl-C: it commits what it printed and leaves. Its exit status."""
        self.process.terminate()
        return self.process.wait(timeout=patience)

    def end(self):
        if self.process.poll() is None:
            self.resume()
            self.kill()
        self.out.close()
        self.err.close()


class SpreadLoad(Load):
    """Producers that go from partition to partition."""

    RECORDS = 4

    def _produce(self, number):
        sent = 0
        while not self.stopping.is_set():
            try:
                topic_id, leaders = self._leaders()
                for partition, address in random.sample(sorted(leaders.items()), len(leaders)):
                    if self.stopping.is_set():
                        return
                    values = [f"{number}-{sent + n}" for n in range(self.RECORDS)]
                    sent += self.RECORDS
                    with Wire(address, timeout=5) as connection:
                        if self._send(connection, topic_id, partition, values):
                            self.acknowledged.extend(values)
                    self.stopping.wait(0.002)
            except (OSError, AssertionError, IndexError):
                self.stopping.wait(0.05)  # the broker has gone; ask again


def owners(described):
    """partition -> client id, of a described group."""
    return {p: member.client_id for member in described.members for t in member.assignment.topics for p in t.partitions}


def even(described, partitions, names):
    """The owners, when the members are exactly these, every partition has one, and shares differ by one at most."""
    held = owners(described)
    shares = collections.Counter(held.values())
    whole = (len(held) == partitions and sorted(m.client_id for m in described.members) == sorted(names)
             and len(shares) == min(len(names), partitions))
    return held if whole and max(shares.values()) - min(shares.values()) <= 1 else None


def wait_even(client, partitions, members):
    """By name: a group that has lost one member and not yet noticed has as many as one that got another instead."""
    names = [member.name for member in members]
    return wait_for(f"{names} share {partitions} partitions evenly",
                    lambda: even(client.describe(), partitions, names))
