// A logged-in connection to the host of a state folder.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "kernel/soap_channel.h"
#include "vim/client.h"

namespace virga::cli {

// Where a host serves, as it writes it into its state folder.
struct Endpoint {
  std::string address;
  std::uint16_t port = 0;
  std::filesystem::path password_file;
};
// Throws Error(not_found) when no host has served this folder yet.
Endpoint read_endpoint(const std::filesystem::path& state);

class Connection {
 public:
  // Trusts the folder's own certificate authority, and logs in as root.
  static Async<std::unique_ptr<Connection>> open(std::filesystem::path state);
  // Logs out.
  Async<void> close();

  kernel::SoapChannel& channel() { return channel_; }
  const vim::ServiceContent& content() const { return *content_; }

  // The properties at `paths` of every object of `type` that `container` holds.
  Async<model::List<vim::ObjectContent>> retrieve(model::MoRef container, std::string type,
                                                  std::vector<std::string> paths);
  // The VM of that name. Throws Error(not_found).
  Async<model::MoRef> find_vm(std::string name);
  // Waits for the task's end; throws its fault. What it answered.
  Async<model::Any> wait(model::MoRef task);

 private:
  explicit Connection(asio::any_io_executor executor, wire::ClientOptions options)
      : channel_(std::move(executor), std::move(options)) {}

  kernel::SoapChannel channel_;
  model::Ptr<vim::ServiceContent> content_;
};

using Command = std::function<Async<int>(Connection&)>;
// Runs the command in a session of its own, which ends with it, also when it fails or is cancelled.
Async<int> in_session(std::filesystem::path state, Command command);

// The value of a property in what retrieve() answered; nullptr when it is unset.
template <class T>
const T* property(const vim::ObjectContent& object, std::string_view path) {
  for (const auto& each : object.propSet)
    if (each->name == path) return each->val.template get<T>();
  return nullptr;
}

}  // namespace virga::cli
