// TextTable: rows under a header, columns as wide as what is in them. A value.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

namespace tidemark {

class TextTable {
 public:
  explicit TextTable(std::vector<std::string> header) { rows_.push_back(std::move(header)); }
  void Add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
  size_t rows() const { return rows_.size() - 1; }

  // Left-aligned, two blanks between columns, each line ended; empty fields are shown as '-'.
  std::string Text() const {
    std::vector<size_t> widths(rows_.front().size());
    for (const auto& row : rows_) {
      for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max({widths[i], row[i].size(), size_t{1}});
    }
    std::string text;
    for (const auto& row : rows_) {
      for (size_t i = 0; i < row.size(); ++i) {
        const std::string& field = row[i].empty() ? kNothing : row[i];
        text += field;
        if (i + 1 < row.size()) text.append(widths[i] - field.size() + 2, ' ');
      }
      text += '\n';
    }
    return text;
  }

 private:
  inline static const std::string kNothing = "-";
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace tidemark
