#include "vmx/vmxf_file.h"

#include <gmock/gmock.h>

namespace virga::vmx {
namespace {

TEST(VmxfFile, NamesTheVmAndItsConfiguration) {
  const std::string text = make_vmxf("52aabbcc-ddee-ff00-1122-334455667788", "a<b>&c.vmx");
  EXPECT_THAT(text, testing::StartsWith("<?xml version=\"1.0\"?>\n<Foundry>\n"));
  EXPECT_THAT(text, testing::HasSubstr("52 aa bb cc dd ee ff 00-11 22 33 44 55 66 77 88</VMId>"));
  EXPECT_THAT(text, testing::HasSubstr("a&lt;b&gt;&amp;c.vmx</vmxPathName>"));
}

}  // namespace
}  // namespace virga::vmx
