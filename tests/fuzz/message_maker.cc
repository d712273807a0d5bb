#include "tests/fuzz/message_maker.h"

#include <algorithm>

namespace tidemark::fuzzing {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

constexpr size_t kPoolSize = 200;
constexpr int kDepth = 6;
constexpr size_t kElements = 4;

uint64_t PickNumber(ByteSource& source, const ValuePool& pool) {
  const size_t choice = source.Below(8);
  if (choice == 0) return source.Word();
  return pool.numbers[source.Below(pool.numbers.size())] + (choice == 1 ? 1 : 0);
}

std::string PickString(ByteSource& source, const ValuePool& pool) {
  if (source.Below(8) == 0) return source.Bytes(source.Below(64));
  return pool.strings[source.Below(pool.strings.size())];
}

void Fill(ByteSource& source, const ValuePool& pool, int depth, Message* message);

void FillScalar(ByteSource& source, const ValuePool& pool, const FieldDescriptor* field, Message* message) {
  const Reflection* reflection = message->GetReflection();
  const bool many = field->is_repeated();
#define TIDEMARK_FUZZ_SET(Kind, value) \
  return many ? reflection->Add##Kind(message, field, value) : reflection->Set##Kind(message, field, value)
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      TIDEMARK_FUZZ_SET(Int32, static_cast<int32_t>(PickNumber(source, pool)));
    case FieldDescriptor::CPPTYPE_INT64:
      TIDEMARK_FUZZ_SET(Int64, static_cast<int64_t>(PickNumber(source, pool)));
    case FieldDescriptor::CPPTYPE_UINT32:
      TIDEMARK_FUZZ_SET(UInt32, static_cast<uint32_t>(PickNumber(source, pool)));
    case FieldDescriptor::CPPTYPE_UINT64:
      TIDEMARK_FUZZ_SET(UInt64, PickNumber(source, pool));
    case FieldDescriptor::CPPTYPE_BOOL:
      TIDEMARK_FUZZ_SET(Bool, source.Below(2) == 1);
    case FieldDescriptor::CPPTYPE_DOUBLE:
      TIDEMARK_FUZZ_SET(Double, static_cast<double>(PickNumber(source, pool)));
    case FieldDescriptor::CPPTYPE_FLOAT:
      TIDEMARK_FUZZ_SET(Float, static_cast<float>(PickNumber(source, pool)));
    case FieldDescriptor::CPPTYPE_ENUM:
      // Also numbers that the enum does not know.
      TIDEMARK_FUZZ_SET(EnumValue, static_cast<int>(source.Below(field->enum_type()->value_count() + 1)));
    case FieldDescriptor::CPPTYPE_STRING:
      TIDEMARK_FUZZ_SET(String, PickString(source, pool));
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return;
  }
#undef TIDEMARK_FUZZ_SET
}

void FillField(ByteSource& source, const ValuePool& pool, int depth, const FieldDescriptor* field,
               Message* message) {
  const Reflection* reflection = message->GetReflection();
  // Mostly one element, so that messages stay whole with few bytes.
  const size_t shape = source.Below(8);
  const size_t count =
      field->is_repeated() ? (shape < 5 ? 1 : shape - 5 + (shape == 7 ? kElements - 2 : 0)) : 1;
  for (size_t i = 0; i < count; ++i) {
    if (field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) {
      FillScalar(source, pool, field, message);
    } else if (depth > 0) {
      Fill(source, pool, depth - 1,
           field->is_repeated() ? reflection->AddMessage(message, field)
                                : reflection->MutableMessage(message, field));
    }
  }
}

void Fill(ByteSource& source, const ValuePool& pool, int depth, Message* message) {
  const auto* descriptor = message->GetDescriptor();
  for (int i = 0; i < descriptor->real_oneof_decl_count(); ++i) {
    const auto* oneof = descriptor->oneof_decl(i);
    const FieldDescriptor* field = oneof->field(static_cast<int>(source.Below(oneof->field_count())));
    FillField(source, pool, depth, field, message);
  }
  for (int i = 0; i < descriptor->field_count(); ++i) {
    const FieldDescriptor* field = descriptor->field(i);
    if (field->real_containing_oneof() != nullptr || source.empty()) continue;
    // One in eight is left out.
    if (source.Below(8) != 7) FillField(source, pool, depth, field, message);
  }
}

}  // namespace

uint8_t ByteSource::Byte() {
  if (left_.empty()) return 0;
  const uint8_t byte = left_.front();
  left_ = left_.subspan(1);
  return byte;
}

size_t ByteSource::Below(size_t bound) {
  if (bound <= 1) return 0;
  size_t number = Byte();
  if (bound > 256) number = number << 8 | Byte();
  return number % bound;
}

uint64_t ByteSource::Word() {
  uint64_t word = 0;
  for (int i = 0; i < 8; ++i) word = word << 8 | Byte();
  return word;
}

std::string ByteSource::Bytes(size_t most) {
  const size_t size = std::min(most, left_.size());
  std::string bytes(left_.begin(), left_.begin() + static_cast<ptrdiff_t>(size));
  left_ = left_.subspan(size);
  return bytes;
}

void ValuePool::Number(uint64_t value) {
  if (numbers.size() < kPoolSize && std::ranges::find(numbers, value) == numbers.end())
    numbers.push_back(value);
}

void ValuePool::String(std::string value) {
  if (value.size() > 4096) return;
  if (strings.size() < kPoolSize && std::ranges::find(strings, value) == strings.end())
    strings.push_back(std::move(value));
}

void ValuePool::Learn(const Message& message) {
  const Reflection* reflection = message.GetReflection();
  std::vector<const FieldDescriptor*> fields;
  reflection->ListFields(message, &fields);
  for (const FieldDescriptor* field : fields) {
    const int count = field->is_repeated() ? std::min(reflection->FieldSize(message, field), 4) : 1;
    for (int i = 0; i < count; ++i) {
      const bool many = field->is_repeated();
      switch (field->cpp_type()) {
        case FieldDescriptor::CPPTYPE_STRING:
          String(many ? reflection->GetRepeatedString(message, field, i)
                      : reflection->GetString(message, field));
          break;
        case FieldDescriptor::CPPTYPE_UINT32:
          Number(many ? reflection->GetRepeatedUInt32(message, field, i)
                      : reflection->GetUInt32(message, field));
          break;
        case FieldDescriptor::CPPTYPE_UINT64:
          Number(many ? reflection->GetRepeatedUInt64(message, field, i)
                      : reflection->GetUInt64(message, field));
          break;
        case FieldDescriptor::CPPTYPE_MESSAGE:
          Learn(many ? reflection->GetRepeatedMessage(message, field, i)
                     : reflection->GetMessage(message, field));
          break;
        default:
          break;
      }
    }
  }
}

void MakeMessage(ByteSource& source, const ValuePool& pool, Message* message) {
  Fill(source, pool, kDepth, message);
}

}  // namespace tidemark::fuzzing
