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

void ExpectRefused(std::vector<std::string> words, std::string_view part) {
  auto arguments = Parse(words);
  ASSERT_FALSE(arguments.has_value()) << words[0];
  EXPECT_NE(arguments.error().message.find(part), std::string::npos) << arguments.error().message;
}

const std::vector<FlagSpec> kGroupFlags = {
    {.name = "group", .value = "NAME", .help = "A group.", .repeated = true, .group_id = true},
    {"list", "", "Lists."}};
const std::vector<PositionalSpec> kGroups = {{.name = "GROUP", .several = true, .group_id = true}};

TEST(Arguments, BlanksThatWereQuotedArePartOfAGroupId) {
  for (const std::vector<std::string>& words :
       std::vector<std::vector<std::string>>{{"--group", " a "}, {"--group= a "}}) {
    const auto arguments = Arguments::Parse(words, kGroupFlags);
    ASSERT_TRUE(arguments) << arguments.error().message;
    EXPECT_EQ(arguments->All("group"), std::vector<std::string>{" a "});
    EXPECT_TRUE(arguments->GroupIdsAreAsGiven());
  }
  const auto named = Arguments::Parse({"a\n", " b", "\t", "c"}, kGroupFlags, kGroups);
  ASSERT_TRUE(named);
  EXPECT_EQ(named->positionals(), (std::vector<std::string>{"a\n", " b", "\t", "c"}));
  EXPECT_TRUE(named->GroupIdsAreAsGiven());
}

TEST(Arguments, PastedBlanksAroundAGroupIdAreCutOffAndKeptInMindForWhatWrites) {
  for (const std::vector<std::string>& words :
       std::vector<std::vector<std::string>>{{"--group", "\u00a0a\r"}, {"a\u200b"}}) {
    const auto arguments = Arguments::Parse(words, kGroupFlags, kGroups);
    ASSERT_TRUE(arguments);
    EXPECT_EQ(arguments->Has("group") ? *arguments->Get("group") : arguments->positionals()[0], "a");
    const auto exact = arguments->GroupIdsAreAsGiven();
    ASSERT_FALSE(exact);
    EXPECT_NE(exact.error().message.find("write 'a'"), std::string::npos) << exact.error().message;
  }
}

TEST(Arguments, TwoDashesEndTheFlagsAndWhatFollowsIsTakenAsItIs) {
  const auto arguments =
      Arguments::Parse({"--list", "--", "-dash", "--list", "\u00a0a", "--"}, kGroupFlags, kGroups);
  ASSERT_TRUE(arguments) << arguments.error().message;
  EXPECT_EQ(arguments->positionals(), (std::vector<std::string>{"-dash", "--list", "\u00a0a", "--"}));
  EXPECT_TRUE(arguments->GroupIdsAreAsGiven());
  EXPECT_FALSE(Arguments::Parse({"-dash"}, kGroupFlags, kGroups));
  ExpectRefused({"--list", "--", "--topic"}, "stray word");
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
