// docs/configuration.md is made from the config tables; TIDEMARK_UPDATE=1 writes it anew.
#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <span>
#include <sstream>

#include "client/options_table.h"
#include "common/config/broker_config.h"
#include "common/config/quota_configs.h"
#include "common/config/topic_configs.h"

namespace tidemark {
namespace {

const char kPath[] = TIDEMARK_SOURCE_DIR "/docs/configuration.md";

constexpr char kHead[] = R"(# Configuration

A broker reads one properties file in Kafka's syntax (`tidemark-server-start server.properties`); `--override name=value`
comes after it. Names and meanings are Kafka's, so Kafka's own files start a broker. An unknown or ill-typed name stops the
start with the nearest name. Names marked *no effect yet* are known and taken, and the broker says once that they do nothing.
Topic configs are set at creation (`tidemark-topics --config`) or later (`tidemark-configs --alter`), and take effect
without a restart; what a topic does not set comes from the broker's config of the same meaning.

Broker configs marked *cluster-wide* below can be changed without a restart, for all brokers (`tidemark-configs
--broker-defaults`) or for one (`--broker ID`); those marked *per-broker* for one, those marked *all alike* for all. The strongest of these counts: the topic's
own value, `/config/brokers/<id>`, `/config/brokers/<default>`, the properties file, the default in this page;
`tidemark-configs --describe --all` shows each value with its source. Of names with one meaning (`log.retention.ms`,
`.minutes`, `.hours`) the one that counts first is the one to change.
Kafka changes more of them so: its counts of threads (there are shards here, one per core), listeners and TLS stores. A
value that is empty is refused: what is to be taken back is removed.

What clients take (`--producer-property`, `--consumer-property`, `--command-config`, the C++ library) is at the end of this page.

This page is made from the tables in `common/config` and `client/options_table.cc`; a test fails when it is stale.

## Where defaults differ from Kafka's

| config | here | Kafka | why |
|---|---|---|---|
| `auto.create.topics.enable` | false | true | a typo should not become a topic with one replica |
| `default.replication.factor` | min(3, live brokers) | 1 | one lost disk should lose nothing |
| `min.insync.replicas` | 2, at most the replica count | 1 | an acknowledged record should be on two disks |
| `ack.durability` | synced | (replicated) | acknowledged means on disk, so that a power cut everywhere loses nothing |
| `socket.request.max.bytes` | 16 MiB | 100 MiB | memory is bounded by what one frame may take |
| `group.initial.rebalance.delay.ms` | 0 | 3000 | members that join later move only what balance requires, so nobody need wait for them |
| `log.dirs` | must be set | /tmp/kafka-logs | data does not belong into /tmp |

)";

constexpr char kQuotas[] = R"(
## Quotas of clients and users

Set by `tidemark-configs --client ID`, `--client-defaults`, `--user NAME` or `--user-defaults`, in `/config/clients` and
`/config/users`; each quota of a client id that is not set for itself comes from the default of all. A quota holds on each
broker, for all connections of the client id together. What it lets through in `quota.window.num` - 1 times
`quota.window.size.seconds` may be used at once.
Quotas of users are stored and described; they hold for nobody until there is authentication.

)";

constexpr char kClients[] = R"(
## Settings of clients

A producer takes those of all clients and of producers: `--producer-property NAME=VALUE` and `--producer.config FILE` of
`tidemark-console-producer`, `--property` and `--producer.config` of `tidemark produce`, `--producer-props` and
`--producer.config` of `tidemark-producer-perf-test`, `ProducerOptions::FromProperties` of the C++ library. A consumer takes those of all clients and of consumers:
`--consumer-property` and `--consumer.config` of `tidemark-console-consumer`, `--property` and `--consumer.config` of
`tidemark consume`, `--consumer-property` and `--consumer.config` of `tidemark-consumer-perf-test`, `ConsumerOptions::FromProperties`. All tools take
`--command-config FILE`, of which the settings of all clients count. An unknown name is an error that names the
nearest one, a value of the wrong type or out of bounds one that names the bounds.
Settings marked *no effect* are known and taken; where somebody sets one to something else than its default the tools
say so on stderr (classes of serializers excepted: keys and values are bytes).

