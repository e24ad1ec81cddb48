// The API's faults by what went wrong, each with a message that names the culprit.
#pragma once

#include <string>

#include "base/error.h"
#include "model/fault.h"
#include "model/values.h"

namespace virga::kernel {

using model::Fault;
using model::MoRef;

Fault managed_object_not_found(const MoRef& ref);
Fault not_authenticated(const MoRef& object, const std::string& privilege);
Fault no_permission(const MoRef& object, const std::string& privilege);
Fault invalid_login(const std::string& user);
Fault invalid_request(const std::string& message);
Fault invalid_argument(const std::string& property, const std::string& message);
Fault invalid_property(const std::string& path, const std::string& type);
Fault not_supported(const std::string& what);
Fault not_found(const std::string& what);
Fault already_exists(const std::string& name);
Fault duplicate_name(const std::string& name, const MoRef& object);
Fault invalid_name(const std::string& name, const std::string& why);
Fault invalid_state(const std::string& message);
Fault request_canceled(const std::string& message);
Fault system_error(const std::string& message);

// Runtime faults (NotAuthenticated, InvalidRequest, SystemError, …) as opposed to declared ones.
bool is_runtime_fault(const Fault& fault);

// An engine's error as the API's fault: files and datastores by FileFault's family, the rest by kind.
Fault from_error(const Error& error);
// Whatever left an implementation: Fault as it is, virga::Error by from_error, anything else a
// SystemError whose cause is logged, not told.
Fault from_exception(std::exception_ptr exception, const std::string& doing);

}  // namespace virga::kernel
