// The one exception the engine column throws. What went wrong is a kind that the host turns into an
// API fault by a single table; what it went wrong with is the subject, and always stands in what().
#pragma once

#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <utility>

namespace virga {

enum class ErrorKind {
  invalid_argument,   // the caller's input is malformed
  not_found,          // the subject does not exist
  already_exists,     // the subject exists and must not
  access_denied,      // the subject lies outside what the caller may touch
  busy,               // somebody else holds the subject: a lock, a running operation
  invalid_state,      // the subject exists, but not in a state that allows this
  no_space,           // the disk is full
  unsupported,        // understood, and not offered
  io,                 // the operating system refused
  gone,               // a peer (a process, a connection) ended while it was needed
  timed_out,          // a peer did not answer in time
  cancelled,          // the caller asked to stop
  damaged,            // a file's content contradicts its format
};

class Error : public std::runtime_error {
 public:
  Error(ErrorKind kind, std::string subject, const std::string& message)
      : std::runtime_error(message), kind_(kind), subject_(std::move(subject)) {}

  ErrorKind kind() const { return kind_; }
  // What the error is about: a path, a key, a VM's name. Empty only where there is nothing to name.
  const std::string& subject() const { return subject_; }

 private:
  ErrorKind kind_;
  std::string subject_;
};

// throw error(ErrorKind::not_found, path, "{} does not exist", path);
template <class... Args>
Error error(ErrorKind kind, std::string subject, fmt::format_string<Args...> format,
            Args&&... args) {
  return Error(kind, std::move(subject), fmt::format(format, std::forward<Args>(args)...));
}

// The Error for a failed system call: errno (or `code`) decides the kind.
Error system_error(const std::string& subject, const std::string& doing, int code);
Error system_error(const std::string& subject, const std::string& doing);

}  // namespace virga
