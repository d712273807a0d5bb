// UTF-8 of text that comes from outside. Protobuf's `string` fields must be valid UTF-8: a message with one
// that is not cannot be read by anybody. Pure.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace tidemark {

// Bytes of the code point that `text` begins with; 0: it begins with none (or is empty).
size_t CodePointBytes(std::string_view text);
// `text` as valid UTF-8: bytes that belong to no code point become \xNN.
std::string ToUtf8(std::string_view text);
// `text` as one line that is safe to show on a terminal: as ToUtf8, and control characters (C0, DEL, C1)
// become
// \xNN too, byte by byte. Names that others chose could else move the cursor, set colours, or fake a line.
std::string Printable(std::string_view text);
bool IsValidUtf8(std::string_view text);
// The beginning of valid text: as many whole code points as fit into `bytes`.
std::string_view Utf8Prefix(std::string_view text, size_t bytes);

}  // namespace tidemark
