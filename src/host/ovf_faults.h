// What is wrong with an OVF descriptor, as the API says it: OvfFault's family.
#pragma once

#include <string>

#include "model/fault.h"
#include "ovf/reader.h"
#include "vim/types.h"

namespace virga::host {

// Errors forbid the import, warnings tell what becomes of it.
struct OvfFindings {
  model::List<vim::LocalizedMethodFault> errors;
  model::List<vim::LocalizedMethodFault> warnings;

  void add(bool is_error, const model::Fault& fault);
  template <class Detail>
  void error(Detail detail, std::string message) {
    add(true, model::Fault(std::move(detail), std::move(message)));
  }
  template <class Detail>
  void warning(Detail detail, std::string message) {
    add(false, model::Fault(std::move(detail), std::move(message)));
  }
};

// Those of reading it.
OvfFindings findings_of(const ovf::Reading& reading);

}  // namespace virga::host
