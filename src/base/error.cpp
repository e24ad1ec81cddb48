#include "base/error.h"

#include <cerrno>
#include <cstring>

namespace virga {
namespace {

ErrorKind kind_of(int code) {
  switch (code) {
    case ENOENT:
    case ENOTDIR:
      return ErrorKind::not_found;
    case EEXIST:
    case ENOTEMPTY:
      return ErrorKind::already_exists;
    case EACCES:
    case EPERM:
    case EROFS:
    case ELOOP:
      return ErrorKind::access_denied;
    case EBUSY:
    case EAGAIN:
    case ETXTBSY:
      return ErrorKind::busy;
    case ENOSPC:
    case EDQUOT:
      return ErrorKind::no_space;
    case ENAMETOOLONG:
    case EINVAL:
      return ErrorKind::invalid_argument;
    default:
      return ErrorKind::io;
  }
}

}  // namespace

Error system_error(const std::string& subject, const std::string& doing, int code) {
  return error(kind_of(code), subject, "{} {}: {}", doing, subject, std::strerror(code));
}

Error system_error(const std::string& subject, const std::string& doing) {
  return system_error(subject, doing, errno);
}

}  // namespace virga
