// A call under way: what an implementation may ask about who calls it.
#pragma once

#include <string>

#include "kernel/session.h"
#include "model/managed_object.h"

namespace virga::kernel {

struct Call : model::Call {
  SessionPtr session;            // nullptr before login
  model::Version version;        // the client's API version
  std::string operation_id;
  std::string peer_address;
  std::string user_agent;
  std::string local_address;     // "host:port" the client used, for URLs in answers
  // Set by Login, CloneSession and Logout for the transport: the new session, or the end of one.
  SessionPtr opened;
  bool closed = false;

  const std::string& user() const {
    static const std::string nobody;
    return session ? session->user : nobody;
  }
};

inline Call& context(model::Call& call) { return static_cast<Call&>(call); }

}  // namespace virga::kernel
