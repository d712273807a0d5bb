#include "tools/session.h"

#include "client/list_offsets.h"
#include "common/config/properties.h"
#include "tools/command.h"
#include "tools/commands.h"

namespace tidemark {

std::vector<FlagSpec> ConnectionFlags() {
  return {
      {"bootstrap-server", "HOST:PORT,...", "Brokers to ask first.", false, {"broker-list"}},
      {"zookeeper", "HOST:PORT/CHROOT", "Finds the brokers through ZooKeeper instead.", false, {}},
      {"command-config", "FILE", "Properties file with client settings.", false, {}},
  };
}

int ReportOpening(const Error& error) {
  const bool flags = error.code == v1::INVALID_REQUEST || error.code == v1::INVALID_CONFIG;
  return flags ? ReportUsage(error) : ReportError(error);
}

Result<std::unique_ptr<ToolSession>> ToolSession::Open(const Arguments& arguments, ClientOptions options) {
  auto session = std::unique_ptr<ToolSession>(new ToolSession());
  session->runtime_ = std::make_unique<ClientRuntime>(session->env_);
  if (const auto file = arguments.Get("command-config")) {
    TM_ASSIGN_OR_RETURN(const std::string text, ReadFile(session->env_.files(), *file));
    TM_ASSIGN_OR_RETURN(const Properties properties, ParseProperties(text));
    TM_ASSIGN_OR_RETURN(const ConsumerOptions checked,
                        ConsumerOptions::FromProperties(PropertyMap(properties.begin(), properties.end())));
    const ClientOptions given = std::move(options);
    options = checked.client;
    options.allow_auto_create = given.allow_auto_create;
    if (options.bootstrap.empty()) options.bootstrap = given.bootstrap;
  }
  if (const auto servers = arguments.Get("bootstrap-server")) {
    TM_ASSIGN_OR_RETURN(options.bootstrap, ParseBootstrap(*servers));
  } else if (const auto zookeeper = arguments.Get("zookeeper")) {
    auto brokers = session->runtime_->Run(
        [&] { return BrokersFromZooKeeper(session->env_, session->loop(), *zookeeper, 15s); });
    if (!brokers) return std::unexpected(brokers.error());
    options.bootstrap = *std::move(brokers);
  }
  options.first_contact_timeout = 10s;
  if (options.bootstrap.empty()) {
    return Fail(v1::INVALID_REQUEST, "--bootstrap-server HOST:PORT (or --zookeeper HOST:PORT) is required");
  }
  session->runtime_->Run([&]() -> Task<void> {
    session->cluster_ = std::make_unique<Cluster>(session->env_, session->loop(), options);
    session->admin_ = std::make_unique<Admin>(*session->cluster_);
    co_return;
  });
  return session;
}

ToolSession::~ToolSession() {
  if (!cluster_) return;
  runtime_->Run([this]() -> Task<void> {
    co_await cluster_->Close();
    cluster_.reset();
  });
}

Result<v1::MetadataResponse> ToolSession::Metadata(const std::vector<std::string>& topics, bool all) {
  v1::MetadataRequest request;
  request.set_all_topics(all);
  request.set_allow_auto_create(cluster().options().allow_auto_create);
  for (const std::string& topic : topics) request.add_topics()->set_name(topic);
  return Run([&] { return admin().Metadata(request, kNoBroker, After(kAdminTimeout)); });
}

Result<v1::TopicMetadata> ToolSession::Topic(const std::string& name) {
  TM_ASSIGN_OR_RETURN(v1::MetadataResponse metadata, Metadata({name}, false));
  if (metadata.topics_size() == 1 && metadata.topics(0).error().code() == v1::LEADER_NOT_AVAILABLE) {
    // It is being created.
    TM_RETURN_IF_ERROR(Run([&] { return EnsureTopic(cluster(), name, After(kAdminTimeout), {}); }));
    TM_ASSIGN_OR_RETURN(metadata, Metadata({name}, false));
  }
  if (metadata.topics_size() != 1)
    return Fail(v1::UNKNOWN_SERVER_ERROR, "the broker did not answer for topic {}", name);
  const v1::TopicMetadata& topic = metadata.topics(0);
  if (topic.error().code() != v1::NONE) return std::unexpected(FromProto(topic.error()));
  return topic;
}

}  // namespace tidemark
