// Listing: the answer of a command of the noun-and-verb face, as rows of typed cells, printed as a table for
// people, JSON for programs or CSV for spreadsheets. A value; main thread.
//
// The JSON of a listing is an array of objects whose names are the columns', in their order: numbers are
// numbers, what is not known is null, lists are arrays. CSV has a line of names, then the rows (RFC 4180);
// lists are separated by blanks.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "common/result.h"
#include "tools/output.h"

namespace tidemark {

enum class OutputFormat { kTable, kJson, kCsv };
// "table", "json", "csv"; INVALID_REQUEST names the nearest.
Result<OutputFormat> ParseOutputFormat(const std::string& text);

class Listing {
 public:
  using Cell = nlohmann::ordered_json;
  explicit Listing(std::vector<std::string> columns) : columns_(std::move(columns)) {}

  // One cell per column.
  void Add(std::vector<Cell> cells);
  size_t size() const { return rows_.size(); }
  Cell Json() const;
  std::string Text(OutputFormat format) const;

 private:
  std::string Table() const;
  std::string Csv() const;

  std::vector<std::string> columns_;
  std::vector<std::vector<Cell>> rows_;
};

// A measured number with so many digits behind the point: what a reader needs of it.
double Rounded(double value, int digits);

// JSON as the commands print it: indented, with a line end; bytes that are not UTF-8 are replaced.
std::string JsonText(const Listing::Cell& json);

}  // namespace tidemark
