#include "tools/session.h"

#include <cstdio>

#include "client/list_offsets.h"
#include "common/config/properties.h"
#include "common/io/input_stream.h"
#include "tools/command.h"
#include "tools/commands.h"
#include "tools/output.h"
#include "tools/progress.h"

namespace tidemark {
namespace {

// How long a tool tries to reach a broker at all: one that is just being restarted may come, a wrong address
// should not cost a minute.
constexpr Duration kFirstContact = 10s;

// Whatever bar stands on the line is drawn again when it goes on.
void ClearBar() {
  ProgressScreen* const screen = TerminalAtStderr();
  const auto columns = screen == nullptr ? std::nullopt : screen->Columns();
  if (columns) screen->Write(fmt::format("\r{:{}}\r", "", *columns - std::min<size_t>(*columns, 1)));
}

std::string TextOf(const std::vector<Endpoint>& endpoints) {
  std::string text;
  for (const Endpoint& endpoint : endpoints) text += (text.empty() ? "" : ",") + ToString(endpoint);
  return text;
}

}  // namespace

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

Result<std::unique_ptr<ToolSession>> ToolSession::Open(const Arguments& arguments, ClientOptions options,
                                                       FirstContact contact) {
  auto session = std::unique_ptr<ToolSession>(new ToolSession());
  session->runtime_ = std::make_unique<ClientRuntime>(session->env_);
  if (const auto file = arguments.Get("command-config")) {
    const auto text = ReadToEnd(*file);
    if (!text) return Fail(v1::INVALID_CONFIG, "--command-config: {}", ToString(text.error()));
    TM_ASSIGN_OR_RETURN(const Properties properties, ParseProperties(*text));
    TM_ASSIGN_OR_RETURN(const ConsumerOptions checked,
                        ConsumerOptions::FromProperties(PropertyMap(properties.begin(), properties.end())));
    const ClientOptions given = std::move(options);
    options = checked.client;
    options.allow_auto_create = given.allow_auto_create;
    options.without_effect.insert(options.without_effect.begin(), given.without_effect.begin(),
                                  given.without_effect.end());
    if (options.bootstrap.empty()) options.bootstrap = given.bootstrap;
  }
  if (const auto servers = arguments.Get("bootstrap-server")) {
    TM_ASSIGN_OR_RETURN(options.bootstrap, ParseBootstrap(*servers));
  } else if (const auto zookeeper = arguments.Get("zookeeper")) {
    auto brokers = session->runtime_->Run(
        [&] { return BrokersFromZooKeeper(session->env_, session->loop(), *zookeeper, 15s); });
    if (!brokers && brokers.error().code == v1::INVALID_CONFIG) return std::unexpected(brokers.error());
    if (!brokers) {
      return Fail(brokers.error().code, "{}; is --zookeeper the zookeeper.connect of the brokers?",
                  brokers.error().message);
    }
    options.bootstrap = *std::move(brokers);
  }
  for (const std::string& sentence : options.without_effect) Say("warning: {}", sentence);
  options.first_contact_timeout = kFirstContact;
  if (contact == FirstContact::kNow) {
    options.on_no_contact = [servers = TextOf(options.bootstrap)](const Error& last) {
      Say("warning: the cluster cannot be reached at {}: {}; trying for {} s", servers, last.message,
          kFirstContact / 1s);
    };
  }
  options.on_slow_call = [](const std::optional<Error>& last, Duration left) {
    ClearBar();
    Say("warning: no result yet: {}; trying for {} s more", last ? ToString(*last) : "no broker has answered",
        left / 1s);
  };
  if (options.bootstrap.empty()) {
    return Fail(v1::INVALID_REQUEST, "--bootstrap-server HOST:PORT (or --zookeeper HOST:PORT) is required");
  }
  session->runtime_->Run([&]() -> Task<void> {
    session->cluster_ = std::make_unique<Cluster>(session->env_, session->loop(), options);
    session->admin_ = std::make_unique<Admin>(*session->cluster_);
    co_return;
  });
  if (contact == FirstContact::kNow) TM_RETURN_IF_ERROR(session->MakeContact());
  return session;
}

Result<> ToolSession::MakeContact() {
  // Of no topic: only the brokers.
  const auto answer =
      Run([this] { return cluster().Metadata(v1::MetadataRequest(), After(kAdminTimeout), {}); });
  if (answer) return {};
  return Fail(answer.error().code, "{}; does a broker run at {}? --bootstrap-server says where to ask",
              answer.error().message, TextOf(cluster().options().bootstrap));
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
