// Arguments: the flags of a command as a table, and their values as parsed. One table feeds parsing, help and
// the nearest-name hints. Kafka's forms are all taken: `--flag value`, `--flag=value`, `-flag value`.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/result.h"

namespace tidemark {

struct FlagSpec {
  std::string name;                    // without dashes
  std::string value;                   // name of the value in help; empty: the flag takes none
  std::string help;                    // one sentence
  bool repeated = false;               // may be given several times
  std::vector<std::string> aliases{};  // other names, also without dashes
  bool several_words = false;          // takes all following name=value words (--producer-props a=1 b=2)
  bool value_optional = false;         // the value may be left out: it is then empty
  bool drops_assignment = false;       // "name = value": the stray '=' and the word after it are passed over
  bool keeps_blanks = false;           // the value is taken as it is: a separator, a format
  bool group_id = false;               // of the blanks around the value only pasted ones are cut off
};

// How many values a positional part takes, for help and the stray-word error.
struct PositionalSpec {
  std::string name;
  bool required = false;
  bool several = false;   // the last one may take all words that are left
  bool group_id = false;  // as of FlagSpec
};

class Arguments {
 public:
  // INVALID_REQUEST: an unknown flag (names the nearest one), a missing value, a stray word, a flag given
  // twice. Unicode blanks around values are trimmed (people paste from documents). Around a group's id those
  // stay that a shell separates words by (space, tab, line end): they are there because they were quoted, and
  // ' a ' and 'a' are two groups. `--` ends the flags; the words behind it are taken as they are.
  static Result<Arguments> Parse(const std::vector<std::string>& words, const std::vector<FlagSpec>& flags,
                                 const std::vector<PositionalSpec>& positionals = {});

  bool Has(std::string_view flag) const;
  std::optional<std::string> Get(std::string_view flag) const;
  std::string GetOr(std::string_view flag, std::string fallback) const;
  std::vector<std::string> All(std::string_view flag) const;  // of "": the flags' names in the order given
  // INVALID_REQUEST names the flag and says what a right value looks like.
  Result<std::string> Require(std::string_view flag) const;
  Result<std::optional<int64_t>> GetInteger(std::string_view flag, int64_t min, int64_t max) const;
  // Repeated `key=value` values of a flag as a map; a value may hold '='.
  Result<std::map<std::string, std::string>> GetProperties(std::string_view flag) const;
  const std::vector<std::string>& positionals() const { return positionals_; }
  // INVALID_REQUEST: pasted blanks were cut off a group's id, so that it may be another group than the one
  // that was said. For what writes to groups.
  Result<> GroupIdsAreAsGiven() const;

 private:
  // `as_it_is`: it stands behind `--`. There is at least one spec.
  void AddPositional(const std::string& word, bool as_it_is, const std::vector<PositionalSpec>& specs);
  // The id without the blanks that come from documents; notes that there were some.
  std::string GroupIdIn(const std::string& text);

  std::map<std::string, std::vector<std::string>, std::less<>> values_;
  std::vector<std::string> positionals_;
  std::optional<std::string> cut_group_id_;  // the first of which something was cut off, as it was given
};

}  // namespace tidemark
