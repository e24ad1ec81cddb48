#pragma once

#include <gmock/gmock.h>

#include <stdexcept>
#include <string>

#include "base/error.h"

namespace virga {

// The statement throws an Error of `kind` whose message has `part` in it.
template <class Statement>
void expect_error(ErrorKind kind, const std::string& part, Statement statement) {
  try {
    statement();
    ADD_FAILURE() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), kind) << error.what();
    EXPECT_THAT(std::string(error.what()), testing::HasSubstr(part));
  }
}

// The Error the statement throws, for more to be asked of it.
template <class Statement>
Error failure_of(Statement statement) {
  try {
    statement();
  } catch (const Error& error) {
    return error;
  }
  throw std::runtime_error("it did not fail");
}

}  // namespace virga
