#include "tools/record_output.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <iterator>
#include <vector>

#include "common/nearest_name.h"
#include "tools/record_input.h"

namespace tidemark {

Result<RecordOutput> RecordOutput::FromProperties(const std::map<std::string, std::string>& properties) {
  RecordOutput output;
  const std::map<std::string, bool*> switches = {{"print.timestamp", &output.print_timestamp_},
                                                 {"print.partition", &output.print_partition_},
                                                 {"print.offset", &output.print_offset_},
                                                 {"print.headers", &output.print_headers_},
                                                 {"print.key", &output.print_key_},
                                                 {"print.value", &output.print_value_}};
  const std::map<std::string, std::string*> texts = {{"key.separator", &output.key_separator_},
                                                     {"line.separator", &output.line_separator_},
                                                     {"headers.separator", &output.headers_separator_},
                                                     {"null.literal", &output.null_literal_}};
  for (const auto& [name, value] : properties) {
    if (auto it = switches.find(name); it != switches.end()) {
      TM_ASSIGN_OR_RETURN(*it->second, ParseBool(name, value));
    } else if (auto text = texts.find(name); text != texts.end()) {
      *text->second = Unescape(value);
    } else {
      std::vector<std::string> names;
      for (const auto& [known, _] : switches) names.push_back(known);
      for (const auto& [known, _] : texts) names.push_back(known);
      const std::string nearest = NearestName(name, names);
      return Fail(v1::INVALID_REQUEST, "unknown --property {}{}", name,
                  nearest.empty() ? "; --help lists them" : "; did you mean " + nearest + "?");
    }
  }
  return output;
}

void RecordOutput::Separate() {
  if (!first_field_) buffer_ += key_separator_;
  first_field_ = false;
}

void RecordOutput::Add(const ConsumedRecord& record) {
  const RecordView& view = record.view;
  auto out = std::back_inserter(buffer_);
  first_field_ = true;
  if (print_timestamp_) {
    Separate();
    if (view.timestamp < 0) {
      buffer_ += "NO_TIMESTAMP";
    } else {
      fmt::format_to(out, "CreateTime:{}", view.timestamp);
    }
  }
  if (print_partition_) {
    Separate();
    fmt::format_to(out, "Partition:{}", record.partition);
  }
  if (print_offset_) {
    Separate();
    fmt::format_to(out, "Offset:{}", view.offset);
  }
  if (print_headers_) {
    Separate();
    if (view.header_count == 0) buffer_ += "NO_HEADERS";
    HeaderView header;
    bool first = true;
    for (HeaderCursor cursor = view.headers(); cursor.Next(&header); first = false) {
      if (!first) buffer_ += headers_separator_;
      buffer_.append(header.key).append(":").append(header.value.value_or(null_literal_));
    }
  }
  if (print_key_) {
    Separate();
    buffer_ += view.key.value_or(null_literal_);
  }
  if (print_value_) {
    Separate();
    buffer_ += view.value.value_or(null_literal_);
  }
  buffer_ += line_separator_;
}

bool RecordOutput::Flush() {
  size_t done = 0;
  while (done < buffer_.size()) {
    const ssize_t n = ::write(STDOUT_FILENO, buffer_.data() + done, buffer_.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return false;
    done += static_cast<size_t>(n);
  }
  buffer_.clear();
  return true;
}

}  // namespace tidemark
