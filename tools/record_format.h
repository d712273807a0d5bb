// RecordFormat: how `tidemark consume -f` prints a record. Tokens of kcat and of rpk; "json" prints an object
// per record. A value; main thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "client/consumer.h"
#include "common/result.h"

namespace tidemark {

class RecordFormat {
 public:
  // "%k %v\n". %t topic, %p partition, %o offset, %k key, %v or %s value, %h headers, %T or %d timestamp, %K
  // bytes of the key (-1: absent), %S or %V bytes of the value, %%; \n \t \r \0 \xHH \\. INVALID_REQUEST
  // names an unknown token.
  static Result<RecordFormat> Of(std::string_view text);

  void Append(const std::string& topic, const ConsumedRecord& record, std::string* out) const;

  // What the help says of the tokens.
  static const char* Tokens();

 private:
  struct Part {
    char token = 0;  // 0: `text` as it is
    std::string text;
  };
  bool json_ = false;
  std::vector<Part> parts_;
};

}  // namespace tidemark
