#include "tools/record_output.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <iterator>
#include <vector>

#include "common/nearest_name.h"
#include "tools/output.h"
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

Result<> RecordOutput::SetFormatter(std::string_view name) {
  static const std::map<std::string, Form> forms = {{"DefaultMessageFormatter", Form::kDefault},
                                                    {"NoOpMessageFormatter", Form::kNothing},
                                                    {"OffsetsMessageFormatter", Form::kOffsets},
                                                    {"GroupMetadataMessageFormatter", Form::kGroups}};
  const std::string last(name.substr(name.find_last_of(".$") + 1));
  if (const auto found = forms.find(last); found != forms.end()) {
    form_ = found->second;
    return {};
  }
  std::vector<std::string> known;
  for (const auto& [each, form] : forms) known.push_back(each);
  const std::string nearest = NearestName(last, known);
  return Fail(v1::INVALID_REQUEST, "unknown --formatter {}; {}", last,
              nearest.empty() ? fmt::format("known are {}", fmt::join(known, ", "))
                              : "did you mean " + nearest + "?");
}

Result<> RecordOutput::Add(const ConsumedRecord& record) {
  const size_t before = buffer_.size();
  Result<> added;
  if (form_ == Form::kDefault) added = AddDefault(record);
  if (form_ == Form::kOffsets || form_ == Form::kGroups) added = AddGroupRecord(record.view);
  if (!added) {
    buffer_.resize(before);
    added.error().message = fmt::format("partition {}, offset {}: {}", record.partition, record.view.offset,
                                        added.error().message);
  }
  return added;
}

Result<> RecordOutput::AddField(FieldType type, const std::optional<std::string_view>& bytes) {
  Separate();
  if (bytes) return AppendField(type, *bytes, &buffer_);
  buffer_ += null_literal_;
  return {};
}

Result<> RecordOutput::AddGroupRecord(const RecordView& view) {
  TM_ASSIGN_OR_RETURN(const auto text, DescribeGroupRecord(view.key, view.value));
  if (text && text->offset == (form_ == Form::kOffsets))
    buffer_.append(R"({"key":)").append(text->key).append(R"(,"value":)").append(text->value).append("}\n");
  return {};
}

Result<> RecordOutput::AddDefault(const ConsumedRecord& record) {
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
  if (print_key_) TM_RETURN_IF_ERROR(AddField(key_type_, view.key));
  if (print_value_) TM_RETURN_IF_ERROR(AddField(value_type_, view.value));
  buffer_ += line_separator_;
  return {};
}

bool RecordOutput::Flush() {
  size_t done = 0;
  while (done < buffer_.size()) {
    const ssize_t n = ::write(STDOUT_FILENO, buffer_.data() + done, buffer_.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      NoteOutputError(errno);
      return false;
    }
    done += static_cast<size_t>(n);
  }
  buffer_.clear();
  return true;
}

}  // namespace tidemark
