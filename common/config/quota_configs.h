// Quotas of clients and users: their names, and what of them holds for a client id. Pure; any thread.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "common/config/config_table.h"
#include "common/config/properties.h"
#include "common/result.h"
#include "common/time.h"

namespace tidemark {

// producer_byte_rate, consumer_byte_rate, request_percentage: of each broker, over all connections of the
// client id.
const ConfigTable& QuotaConfigTable();
// A quota that is a number above 0.
Result<> CheckQuota(std::string_view name, std::string_view value);

enum class QuotaKind { kProduce, kFetch, kRequest };
inline constexpr size_t kQuotaKinds = 3;

// Per second: bytes, and percent of one thread's time. Empty: no limit.
struct QuotaLimits {
  std::optional<double> produce;
  std::optional<double> fetch;
  std::optional<double> request;
  bool any() const { return produce || fetch || request; }
  bool operator==(const QuotaLimits&) const = default;
};

// Of checked values.
QuotaLimits LimitsOf(const Properties& quotas);

// quota.window.num samples of quota.window.size.seconds each.
struct QuotaWindows {
  uint32_t samples = 11;
  Duration length = 1s;
  bool operator==(const QuotaWindows&) const = default;
};

// The quotas in force on a broker. Immutable, replaced whole.
struct QuotaPicture {
  QuotaLimits defaults;  // /config/clients/<default>
  std::map<std::string, QuotaLimits, std::less<>> by_client;
  bool any() const { return defaults.any() || !by_client.empty(); }
  // Each quota from the client's own entity or else the default's.
  QuotaLimits Of(std::string_view client_id) const;
  bool operator==(const QuotaPicture&) const = default;
};

}  // namespace tidemark
