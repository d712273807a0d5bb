// TextTable: rows under a header as Kafka's tools print them: columns of a least width, a blank between them.
// A value.
#pragma once

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "common/utf8.h"

namespace tidemark {

// kGrows: as wide as its longest field, and at least `width`. kFixed: longer fields move the rest of their
// line. kUnpadded: the last one; it ends where its field ends (before further columns it grows).
enum class ColumnWidth { kGrows, kFixed, kUnpadded };

struct TextColumn {
  std::string name;
  size_t width = 0;
  ColumnWidth kind = ColumnWidth::kGrows;
};

class TextTable {
 public:
  explicit TextTable(std::vector<TextColumn> columns) : columns_(std::move(columns)) {}
  // One field per column; it is shown as Printable has it.
  void Add(std::vector<std::string> row) {
    for (std::string& field : row) field = Printable(field);
    rows_.push_back(std::move(row));
  }
  size_t rows() const { return rows_.size(); }

  // The header and the rows, each line ended.
  std::string Text() const {
    std::vector<std::string> header;
    std::vector<size_t> widths;
    for (size_t i = 0; i < columns_.size(); ++i) {
      header.push_back(columns_[i].name);
      widths.push_back(WidthOf(i));
    }
    std::string text = Line(header, widths);
    for (const auto& row : rows_) text += Line(row, widths);
    return text;
  }

 private:
  size_t WidthOf(size_t column) const {
    const TextColumn& spec = columns_[column];
    const bool last = column + 1 == columns_.size();
    if (spec.kind == ColumnWidth::kFixed) return spec.width;
    if (spec.kind == ColumnWidth::kUnpadded && last) return 0;
    size_t width = std::max(spec.width, spec.name.size());
    for (const auto& row : rows_) width = std::max(width, row[column].size());
    return width;
  }

  static std::string Line(const std::vector<std::string>& fields, const std::vector<size_t>& widths) {
    std::string line;
    for (size_t i = 0; i < fields.size(); ++i) {
      line += i > 0 ? " " : "";
      line += fields[i];
      line.append(widths[i] - std::min(widths[i], fields[i].size()), ' ');
    }
    return line + "\n";
  }

  std::vector<TextColumn> columns_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace tidemark
