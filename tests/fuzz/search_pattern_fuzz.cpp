// A pattern, and after a line break a name: they match just when the definition says so.
#include <cstdlib>
#include <vector>

#include "datastore/browse.h"

namespace {

// Whether pattern[i:] matches text[j:], for all i and j, from the ends on.
bool matches_by_definition(std::string_view pattern, std::string_view text) {
  std::vector<std::vector<bool>> fits(pattern.size() + 1, std::vector<bool>(text.size() + 1));
  for (std::size_t i = pattern.size() + 1; i-- > 0;)
    for (std::size_t j = text.size() + 1; j-- > 0;) {
      if (i == pattern.size())
        fits[i][j] = j == text.size();
      else if (pattern[i] == '*')
        fits[i][j] = fits[i + 1][j] || (j < text.size() && fits[i][j + 1]);
      else
        fits[i][j] =
            j < text.size() && (pattern[i] == '?' || pattern[i] == text[j]) && fits[i + 1][j + 1];
    }
  return fits[0][0];
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const std::size_t end = bytes.find('\n');
  if (end == bytes.npos) return 0;
  const std::string_view pattern = bytes.substr(0, end), text = bytes.substr(end + 1);
  if (virga::datastore::matches(pattern, text, false) != matches_by_definition(pattern, text))
    std::abort();
  return 0;
}
