// The noun-and-verb face, as far as it needs no cluster: listings, places in a log, record formats, the table
// of commands, completion.
#include "tools/verbs.h"

#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tools/commands.h"
#include "tools/completion.h"
#include "tools/moments.h"
#include "tools/record_format.h"

namespace tidemark {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

Listing Sample() {
  Listing listing({"topic", "partition", "isr", "leader"});
  listing.Add({"orders", 0, {0, 1}, 1});
  listing.Add({"a,\"b\"", 10, Listing::Cell::array(), nullptr});
  return listing;
}

TEST(Listing, ATableAlignsNumbersRightAndWordsLeft) {
  EXPECT_EQ(Sample().Text(OutputFormat::kTable),
            "TOPIC   PARTITION  ISR  LEADER\n"
            "orders          0  0,1       1\n"
            "a,\"b\"          10  -         -\n");
}

TEST(Listing, CsvQuotesWhatNeedsIt) {
  EXPECT_EQ(Sample().Text(OutputFormat::kCsv),
            "topic,partition,isr,leader\n"
            "orders,0,0 1,1\n"
            "\"a,\"\"b\"\"\",10,,\n");
}

TEST(Listing, JsonKeepsTypesAndTheOrderOfColumns) {
  EXPECT_EQ(Sample().Json().dump(),
            "[{\"topic\":\"orders\",\"partition\":0,\"isr\":[0,1],\"leader\":1},"
            "{\"topic\":\"a,\\\"b\\\"\",\"partition\":10,\"isr\":[],\"leader\":null}]");
  EXPECT_EQ(Listing({"topic"}).Text(OutputFormat::kJson), "[]\n");
}

TEST(Listing, ATableHasNoControlCharactersAndCsvAndJsonHaveAllThereIs) {
  Listing listing({"group", "members"});
  listing.Add({"red\x1b[31m\nnext", {"a\tb", "c\xc2\x9b"}});
  EXPECT_EQ(listing.Text(OutputFormat::kTable),
            "GROUP                MEMBERS\n"
            "red\\x1b[31m\\x0anext  a\\x09b,c\\xc2\\x9b\n");
  EXPECT_EQ(listing.Text(OutputFormat::kCsv), "group,members\n\"red\x1b[31m\nnext\",a\tb c\xc2\x9b\n");
  EXPECT_THAT(listing.Text(OutputFormat::kJson), HasSubstr(R"("red\u001b[31m\nnext")"));
}

TEST(Listing, AnUnknownFormatNamesTheNearest) {
  EXPECT_THAT(ParseOutputFormat("jsno").error().message, HasSubstr("did you mean json?"));
  EXPECT_EQ(*ParseOutputFormat("csv"), OutputFormat::kCsv);
}

constexpr WallMillis kNow = 1'700'000'000'000;

LogPlace At(const std::string& text) {
  const auto place = ParseLogPlace(text, kNow);
  EXPECT_TRUE(place) << text;
  return place.value_or(LogPlace{});
}

TEST(LogPlace, TakesBoundsOffsetsAndTheLastRecords) {
  EXPECT_EQ(At("start").kind, LogPlace::Kind::kStart);
  EXPECT_EQ(At("latest").kind, LogPlace::Kind::kEnd);
  EXPECT_EQ(At("42").kind, LogPlace::Kind::kOffset);
  EXPECT_EQ(At("42").value, 42);
  EXPECT_EQ(At("-10").kind, LogPlace::Kind::kFromEnd);
  EXPECT_EQ(At("-10").value, 10);
}

TEST(LogPlace, TakesTimesAsDatesMillisecondsAndAgo) {
  EXPECT_EQ(At("@1700000000000").value, kNow);
  EXPECT_EQ(At("@-2h").value, kNow - 7'200'000);
  EXPECT_EQ(At("@-90s").value, kNow - 90'000);
  EXPECT_EQ(At("@1970-01-02").value, 86'400'000);
  EXPECT_EQ(At("@2026-01-02T03:04").value, 1'767'323'040'000);
  EXPECT_EQ(At("@2026-01-02T03:04:05Z").value, 1'767'323'045'000);
  EXPECT_EQ(At("@2026-01-02").kind, LogPlace::Kind::kTimestamp);
}

TEST(LogPlace, RefusesEverythingElseWithTheForms) {
  for (const char* wrong : {"", "x", "1x", "@", "@2026-13-01", "@2026-01-02T25:00", "@2026-01-02T0304",
                            "@-2y", "@-h", "--5", "99999999999999999999", "@-5"}) {
    const auto place = ParseLogPlace(wrong, kNow);
    ASSERT_FALSE(place) << wrong;
    EXPECT_THAT(place.error().message, HasSubstr("-N for the last N"));
  }
}

TEST(Partitions, AreListsAndRanges) {
  EXPECT_THAT(*ParsePartitions("0,2,5-7"), ElementsAre(0, 2, 5, 6, 7));
  EXPECT_THAT(*ParsePartitions("0-3,2,1"), ElementsAre(0, 1, 2, 3)) << "each once";
  EXPECT_THAT(*ParsePartitions(""), IsEmpty());
  for (const char* wrong : {"a", "1-", "3-1", "-1", "1,x", "0-99999999"})
    EXPECT_FALSE(ParsePartitions(wrong)) << wrong;
}

std::string Formatted(const std::string& format, std::optional<std::string_view> key,
                      std::optional<std::string_view> value) {
  const auto parsed = RecordFormat::Of(format);
  EXPECT_TRUE(parsed) << format;
  if (!parsed) return "";
  const ConsumedRecord record{.view = {.offset = 7, .timestamp = 99, .key = key, .value = value},
                              .partition = 3};
  std::string out;
  parsed->Append("orders", record, &out);
  return out;
}

TEST(RecordFormat, KnowsTheTokensOfKcatAndRpk) {
  EXPECT_EQ(Formatted("%k %v\\n", "k", "v"), "k v\n");
  EXPECT_EQ(Formatted("%t/%p@%o %T %d %K %S %V %s%%\\t\\x41\\\\", "key", "v"),
            "orders/3@7 99 99 3 1 1 v%\tA\\");
  EXPECT_EQ(Formatted("[%k|%v|%K|%S]", std::nullopt, std::nullopt), "[||-1|-1]");
  EXPECT_EQ(Formatted("a\\", "k", "v"), "a\\");
}

TEST(RecordFormat, TheSizeOfTheValueMayBeFourBytes) {
  EXPECT_EQ(Formatted("%R%v", "key", "value"), std::string("\0\0\0\5value", 9));
  EXPECT_EQ(Formatted("%R", "key", std::nullopt), "\xff\xff\xff\xff");
}

TEST(RecordFormat, AnUnknownTokenIsAnError) {
  for (const char* wrong : {"%y", "abc%", "%"}) EXPECT_FALSE(RecordFormat::Of(wrong)) << wrong;
}

TEST(RecordFormat, JsonIsAnObjectALine) {
  EXPECT_EQ(
      Formatted("json", "k", std::nullopt),
      "{\"topic\":\"orders\",\"partition\":3,\"offset\":7,\"timestamp\":99,\"key\":\"k\",\"value\":null,"
      "\"headers\":[]}\n");
  EXPECT_THAT(Formatted("json", "k", "\xff"), HasSubstr("\"value\":{\"base64\":\"/w==\"}"));
}

TEST(VerbCommands, EachHasASummaryExamplesAndFlagsThatDoNotClash) {
  std::set<std::string> names;
  for (const Command& command : VerbCommands()) {
    EXPECT_TRUE(names.insert(command.name).second) << command.name;
    EXPECT_TRUE(command.verb && (command.run != nullptr || command.raw_main != nullptr)) << command.name;
    EXPECT_FALSE(command.summary.empty()) << command.name;
    if (command.name.starts_with("__")) continue;
    EXPECT_FALSE(command.examples.empty()) << command.name;
    std::set<std::string> flags;
    for (const FlagSpec& flag : command.flags) {
      EXPECT_TRUE(flags.insert(flag.name).second) << command.name << " --" << flag.name;
      EXPECT_FALSE(flag.help.empty()) << command.name << " --" << flag.name;
      for (const std::string& alias : flag.aliases)
        EXPECT_TRUE(flags.insert(alias).second) << command.name << " -" << alias;
    }
    EXPECT_THAT(HelpText(command), HasSubstr("Usage: tidemark " + command.name));
  }
}

TEST(VerbCommands, EveryExampleParses) {
  for (const Command& command : VerbCommands()) {
    for (const std::string& example : command.examples) {
      const size_t at = example.find("tidemark " + command.name);
      ASSERT_NE(at, std::string::npos) << example;
      std::vector<std::string> words;
      std::string word;
      bool quoted = false, any = false;
      for (const char c : example.substr(at + 9 + command.name.size()) + " ") {
        if (c == '\'') {
          quoted = !quoted;
          any = true;
        } else if (c == ' ' && !quoted) {
          if (any || !word.empty()) words.push_back(std::exchange(word, {}));
          any = false;
        } else {
          word += c;
        }
      }
      // What follows in the shell is not the command's.
      words.erase(std::ranges::find_if(words, [](auto& w) { return w == "&&" || w == ">"; }), words.end());
      if (!words.empty() && words.back().ends_with(')')) words.back().pop_back();
      const auto parsed = Arguments::Parse(words, command.flags, command.positionals);
      EXPECT_TRUE(parsed) << example << ": " << (parsed ? "" : parsed.error().message);
    }
  }
}

TEST(VerbCommands, ShortFlagsOffsetsAndFormatsAreTakenAsWritten) {
  for (const Command& command : ConsumeVerbs()) {
    const auto parsed =
        Arguments::Parse({"orders", "-o", "-10", "-f", " %k %v\\n"}, command.flags, command.positionals);
    ASSERT_TRUE(parsed);
    EXPECT_EQ(parsed->GetOr("offset", ""), "-10");
    EXPECT_EQ(parsed->GetOr("format", ""), " %k %v\\n");
    EXPECT_THAT(
        Arguments::Parse({"orders", "--fromat", "x"}, command.flags, command.positionals).error().message,
        HasSubstr("did you mean --format?"));
  }
}

std::vector<std::string> Offered(std::vector<std::string> words) {
  using Names = std::vector<std::string>;
  return Completions(
      words, [] { return Names{"orders", "clicks"}; }, [] { return Names{"readers", "billing"}; });
}

TEST(Completion, OffersNounsVerbsFlagsAndLiveTopics) {
  EXPECT_THAT(Offered({"to"}), ElementsAre("topic", "topics"));
  EXPECT_THAT(Offered({""}), Contains("consume"));
  EXPECT_THAT(Offered({""}), Not(Contains(HasSubstr("__"))));
  EXPECT_THAT(Offered({"topic", "de"}), ElementsAre("delete", "describe"));
  EXPECT_THAT(Offered({"topic", "describe", ""}), ElementsAre("clicks", "orders"));
  EXPECT_THAT(Offered({"topic", "describe", "orders", "--on"}), ElementsAre("--only"));
  EXPECT_THAT(Offered({"topic", "describe", "-o", ""}), ElementsAre("csv", "json", "table"));
  EXPECT_THAT(Offered({"topic", "create", ""}), IsEmpty());
  EXPECT_THAT(Offered({"consume", "o"}), ElementsAre("orders"));
  EXPECT_THAT(Offered({"group", ""}), ElementsAre("delete", "describe", "list", "seek"));
  EXPECT_THAT(Offered({"group", "describe", "r"}), ElementsAre("readers"));
  EXPECT_THAT(Offered({"consumer-groups", "--group", ""}), ElementsAre("billing", "readers"));
  EXPECT_THAT(Offered({"config", "get", "topic/o"}), ElementsAre("topic/orders"));
  EXPECT_THAT(Offered({"completion", ""}), ElementsAre("bash", "zsh"));
  // Flags may stand before the noun.
  EXPECT_THAT(Offered({"-b", "h:1", "-y", "topic", "del"}), ElementsAre("delete"));
  EXPECT_THAT(Offered({"-b", "h:1"}), IsEmpty());
}

TEST(Completion, OffersOnlyNamesThatAShellTakesAsOnePlainWord) {
  using Names = std::vector<std::string>;
  const auto offered = [](const std::string& begun) {
    return Completions(
        {"group", "describe", begun}, [] { return Names{}; },
        [] {
          return Names{"",     "a$(reboot)", "a`reboot`", "a;reboot",  "a b",           "a'", "a\"", "a\\b",
                       "a\nb", "a\x1b[31m",  "a|b",       "a&",        "a>b",           "a*", "a~",  "a!b",
                       "a#b",  "{a,b}",      "\xc2\xa0",  "--execute", "a.B_1-2:/@%+=,"};
        });
  };
  EXPECT_THAT(offered(""), ElementsAre("a.B_1-2:/@%+=,"));
  EXPECT_THAT(offered("a$"), IsEmpty());
  EXPECT_THAT(offered("--e"), Not(Contains("--execute")));
}

TEST(Completion, KnowsKafkasCommandsToo) {
  EXPECT_THAT(Offered({"topics", "--topic", "o"}), ElementsAre("orders"));
  EXPECT_THAT(Offered({"topics", "--desc"}), ElementsAre("--describe"));
  EXPECT_THAT(Offered({"cluster", ""}), ElementsAre("health", "info"));
  EXPECT_THAT(Offered({"nothing", "x"}), IsEmpty());
  EXPECT_THAT(Offered({}), IsEmpty());
}

}  // namespace
}  // namespace tidemark
