#include "vmx/vmsn_file.h"

#include "base/error.h"
#include "base/json.h"

namespace virga::vmx {
namespace {

constexpr std::string_view magic = "VIRGA-SNAPSHOT 1\n";

constexpr std::pair<SnapshotState::Power, std::string_view> power_words[] = {
    {SnapshotState::Power::off, "off"},
    {SnapshotState::Power::on, "on"},
    {SnapshotState::Power::suspended, "suspended"}};

std::string_view word_of(SnapshotState::Power power) {
  for (const auto& [value, word] : power_words)
    if (value == power) return word;
  return {};
}

SnapshotState::Power power_of(std::string_view text) {
  for (const auto& [value, word] : power_words)
    if (word == text) return value;
  throw std::invalid_argument("unknown power state");
}

}  // namespace

std::string serialise_vmsn(const SnapshotState& state) {
  return std::string(magic) +
         json::serialize(json::object{{"config", state.config},
                                      {"power", word_of(state.power)},
                                      {"quiesced", state.quiesced},
                                      {"memory", state.memory_file},
                                      {"nvram", state.nvram_file}}) +
         "\n";
}

SnapshotState parse_vmsn(std::string_view text, const std::string& name) {
  if (!text.starts_with(magic))
    throw error(ErrorKind::damaged, name, "{} is no snapshot that was taken here", name);
  SnapshotState state;
  try {
    const json::value value = json::parse(text.substr(magic.size()));
    state.config = value.at("config").as_string();
    state.power = power_of(value.at("power").as_string());
    state.quiesced = value.at("quiesced").as_bool();
    state.memory_file = value.at("memory").as_string();
    state.nvram_file = value.at("nvram").as_string();
  } catch (const std::exception& e) {
    throw error(ErrorKind::damaged, name, "{} is damaged: {}", name, e.what());
  }
  return state;
}

}  // namespace virga::vmx
