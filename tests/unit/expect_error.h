#pragma once

#include <gmock/gmock.h>

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

}  // namespace virga
