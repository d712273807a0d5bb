// What tidemark-configs makes of its flags.
#include "tools/config_entity.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tidemark {
namespace {

using testing::HasSubstr;

Arguments Parsed(const std::vector<std::string>& words) {
  std::vector<FlagSpec> flags = ConfigEntityFlags();
  auto arguments = Arguments::Parse(words, flags);
  EXPECT_TRUE(arguments.has_value()) << (arguments ? "" : arguments.error().message);
  return *arguments;
}

std::string Subject(const std::vector<std::string>& words) {
  const auto subject = SubjectOf(Parsed(words));
  if (!subject) return subject.error().message;
  return fmt::format("{} '{}'{}{}{}", PluralOf(subject->type), subject->name,
                     subject->is_default ? " default" : "", subject->all() ? " all" : "",
                     subject->with_client ? fmt::format(" with '{}'", subject->client) : "");
}

TEST(ConfigSubject, ABrokerIsANumber) {
  EXPECT_THAT(Subject({"--broker", "one"}), testing::HasSubstr("'one' is not a broker's id"));
  EXPECT_THAT(Subject({"--entity-type", "brokers", "--entity-name", "-1"}),
              testing::HasSubstr("not a broker's id"));
}

TEST(ConfigSubject, IsNamedByTypeOrShort) {
  EXPECT_EQ(Subject({"--entity-type", "topics", "--entity-name", "orders"}), "topics 'orders'");
  EXPECT_EQ(Subject({"--topic", "orders"}), "topics 'orders'");
  EXPECT_EQ(Subject({"--entity-type", "brokers", "--entity-name", "0"}), "brokers '0'");
  EXPECT_EQ(Subject({"--broker", "0"}), "brokers '0'");
  EXPECT_EQ(Subject({"--entity-type", "brokers", "--entity-default"}), "brokers '' default");
  EXPECT_EQ(Subject({"--broker-defaults"}), "brokers '' default");
  EXPECT_EQ(Subject({"--entity-type", "clients"}), "clients '' all");
  EXPECT_EQ(Subject({"--client", "app"}), "clients 'app'");
  EXPECT_EQ(Subject({"--client-defaults"}), "clients '' default");
  EXPECT_EQ(Subject({"--user", "alice"}), "users 'alice'");
  EXPECT_EQ(Subject({"--user-defaults"}), "users '' default");
}

TEST(ConfigSubject, IsAUserWithAClientInEitherOrder) {
  const std::string both = "users 'alice' with 'app'";
  EXPECT_EQ(Subject({"--entity-type", "users", "--entity-name", "alice", "--entity-type", "clients",
                     "--entity-name", "app"}),
            both);
  EXPECT_EQ(Subject({"--entity-type", "clients", "--entity-type", "users", "--entity-name", "app",
                     "--entity-name", "alice"}),
            both);
  EXPECT_EQ(Subject({"--user", "alice", "--client", "app"}), both);
  EXPECT_EQ(Subject({"--user", "alice", "--client-defaults"}), "users 'alice' with ''");
  EXPECT_EQ(Subject({"--entity-type", "users", "--entity-name", "alice", "--entity-type", "clients",
                     "--entity-default"}),
            "users 'alice' with ''");
  EXPECT_EQ(Subject({"--entity-type", "users", "--entity-default", "--entity-type", "clients",
                     "--entity-name", "app"}),
            "users '' default with 'app'");
  EXPECT_EQ(Subject({"--entity-type", "users", "--entity-type", "clients"}), "users '' all with ''");
  EXPECT_THAT(Subject({"--entity-type", "users", "--entity-name", "alice", "--entity-type", "clients"}),
              HasSubstr("clients has neither --entity-name nor --entity-default"));
  EXPECT_THAT(Subject({"--user", "alice", "--topic", "orders"}), HasSubstr("a user and a client"));
}

TEST(ConfigSubject, SaysWhatIsWrongWithTheFlags) {
  EXPECT_THAT(Subject({}), HasSubstr("--entity-type topics|brokers|clients|users is required"));
  EXPECT_THAT(Subject({"--entity-name", "orders"}), HasSubstr("--entity-type"));
  EXPECT_THAT(Subject({"--entity-type", "topic"}), HasSubstr("did you mean topics?"));
  EXPECT_THAT(Subject({"--topic", "orders", "--broker", "1"}), HasSubstr("name one thing"));
  EXPECT_THAT(Subject({"--entity-type", "topics", "--entity-default"}), HasSubstr("--broker-defaults"));
  EXPECT_THAT(Subject({"--entity-type", "brokers", "--entity-name", "1", "--entity-default"}),
              HasSubstr("exclude each other"));
}

TEST(ConfigChange, GathersWhatIsToBeSetAndRemoved) {
  const ConfigSubject broker{.type = v1::CONFIG_ENTITY_TYPE_BROKER, .name = "1"};
  const auto change = ChangeOf(Parsed({"--add-config", "a=1,b=[x,y]", "--delete-config", "c,d"}), broker);
  ASSERT_TRUE(change);
  EXPECT_EQ(change->entity().name(), "1");
  EXPECT_EQ(change->set().at("a"), "1");
  EXPECT_EQ(change->set().at("b"), "x,y");
  EXPECT_THAT(change->remove(), testing::ElementsAre("c", "d"));
  EXPECT_THAT(ChangeOf(Parsed({}), broker).error().message, HasSubstr("--add-config name=value"));
  EXPECT_THAT(ChangeOf(Parsed({"--add-config", "min.insync.replicas"}), broker).error().message,
              HasSubstr("--add-config min.insync.replicas=VALUE"));
  const ConfigSubject all{.type = v1::CONFIG_ENTITY_TYPE_CLIENT};
  EXPECT_THAT(ChangeOf(Parsed({"--add-config", "a=1"}), all).error().message, HasSubstr("--entity-name"));
}

TEST(ConfigChange, AConfigIsGivenOnce) {
  const ConfigSubject topic{.type = v1::CONFIG_ENTITY_TYPE_TOPIC, .name = "orders"};
  const auto refusal = [&](const std::vector<std::string>& words) {
    const auto change = ChangeOf(Parsed(words), topic);
    return change ? "accepted" : change.error().message;
  };
  EXPECT_THAT(refusal({"--add-config", "retention.ms=1,retention.ms=2"}),
              HasSubstr("config 'retention.ms' is given twice"));
  EXPECT_THAT(refusal({"--add-config", "retention.ms=1,retention.ms=1"}),
              HasSubstr("config 'retention.ms' is given twice"));
  EXPECT_THAT(refusal({"--add-config", "retention.ms=1", "--add-config", "a=1,retention.ms=2"}),
              HasSubstr("config 'retention.ms' is given twice"));
  EXPECT_THAT(refusal({"--add-config", "a=1,retention.ms=1", "--delete-config", "b,retention.ms"}),
              HasSubstr("config 'retention.ms' is to be set and to be deleted"));
  EXPECT_EQ(refusal({"--add-config", "a=1", "--delete-config", "b,b"}), "accepted");
}

}  // namespace
}  // namespace tidemark
