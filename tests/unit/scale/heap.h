// The bytes that operator new has given out in this program and not got back: counted, not estimated, so that
// what a thing costs is a difference. A sanitizer's heap counts by itself.
#pragma once

#include <cstddef>

namespace tidemark {

size_t HeapBytes();

}  // namespace tidemark
