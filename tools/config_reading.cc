#include "tools/config_reading.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "common/zk/zk_paths.h"

namespace tidemark {
namespace {

// Asks `broker`, or any.
Result<v1::DescribeConfigsResponse> Ask(ToolSession& session, const v1::DescribeConfigsRequest& request,
                                        BrokerId broker = kNoBroker) {
  return session.Run(
      [&] { return session.admin().DescribeConfigs(request, session.After(kAdminTimeout), broker); });
}

// Topics, or brokers and their default.
Result<std::vector<v1::ConfigEntity>> AllOf(ToolSession& session, v1::ConfigEntityType type) {
  const bool topics = type == v1::CONFIG_ENTITY_TYPE_TOPIC;
  TM_ASSIGN_OR_RETURN(const v1::MetadataResponse metadata, session.Metadata({}, topics));
  std::vector<std::string> names;
  if (topics) {
    for (const auto& topic : metadata.topics()) names.push_back(topic.name());
    std::ranges::sort(names);
  } else {
    std::vector<BrokerId> ids;
    for (const auto& broker : metadata.brokers()) ids.push_back(broker.id());
    // And those that are not live, or never were, for which there are configs.
    v1::DescribeConfigsRequest stored;
    stored.add_all_of(type);
    TM_ASSIGN_OR_RETURN(const v1::DescribeConfigsResponse there, Ask(session, stored));
    for (const auto& result : there.results()) {
      if (const auto id = zkpath::ParseBrokerId(result.entity().name())) ids.push_back(*id);
    }
    std::ranges::sort(ids);
    ids.erase(std::ranges::unique(ids).begin(), ids.end());
    for (const BrokerId id : ids) names.push_back(std::to_string(id));
    names.emplace_back();
  }
  std::vector<v1::ConfigEntity> out;
  for (std::string& name : names) out.push_back(ConfigSubject{.type = type, .name = name}.ToEntity());
  return out;
}

Result<BrokerId> WhoKnows(ToolSession& session, const v1::ConfigEntity& entity, bool all) {
  if (entity.type() != v1::CONFIG_ENTITY_TYPE_BROKER || entity.name().empty()) return kNoBroker;
  TM_ASSIGN_OR_RETURN(const v1::MetadataResponse metadata, session.Metadata({}, false));
  for (const auto& broker : metadata.brokers()) {
    if (std::to_string(broker.id()) == entity.name()) return broker.id();
  }
  if (all) {
    return Fail(
        v1::BROKER_NOT_AVAILABLE,
        "broker {} is not live, and only it knows all its configs; without --all its dynamic ones are "
        "shown",
        entity.name());
  }
  return kNoBroker;
}

}  // namespace

bool HasQuotas(v1::ConfigEntityType type) {
  return type == v1::CONFIG_ENTITY_TYPE_CLIENT || type == v1::CONFIG_ENTITY_TYPE_USER;
}

std::string NameOfEntity(const v1::ConfigEntity& entity) {
  const auto part = [](v1::ConfigEntityType type, const std::string& name) {
    return name.empty() ? fmt::format("all {}", PluralOf(type))
                        : fmt::format("{} {}", SingularOf(type), name);
  };
  std::string out = part(entity.type(), entity.name());
  if (entity.has_client_id()) out += " with " + part(v1::CONFIG_ENTITY_TYPE_CLIENT, entity.client_id());
  return out;
}

namespace {

struct SourceNames {
  v1::ConfigSource source;
  std::string_view kafka;
  std::string_view brief;
};
constexpr std::array kSources = {
    SourceNames{v1::CONFIG_SOURCE_DYNAMIC_TOPIC, "DYNAMIC_TOPIC_CONFIG", "topic"},
    SourceNames{v1::CONFIG_SOURCE_DYNAMIC_BROKER, "DYNAMIC_BROKER_CONFIG", "broker"},
    SourceNames{v1::CONFIG_SOURCE_DYNAMIC_DEFAULT_BROKER, "DYNAMIC_DEFAULT_BROKER_CONFIG", "brokers"},
    SourceNames{v1::CONFIG_SOURCE_STATIC_BROKER, "STATIC_BROKER_CONFIG", "file"},
    SourceNames{v1::CONFIG_SOURCE_DYNAMIC_CLIENT, "DYNAMIC_CLIENT_CONFIG", "client"},
    SourceNames{v1::CONFIG_SOURCE_DYNAMIC_DEFAULT_CLIENT, "DYNAMIC_DEFAULT_CLIENT_CONFIG", "clients"},
    SourceNames{v1::CONFIG_SOURCE_DYNAMIC_USER, "DYNAMIC_USER_CONFIG", "user"},
    SourceNames{v1::CONFIG_SOURCE_DYNAMIC_DEFAULT_USER, "DYNAMIC_DEFAULT_USER_CONFIG", "users"},
    SourceNames{v1::CONFIG_SOURCE_DYNAMIC_USER_CLIENT, "DYNAMIC_USER_CLIENT_CONFIG", "user/client"},
    SourceNames{v1::CONFIG_SOURCE_DYNAMIC_USER_DEFAULT_CLIENT, "DYNAMIC_USER_DEFAULT_CLIENT_CONFIG",
                "user/clients"},
    SourceNames{v1::CONFIG_SOURCE_DYNAMIC_DEFAULT_USER_CLIENT, "DYNAMIC_DEFAULT_USER_CLIENT_CONFIG",
                "users/client"},
    SourceNames{v1::CONFIG_SOURCE_DYNAMIC_DEFAULT_USER_DEFAULT_CLIENT,
                "DYNAMIC_DEFAULT_USER_DEFAULT_CLIENT_CONFIG", "users/clients"},
};

const SourceNames& NamesOf(v1::ConfigSource source) {
  static constexpr SourceNames kDefault{v1::CONFIG_SOURCE_DEFAULT, "DEFAULT_CONFIG", "default"};
  const auto found = std::ranges::find(kSources, source, &SourceNames::source);
  return found == kSources.end() ? kDefault : *found;
}

}  // namespace

v1::ConfigSource OwnSource(const v1::ConfigEntity& entity) {
  const bool is_default = entity.name().empty();
  if (entity.has_client_id() && entity.client_id().empty()) {
    return is_default ? v1::CONFIG_SOURCE_DYNAMIC_DEFAULT_USER_DEFAULT_CLIENT
                      : v1::CONFIG_SOURCE_DYNAMIC_USER_DEFAULT_CLIENT;
  }
  if (entity.has_client_id()) {
    return is_default ? v1::CONFIG_SOURCE_DYNAMIC_DEFAULT_USER_CLIENT : v1::CONFIG_SOURCE_DYNAMIC_USER_CLIENT;
  }
  switch (entity.type()) {
    case v1::CONFIG_ENTITY_TYPE_BROKER:
      return is_default ? v1::CONFIG_SOURCE_DYNAMIC_DEFAULT_BROKER : v1::CONFIG_SOURCE_DYNAMIC_BROKER;
    case v1::CONFIG_ENTITY_TYPE_CLIENT:
      return is_default ? v1::CONFIG_SOURCE_DYNAMIC_DEFAULT_CLIENT : v1::CONFIG_SOURCE_DYNAMIC_CLIENT;
    case v1::CONFIG_ENTITY_TYPE_USER:
      return is_default ? v1::CONFIG_SOURCE_DYNAMIC_DEFAULT_USER : v1::CONFIG_SOURCE_DYNAMIC_USER;
    default:
      return v1::CONFIG_SOURCE_DYNAMIC_TOPIC;
  }
}

std::string_view KafkaSourceName(v1::ConfigSource source) { return NamesOf(source).kafka; }

std::string_view ShortSourceName(v1::ConfigSource source) { return NamesOf(source).brief; }

Result<> SendChange(ToolSession& session, const v1::AlterConfigsRequest::Change& change, bool dry_run) {
  v1::AlterConfigsRequest request;
  *request.add_changes() = change;
  request.set_validate_only(dry_run);
  TM_ASSIGN_OR_RETURN(const v1::AlterConfigsResponse response, session.Run([&] {
    return session.admin().AlterConfigs(request, session.After(kAdminTimeout));
  }));
  if (response.results_size() != 1)
    return Fail(v1::UNKNOWN_SERVER_ERROR, "the broker did not answer for what was to be changed");
  const v1::AlterConfigsResponse::Result& result = response.results(0);
  if (result.error().code() != v1::NONE)
    return std::unexpected(NearestTopic(session, change.entity(), FromProto(result.error())));
  for (const std::string& warning : result.warnings()) Say("warning: {}", warning);
  return {};
}

Result<DescribedConfigs> ReadConfigs(ToolSession& session, const v1::ConfigEntity& entity, bool all) {
  TM_ASSIGN_OR_RETURN(const BrokerId broker, WhoKnows(session, entity, all));
  v1::DescribeConfigsRequest request;
  request.set_include_defaults(all);
  *request.add_entities() = entity;
  TM_ASSIGN_OR_RETURN(const v1::DescribeConfigsResponse response, Ask(session, request, broker));
  if (response.results_size() != 1) {
    return Fail(v1::UNKNOWN_SERVER_ERROR, "the broker answered for {} things, not one",
                response.results_size());
  }
  DescribedConfigs out = response.results(0);
  if (out.error().code() != v1::NONE) {
    ToProto(NearestTopic(session, entity, FromProto(out.error())), out.mutable_error());
  }
  return out;
}

Error NearestTopic(ToolSession& session, const v1::ConfigEntity& entity, Error error) {
  if (entity.type() != v1::CONFIG_ENTITY_TYPE_TOPIC || error.code != v1::UNKNOWN_TOPIC_OR_PARTITION)
    return error;
  const auto topic = session.Topic(entity.name());
  return topic ? error : topic.error();
}

Result<std::vector<DescribedConfigs>> ReadConfigsOf(ToolSession& session, const ConfigSubject& subject,
                                                    bool all) {
  std::vector<DescribedConfigs> out;
  std::vector<v1::ConfigEntity> entities;
  if (!subject.all()) {
    entities.push_back(subject.ToEntity());
  } else if (HasQuotas(subject.type)) {
    v1::DescribeConfigsRequest request;
    request.add_all_of(subject.type);
    TM_ASSIGN_OR_RETURN(const v1::DescribeConfigsResponse response, Ask(session, request));
    // Users come with their pairs of user and client.
    for (const DescribedConfigs& one : response.results()) {
      if (one.entity().has_client_id() == subject.with_client) out.push_back(one);
    }
    return out;
  } else {
    TM_ASSIGN_OR_RETURN(entities, AllOf(session, subject.type));
  }
  for (const v1::ConfigEntity& entity : entities) {
    auto one = ReadConfigs(session, entity, all);
    if (!one && subject.all() && one.error().code == v1::BROKER_NOT_AVAILABLE) {
      one = ReadConfigs(session, entity, false);  // it is not live
    }
    if (!one) return std::unexpected(one.error());
    out.push_back(*std::move(one));
  }
  return out;
}

std::vector<std::string> SynonymTexts(const v1::DescribeConfigsResponse::Entry& entry,
                                      std::string_view (*name_of)(v1::ConfigSource)) {
  std::vector<std::string> out;
  for (const auto& synonym : entry.synonyms()) {
    const bool secret = entry.sensitive() && synonym.source() != v1::CONFIG_SOURCE_DEFAULT;
    out.push_back(fmt::format("{}:{}={}", name_of(synonym.source()), synonym.name(),
                              secret ? "null" : synonym.value()));
  }
  return out;
}

}  // namespace tidemark
