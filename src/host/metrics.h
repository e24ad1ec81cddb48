// /metrics: what the daemon does, in the text format that Prometheus reads.
#pragma once

#include "host/host.h"
#include "wire/http_server.h"

namespace virga::host {

// Adds the route. Both must outlive the server's connections.
void serve_metrics(Host& host, wire::HttpServer& server);

}  // namespace virga::host
