// An API fault on its way to the caller: the data object the API names and a sentence for people.
//
//   throw Fault(vim::InvalidPowerState{...}, "web01 is powered on; it must be powered off to …");
#pragma once

#include <exception>
#include <string>
#include <utility>

#include "model/data_object.h"

namespace virga::model {

class Fault : public std::exception {
 public:
  Fault(DataPtr detail, std::string message)
      : detail_(std::move(detail)), message_(std::move(message)) {}
  template <class T>
    requires std::is_base_of_v<DataObject, T>
  Fault(T detail, std::string message)
      : Fault(share(std::move(detail)).data(), std::move(message)) {}

  const DataPtr& detail() const { return detail_; }
  const std::string& message() const { return message_; }
  const char* what() const noexcept override { return message_.c_str(); }

 private:
  DataPtr detail_;
  std::string message_;
};

}  // namespace virga::model
