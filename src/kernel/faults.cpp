#include "kernel/faults.h"

#include <boost/system/system_error.hpp>

#include "base/log.h"
#include "vim/types.h"

namespace virga::kernel {

Fault managed_object_not_found(const MoRef& ref) {
  vim::ManagedObjectNotFound detail;
  detail.obj = ref;
  return Fault(std::move(detail),
               fmt::format("The object '{}:{}' has already been deleted or has not been completely "
                           "created",
                           ref.type, ref.value));
}

Fault not_authenticated(const MoRef& object, const std::string& privilege) {
  vim::NotAuthenticated detail;
  detail.object = object;
  detail.privilegeId = privilege;
  return Fault(std::move(detail), "The session is not authenticated.");
}

Fault no_permission(const MoRef& object, const std::string& privilege) {
  vim::NoPermission detail;
  detail.object = object;
  detail.privilegeId = privilege;
  return Fault(std::move(detail), fmt::format("Permission to perform this operation was denied: {} on '{}:{}'",
                                              privilege, object.type, object.value));
}

Fault invalid_login(const std::string& user) {
  return Fault(vim::InvalidLogin{},
               fmt::format("Cannot complete login of '{}' due to an incorrect user name or password.",
                           user));
}

Fault invalid_request(const std::string& message) {
  return Fault(vim::InvalidRequest{}, message);
}

Fault invalid_argument(const std::string& property, const std::string& message) {
  vim::InvalidArgument detail;
  detail.invalidProperty = property;
  return Fault(std::move(detail),
               fmt::format("A specified parameter was not correct: {}: {}", property, message));
}

Fault invalid_property(const std::string& path, const std::string& type) {
  vim::InvalidProperty detail;
  detail.name = path;
  return Fault(std::move(detail), fmt::format("{} has no property '{}'", type, path));
}

Fault not_supported(const std::string& what) {
  return Fault(vim::NotSupported{}, fmt::format("{} is not supported.", what));
}

Fault not_found(const std::string& what) {
  return Fault(vim::NotFound{}, fmt::format("{} could not be found.", what));
}

Fault already_exists(const std::string& name) {
  vim::AlreadyExists detail;
  detail.name = name;
  return Fault(std::move(detail), fmt::format("'{}' already exists.", name));
}

Fault duplicate_name(const std::string& name, const MoRef& object) {
  vim::DuplicateName detail;
  detail.name = name;
  detail.object = object;
  return Fault(std::move(detail), fmt::format("The name '{}' already exists.", name));
}

Fault invalid_name(const std::string& name, const std::string& why) {
  vim::InvalidName detail;
  detail.name = name;
  return Fault(std::move(detail), fmt::format("The name '{}' is not valid: {}", name, why));
}

Fault invalid_state(const std::string& message) { return Fault(vim::InvalidState{}, message); }

Fault request_canceled(const std::string& message) {
  return Fault(vim::RequestCanceled{}, message);
}

Fault system_error(const std::string& message) {
  vim::SystemError detail;
  detail.reason = message;
  return Fault(std::move(detail), fmt::format("A general system error occurred: {}", message));
}

bool is_runtime_fault(const Fault& fault) {
  return model::is_a(fault.detail()->type_info(), vim::RuntimeFault::static_type());
}

namespace {

template <class FileFault>
Fault file_fault(const Error& error) {
  FileFault detail;
  detail.file = error.subject();
  return Fault(std::move(detail), error.what());
}

}  // namespace

Fault from_error(const Error& error) {
  switch (error.kind()) {
    case ErrorKind::invalid_argument: {
      vim::InvalidArgument detail;
      detail.invalidProperty = error.subject();
      return Fault(std::move(detail), error.what());
    }
    case ErrorKind::not_found:
      return file_fault<vim::FileNotFound>(error);
    case ErrorKind::already_exists:
      return file_fault<vim::FileAlreadyExists>(error);
    case ErrorKind::access_denied:
      return file_fault<vim::CannotAccessFile>(error);
    case ErrorKind::busy:
      return file_fault<vim::FileLocked>(error);
    case ErrorKind::no_space:
      return file_fault<vim::NoDiskSpace>(error);
    case ErrorKind::invalid_state:
      return Fault(vim::InvalidState{}, error.what());
    case ErrorKind::unsupported:
      return Fault(vim::NotSupported{}, error.what());
    case ErrorKind::cancelled:
      return Fault(vim::RequestCanceled{}, error.what());
    case ErrorKind::timed_out:
      return Fault(vim::Timedout{}, error.what());
    case ErrorKind::damaged: {
      vim::GenericVmConfigFault detail;
      detail.reason = error.what();
      return Fault(std::move(detail), error.what());
    }
    case ErrorKind::io:
    case ErrorKind::gone:
      break;
  }
  return system_error(error.what());
}

Fault from_exception(std::exception_ptr exception, const std::string& doing) {
  try {
    std::rethrow_exception(exception);
  } catch (const Fault& fault) {
    return fault;
  } catch (const Error& failure) {
    return from_error(failure);
  } catch (const boost::system::system_error& failure) {
    if (failure.code() == asio::error::operation_aborted)
      return request_canceled(doing + " was cancelled");
    logger("kernel")->error("{}: {}", doing, failure.what());
  } catch (const std::exception& failure) {
    logger("kernel")->error("{}: {}", doing, failure.what());
  }
  return system_error(doing + " failed; the server's log tells more");
}

}  // namespace virga::kernel
