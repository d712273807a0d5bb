#include "tools/listing.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdio>

#include <fmt/format.h>
#include <glog/logging.h>

#include "common/nearest_name.h"
#include "common/utf8.h"

namespace tidemark {
namespace {

// A cell in words; lists with `separator` between their parts.
std::string CellText(const Listing::Cell& cell, const char* separator, const char* absent) {
  if (cell.is_null()) return absent;
  if (cell.is_string()) return cell.get<std::string>();
  if (!cell.is_array()) return cell.dump();
  std::string out;
  for (const auto& part : cell) out += (out.empty() ? "" : separator) + CellText(part, " ", absent);
  return out.empty() ? absent : out;
}

// Characters that a terminal shows; continuation bytes of UTF-8 take no place of their own.
size_t Width(const std::string& text) {
  return static_cast<size_t>(
      std::ranges::count_if(text, [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

std::string Quoted(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string out = "\"";
  for (const char c : text) out += c == '"' ? std::string("\"\"") : std::string(1, c);
  return out + "\"";
}

}  // namespace

Result<OutputFormat> ParseOutputFormat(const std::string& text) {
  if (text == "table") return OutputFormat::kTable;
  if (text == "json") return OutputFormat::kJson;
  if (text == "csv") return OutputFormat::kCsv;
  const std::string nearest = NearestName(text, {"table", "json", "csv"});
  return Fail(v1::INVALID_REQUEST, "'{}' is no output format; there are table, json and csv{}", text,
              nearest.empty() ? "" : fmt::format("; did you mean {}?", nearest));
}

void Listing::Add(std::vector<Cell> cells) {
  CHECK_EQ(cells.size(), columns_.size()) << "a row has other columns than its listing";
  rows_.push_back(std::move(cells));
}

Listing::Cell Listing::Json() const {
  Cell out = Cell::array();
  for (const auto& row : rows_) {
    Cell object = Cell::object();
    for (size_t i = 0; i < row.size(); ++i) object[columns_[i]] = row[i];
    out.push_back(std::move(object));
  }
  return out;
}

std::string Listing::Text(OutputFormat format) const {
  switch (format) {
    case OutputFormat::kJson:
      return JsonText(Json());
    case OutputFormat::kCsv:
      return Csv();
    case OutputFormat::kTable:
      break;
  }
  return Table();
}

std::string Listing::Table() const {
  std::vector<std::vector<std::string>> lines(1);
  for (const std::string& column : columns_) {
    std::string& name = lines[0].emplace_back(column);
    std::ranges::transform(name, name.begin(), [](unsigned char c) {
      return c == '_' ? '-' : static_cast<char>(std::toupper(c));
    });
  }
  std::vector<bool> numbers(columns_.size(), true);
  for (const auto& row : rows_) {
    std::vector<std::string>& line = lines.emplace_back();
    for (size_t i = 0; i < row.size(); ++i) {
      line.push_back(Printable(CellText(row[i], ",", "-")));
      if (!row[i].is_number() && !row[i].is_null()) numbers[i] = false;
    }
  }
  std::vector<size_t> widths(columns_.size());
  for (const auto& line : lines) {
    for (size_t i = 0; i < line.size(); ++i) widths[i] = std::max(widths[i], Width(line[i]));
  }
  std::string out;
  for (const auto& line : lines) {
    for (size_t i = 0; i < line.size(); ++i) {
      const std::string blanks(widths[i] - Width(line[i]), ' ');
      out += i > 0 ? "  " : "";
      if (numbers[i]) {
        out += blanks + line[i];
      } else {
        out += i + 1 < line.size() ? line[i] + blanks : line[i];
      }
    }
    out += "\n";
  }
  return out;
}

std::string Listing::Csv() const {
  std::string out;
  for (size_t i = 0; i < columns_.size(); ++i) out += (i > 0 ? "," : "") + Quoted(columns_[i]);
  out += "\n";
  for (const auto& row : rows_) {
    for (size_t i = 0; i < row.size(); ++i) out += (i > 0 ? "," : "") + Quoted(CellText(row[i], " ", ""));
    out += "\n";
  }
  return out;
}

double Rounded(double value, int digits) {
  const double scale = std::pow(10.0, digits);
  return std::round(value * scale) / scale;
}

std::string JsonText(const Listing::Cell& json) {
  return json.dump(2, ' ', false, Listing::Cell::error_handler_t::replace) + "\n";
}

}  // namespace tidemark
