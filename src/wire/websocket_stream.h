// WebSocket over a TLS stream that has just said hello in HTTP.
#pragma once

#include "wire/http_message.h"
#include "wire/tls_stream.h"
#include "wire/websocket.h"

namespace virga::wire {

// A server's side: answers the upgrade request that `target` and `headers` come from. `stream` must
// outlive what is returned.
Async<std::unique_ptr<WebSocket>> accept_upgrade(TlsStream& stream, const std::string& target,
                                                 const Headers& headers, WebSocketOptions options);

// A client's side: asks for the upgrade. Throws Error with the kind that fits the refusal's status.
Async<std::unique_ptr<WebSocket>> request_upgrade(std::unique_ptr<TlsStream> stream,
                                                  const std::string& host,
                                                  const std::string& target, const Headers& headers,
                                                  WebSocketOptions options);

}  // namespace virga::wire
