#include "base/process.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "base/error.h"

namespace virga {
namespace {

TEST(RunProcess, CarriesMoreThanAPipeHoldsBothWays) {
  const std::string input(1 << 20, 'x');
  EXPECT_EQ(run_process({"cat"}, input).output, input);
}

TEST(RunProcess, TellsExitCodeAndSignal) {
  EXPECT_EQ(run_process({"sh", "-c", "exit 7"}).exit_code, 7);
  EXPECT_EQ(run_process({"sh", "-c", "kill -9 $$"}).exit_code, 128 + 9);
}

TEST(RunProcess, GivesTheProgramNoneOfOurDescriptors) {
  const int inheritable = ::dup(0);
  const auto path = "/proc/self/fd/" + std::to_string(inheritable);
  EXPECT_NE(run_process({"test", "-e", path}).exit_code, 0);
  ::close(inheritable);
}

TEST(RunProcess, KeepsCtrlCOfTheTerminalFromTheProgram) {
  const auto group = run_process({"cut", "-d ", "-f5", "/proc/self/stat"}).output;
  EXPECT_NE(std::stoi(group), ::getpgrp());
}

TEST(RunProcess, NamesAMissingProgram) {
  try {
    run_process({"no-such-program"});
    FAIL() << "ran a program that does not exist";
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::not_found);
    EXPECT_EQ(e.subject(), "no-such-program");
  }
}

}  // namespace
}  // namespace virga
