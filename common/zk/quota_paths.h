// Where the quotas of a user together with a client id stand, as Kafka has it: below the user's znode. Pure.
#pragma once

#include <string>
#include <string_view>

#include "common/zk/zk_paths.h"

namespace tidemark::zkpath {

// "users/alice/clients": exists while the user has quotas with some client.
inline std::string UserClientsEntity(std::string_view user) { return UserEntity(user) + "/clients"; }
// "users/alice/clients/my%20app"; empty names are the defaults of all.
inline std::string UserClientEntity(std::string_view user, std::string_view client_id) {
  return UserEntity(user) + "/" + ClientEntity(client_id);
}

}  // namespace tidemark::zkpath
