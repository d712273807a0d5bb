#include "common/zk/zk_paths.h"

#include <fmt/format.h>

#include <charconv>

namespace tidemark::zkpath {
namespace {

// Canonical decimal only, so that one number has one name.
template <typename T>
std::optional<T> ParseCanonical(std::string_view text, T max) {
  if (text.empty() || (text.size() > 1 && text.front() == '0') || text.front() == '-') return std::nullopt;
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value > max) return std::nullopt;
  return value;
}

}  // namespace

std::string Broker(BrokerId id) { return fmt::format("{}/{}", kBrokerIds, id); }
std::string Topic(std::string_view topic) { return fmt::format("{}/{}", kTopics, topic); }
std::string Partitions(std::string_view topic) { return fmt::format("{}/{}/partitions", kTopics, topic); }
std::string Partition(std::string_view topic, PartitionIndex partition) {
  return fmt::format("{}/{}/partitions/{}", kTopics, topic, partition);
}
std::string PartitionState(std::string_view topic, PartitionIndex partition) {
  return fmt::format("{}/{}/partitions/{}/state", kTopics, topic, partition);
}
std::string TopicConfig(std::string_view topic) { return fmt::format("{}/{}", kConfigTopics, topic); }
std::string BrokerConfig(std::optional<BrokerId> id) {
  return id ? fmt::format("{}/{}", kConfigBrokers, *id)
            : fmt::format("{}/{}", kConfigBrokers, kDefaultEntity);
}
std::string DeleteTopic(std::string_view topic) { return fmt::format("{}/{}", kDeleteTopics, topic); }

std::string TopicEntity(std::string_view topic) { return fmt::format("topics/{}", topic); }
std::string BrokerEntity(std::optional<BrokerId> id) {
  return id ? fmt::format("brokers/{}", *id) : fmt::format("brokers/{}", kDefaultEntity);
}
std::string ClientEntity(std::string_view client_id) {
  return fmt::format("clients/{}", client_id.empty() ? std::string(kDefaultEntity) : Sanitized(client_id));
}
std::string UserEntity(std::string_view user) {
  return fmt::format("users/{}", user.empty() ? std::string(kDefaultEntity) : Sanitized(user));
}
std::string ConfigOfEntity(std::string_view entity_path) {
  return fmt::format("{}/{}", kConfig, entity_path);
}

std::string Sanitized(std::string_view name) {
  std::string out;
  for (const char c : name) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '.' || c == '_' || c == '-';
    if (plain) {
      out += c;
    } else {
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return out;
}

std::optional<std::string> Unsanitized(std::string_view child) {
  std::string out;
  for (size_t i = 0; i < child.size(); ++i) {
    if (child[i] != '%') {
      out += child[i] == '+' ? ' ' : child[i];
      continue;
    }
    unsigned value = 0;
    const char* digits = child.data() + i + 1;
    if (child.size() - i < 3) return std::nullopt;
    const auto [end, error] = std::from_chars(digits, digits + 2, value, 16);
    if (error != std::errc() || end != digits + 2) return std::nullopt;
    out += static_cast<char>(value);
    i += 2;
  }
  return out;
}

std::string_view BaseName(std::string_view path) { return path.substr(path.rfind('/') + 1); }
std::string_view Parent(std::string_view path) {
  const size_t slash = path.rfind('/');
  return slash == 0 || slash == std::string_view::npos ? "/" : path.substr(0, slash);
}

std::optional<BrokerId> ParseBrokerId(std::string_view child) {
  return ParseCanonical<BrokerId>(child, INT32_MAX);
}
std::optional<PartitionIndex> ParsePartition(std::string_view child) {
  return ParseCanonical<PartitionIndex>(child, INT32_MAX);
}
std::optional<uint64_t> ParseSequence(std::string_view child) {
  // Ten digits; ZooKeeper's counter is 32 bits wide and turns negative after two thousand million nodes.
  constexpr size_t kDigits = 10;
  if (child.size() < kDigits) return std::nullopt;
  const std::string_view digits = child.substr(child.size() - kDigits);
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + kDigits, value);
  if (error != std::errc() || end != digits.data() + kDigits) return std::nullopt;
  return value;
}

const std::vector<std::string>& Persistent() {
  static const auto* paths = new std::vector<std::string>{
      "/consumers",
      "/brokers",
      "/brokers/ids",
      "/brokers/topics",
      "/brokers/seqid",
      "/config",
      "/config/changes",
      "/config/topics",
      "/config/clients",
      "/config/users",
      "/config/brokers",
      "/config/ips",
      "/admin",
      "/admin/delete_topics",
      "/isr_change_notification",
      "/latest_producer_id_block",
      "/log_dir_event_notification",
      "/cluster",
  };
  return *paths;
}

}  // namespace tidemark::zkpath