The console producer sets `linger.ms=5` and `batch.size=65536` where it is not told otherwise.

### Where clients' defaults differ from Kafka's

| setting | here | Kafka | why |
|---|---|---|---|
)";

std::string DifferencesOfClients() {
  std::string text;
  for (const ClientDifference& difference : ClientDifferences()) {
    const ConfigDef* def = ProducerConfigTable().Find(difference.name);
    if (def == nullptr) def = ConsumerConfigTable().Find(difference.name);
    if (def == nullptr) {
      ADD_FAILURE() << difference.name << " is no setting";
      continue;
    }
    EXPECT_NE(def->default_value, difference.kafka) << difference.name << " does not differ any more";
    const auto told = [](std::string_view value) { return value.empty() ? "(none)" : std::string(value); };
    text += fmt::format("| `{}` | {} | {} | {} |\n", difference.name, told(def->default_value),
                        told(difference.kafka), difference.why);
  }
  return text;
}

std::string Row(const ConfigDef& def, bool with_scope) {
  static const char* const kTypes[] = {"boolean", "integer", "number", "text", "list"};
  std::string meaning = def.doc;
  if (def.effect == ConfigEffect::kNone) meaning += " *No effect yet.*";
  static const char* const kScopes[] = {"", "per-broker", "cluster-wide", "all alike"};
  const std::string scope = with_scope ? fmt::format(" {} |", kScopes[static_cast<size_t>(def.scope)]) : "";
  return fmt::format("| `{}` | {}{} | {} |{} {} |\n", def.name, kTypes[static_cast<size_t>(def.type)],
                     *def.unit == '\0' ? "" : fmt::format(", {}", def.unit),
                     def.default_value.empty() ? "" : fmt::format("`{}`", def.default_value), scope, meaning);
}

// Settings of clients: also the values that there are.
std::string ClientRows(std::span<const ConfigDef> defs) {
  std::string text = "| name | type | default | meaning |\n|---|---|---|---|\n";
  for (ConfigDef def : defs) {
    std::string meaning = def.doc;
    if (def.allowed.size() > 1) {
      std::erase(def.allowed, "");
      meaning += fmt::format("; one of `{}`", fmt::join(def.allowed, "`, `"));
    }
    if (def.effect == ConfigEffect::kNone) meaning += ". *No effect.*";
    def.doc = meaning.c_str();
    def.effect = ConfigEffect::kInForce;
    text += Row(def, false);
  }
  return text;
}

std::string Clients() {
  const size_t common = CommonClientDefs().size();
  const auto own = [&](const ConfigTable& table) { return std::span(table.defs()).subspan(common); };
  return kClients + DifferencesOfClients() + "\n### All clients\n\n" + ClientRows(CommonClientDefs()) +
         "\n### Producers\n\n" + ClientRows(own(ProducerConfigTable())) + "\n### Consumers\n\n" +
         ClientRows(own(ConsumerConfigTable()));
}

std::string Table(const ConfigTable& table, bool with_scope = false) {
  std::string text = with_scope ? "| name | type | default | dynamic | meaning |\n|---|---|---|---|---|\n"
                                : "| name | type | default | meaning |\n|---|---|---|---|\n";
  for (const ConfigDef& def : table.defs()) text += Row(def, with_scope);
  return text;
}

TEST(ConfigurationPage, IsWhatTheTablesSay) {
  const std::string page = std::string(kHead) + "## Broker configs\n\n" + Table(BrokerConfigTable(), true) +
                           "\n## Topic configs\n\n" + Table(TopicConfigTable()) + kQuotas +
                           Table(QuotaConfigTable()) + Clients();
  if (std::getenv("TIDEMARK_UPDATE") != nullptr) std::ofstream(kPath) << page;
  std::ifstream file(kPath);
  std::stringstream stored;
  stored << file.rdbuf();
  EXPECT_TRUE(stored.str() == page) << "docs/configuration.md is stale; TIDEMARK_UPDATE=1 writes it anew";
}

}  // namespace
}  // namespace tidemark
