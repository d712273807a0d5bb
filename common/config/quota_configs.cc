#include "common/config/quota_configs.h"

namespace tidemark {
namespace {

std::optional<double> Limit(const Properties& quotas, const char* name) {
  const ConfigValues values(QuotaConfigTable(), quotas);
  if (!values.IsSet(name) || values.Text(name).empty()) return std::nullopt;
  return values.Double(name);
}

}  // namespace

const ConfigTable& QuotaConfigTable() {
  static const ConfigTable table(
      "quota",
      {{"producer_byte_rate", ConfigType::kDouble, "", "bytes/s",
        "What the client may produce to one broker; not set: no limit", ConfigEffect::kInForce, 0},
       {"consumer_byte_rate", ConfigType::kDouble, "", "bytes/s",
        "What the client may fetch from one broker; not set: no limit", ConfigEffect::kInForce, 0},
       {"request_percentage", ConfigType::kDouble, "", "%",
        "Share of one thread's time on one broker that the client's requests may take; not set: no limit",
        ConfigEffect::kInForce, 0}});
  return table;
}

Result<> CheckQuota(std::string_view name, std::string_view value) {
  TM_RETURN_IF_ERROR(QuotaConfigTable().Check(name, value));
  const bool sets =
      !value.empty() &&
      ConfigValues(QuotaConfigTable(), {{std::string(name), std::string(value)}}).Double(name) > 0;
  if (sets) return {};
  return Fail(v1::INVALID_CONFIG, "{}={} lets nothing through; for no limit remove it (--delete-config {})",
              name, value, name);
}

QuotaLimits LimitsOf(const Properties& quotas) {
  return {.produce = Limit(quotas, "producer_byte_rate"),
          .fetch = Limit(quotas, "consumer_byte_rate"),
          .request = Limit(quotas, "request_percentage")};
}

QuotaLimits QuotaPicture::Of(std::string_view client_id) const {
  const auto own = by_client.find(client_id);
  if (own == by_client.end()) return defaults;
  QuotaLimits out = own->second;
  if (!out.produce) out.produce = defaults.produce;
  if (!out.fetch) out.fetch = defaults.fetch;
  if (!out.request) out.request = defaults.request;
  return out;
}

}  // namespace tidemark
