#include "tools/arguments.h"

#include <gtest/gtest.h>

#include "tools/commands.h"
#include "tools/record_input.h"

namespace tidemark {
namespace {

const std::vector<FlagSpec> kFlags = {
    {"topic", "NAME", "A topic."},
    {"list", "", "Lists."},
    {"config", "NAME=VALUE", "A config.", true},
    {"bootstrap-server", "HOST:PORT", "Brokers.", false, {"broker-list"}},
    {"producer-props", "NAME=VALUE ...", "Settings.", true, {}, true},
    {"partitions", "N", "A number."},
};

Result<Arguments> Parse(std::vector<std::string> words) { return Arguments::Parse(words, kFlags); }

TEST(Arguments, WordsThatAreNoTextAreRefused) {
  EXPECT_TRUE(Parse({"--topic", "тема"})) << "whether the name is legal is not theirs to say";
  for (const char* word : {"a\xff"
                           "b",
                           "\xd1"}) {
    const auto refused = Parse({"--topic", word});
    ASSERT_FALSE(refused);
    EXPECT_NE(refused.error().message.find("is not UTF-8"), std::string::npos) << refused.error().message;
  }
}

TEST(Arguments, AllOfKafkasFormsMeanTheSame) {
  for (const std::vector<std::string>& words : std::vector<std::vector<std::string>>{
           {"--topic", "orders"}, {"--topic=orders"}, {"-topic", "orders"}, {"-topic=orders"}}) {
    auto arguments = Parse(words);
    ASSERT_TRUE(arguments.has_value()) << arguments.error().message;
    EXPECT_EQ(arguments->Get("topic"), "orders");
  }
}

TEST(Arguments, AliasesAndRepeatedFlags) {
  auto arguments = Parse({"--broker-list", "h:1", "--config", "a=1", "--config", "b=2=3"});
  ASSERT_TRUE(arguments.has_value());
  EXPECT_EQ(arguments->Get("bootstrap-server"), "h:1");
  EXPECT_EQ(*arguments->GetProperties("config"),
            (std::map<std::string, std::string>{{"a", "1"}, {"b", "2=3"}}));
}

TEST(Arguments, UnicodeBlanksAroundValuesAreTrimmed) {
  auto arguments = Parse({"--broker-list", "localhost:9092\xc2\xa0", "--topic", "\xe2\x80\xafx"});
  ASSERT_TRUE(arguments.has_value());
  EXPECT_EQ(arguments->Get("bootstrap-server"), "localhost:9092");
  EXPECT_EQ(arguments->Get("topic"), "x");
}

TEST(Arguments, BlanksThatAreMeantStay) {
  for (const std::vector<std::string>& words : std::vector<std::vector<std::string>>{
           {"--config", "key.separator=\t"}, {"--config=key.separator=\t"}}) {
    auto arguments = Parse(words);
    ASSERT_TRUE(arguments.has_value());
    EXPECT_EQ((*arguments->GetProperties("config"))["key.separator"], "\t");
  }
}

TEST(Arguments, SeveralWordsBelongToOneFlag) {
  auto arguments = Parse({"--producer-props", "bootstrap.servers=h:1", "acks=1", "--topic", "t"});
  ASSERT_TRUE(arguments.has_value());
  EXPECT_EQ(arguments->All("producer-props").size(), 2u);
  EXPECT_EQ(arguments->Get("topic"), "t");
}

void ExpectRefused(std::vector<std::string> words, std::string_view part) {
  auto arguments = Parse(words);
  ASSERT_FALSE(arguments.has_value()) << words[0];
  EXPECT_NE(arguments.error().message.find(part), std::string::npos) << arguments.error().message;
}

TEST(Arguments, WhatIsWrongIsNamed) {
  ExpectRefused({"--topik", "x"}, "did you mean --topic?");
  ExpectRefused({"--topic"}, "needs a value");
  ExpectRefused({"--topic", "--list"}, "needs a value");
  ExpectRefused({"--topic", "a", "--topic", "b"}, "twice");
  ExpectRefused({"--list=yes"}, "takes no value");
  ExpectRefused({"--list", "sleep", "3"}, "stray word 'sleep'");
}

TEST(Arguments, NumbersAreChecked) {
  auto arguments = Parse({"--partitions", "12x"});
  ASSERT_TRUE(arguments.has_value());
  auto number = arguments->GetInteger("partitions", 1, 100);
  ASSERT_FALSE(number.has_value());
  EXPECT_NE(number.error().message.find("12x"), std::string::npos);
  EXPECT_EQ(*Parse({"--partitions", "-3"})->GetInteger("partitions", -5, 5), -3);
}

TEST(Commands, EveryCommandHasHelpForEveryFlag) {
  for (const Command& command : Commands()) {
    EXPECT_FALSE(command.summary.empty()) << command.name;
    const std::string help = HelpText(command);
    for (const FlagSpec& flag : command.flags) {
      EXPECT_FALSE(flag.help.empty()) << command.name << " --" << flag.name;
      EXPECT_NE(help.find("--" + flag.name), std::string::npos);
    }
    if (command.raw_main == nullptr) EXPECT_FALSE(command.examples.empty()) << command.name;
  }
}

TEST(RecordInput, SplitsKeysAndMarksNulls) {
  auto input =
      RecordInput::FromProperties({{"parse.key", "true"}, {"key.separator", ","}, {"null.marker", "NULL"}});
  ASSERT_TRUE(input.has_value());
  auto parsed = input->Parse("k,v,w");
  ASSERT_TRUE(parsed.has_value());
  EXPECT_EQ(parsed->key, "k");
  EXPECT_EQ(parsed->value, "v,w");
  EXPECT_FALSE(input->Parse("k,NULL")->value.has_value());
  EXPECT_FALSE(input->Parse("no separator").has_value());
  EXPECT_FALSE(RecordInput::FromProperties({{"parse.kye", "true"}}).has_value());
}

}  // namespace
}  // namespace tidemark
