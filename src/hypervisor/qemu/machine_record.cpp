#include "hypervisor/qemu/machine_record.h"

#include <fcntl.h>
#include <unistd.h>

#include <numeric>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"

namespace virga::hypervisor {
namespace {

constexpr const char* operations[] = {"none", "starting", "saving", "snapshotting", "resetting"};

MachineRecord::Operation operation_named(const json::value& name) {
  for (int i = 0; i < static_cast<int>(std::size(operations)); ++i)
    if (name.as_string() == operations[i]) return static_cast<MachineRecord::Operation>(i);
  throw std::invalid_argument("unknown operation " + json::serialize(name));
}

json::object images_to_json(const std::map<int, std::vector<int>>& images) {
  json::object object;
  for (const auto& [key, numbers] : images)
    object[std::to_string(key)] = json::array(numbers.begin(), numbers.end());
  return object;
}

std::map<int, std::vector<int>> images_from_json(const json::object& object) {
  std::map<int, std::vector<int>> images;
  for (const auto& [key, numbers] : object)
    for (const json::value& number : numbers.as_array())
      images[std::stoi(key)].push_back(number.to_number<int>());
  return images;
}

std::string record_path(const std::string& directory) {
  return directory + "/machine.json";
}

}  // namespace

std::vector<int> first_images(const Disk& disk) {
  std::vector<int> numbers(disk.chain.size());
  std::iota(numbers.begin(), numbers.end(), 0);
  return numbers;
}

std::string to_json(const MachineRecord& record) {
  return json::serialize(json::object{
             {"pid", record.process.pid},
             {"startTime", record.process.start_time},
             {"bootId", record.process.boot_id},
             {"operation", operations[static_cast<int>(record.operation)]},
             {"statePath", record.state_path},
             {"frozen", record.frozen},
             {"machineType", record.machine_type},
             {"accelerator", record.accelerator},
             {"machine", json::parse(to_json(record.spec))},
             {"images", images_to_json(record.images)},
             {"replacing", json::array(record.replacing.begin(), record.replacing.end())}}) +
         "\n";
}

MachineRecord machine_record_from_json(const std::string& text) {
  MachineRecord record;
  try {
    const json::value value = json::parse(text);
    record.process.pid = value.at("pid").to_number<pid_t>();
    record.process.start_time = value.at("startTime").to_number<std::uint64_t>();
    record.process.boot_id = std::string(value.at("bootId").as_string());
    record.operation = operation_named(value.at("operation"));
    record.state_path = std::string(value.at("statePath").as_string());
    record.frozen = value.at("frozen").as_bool();
    record.machine_type = std::string(value.at("machineType").as_string());
    record.accelerator = std::string(value.at("accelerator").as_string());
    record.spec = machine_spec_from_json(json::serialize(value.at("machine")));
    record.images = images_from_json(value.at("images").as_object());
    for (const json::value& key : value.at("replacing").as_array())
      record.replacing.push_back(key.to_number<int>());
  } catch (const std::exception& e) {
    throw error(ErrorKind::damaged, "machine record", "a machine record is damaged: {}", e.what());
  }
  return record;
}

void write_record(const std::string& directory, const MachineRecord& record) {
  write_file_atomically(record_path(directory), to_json(record), 0600);
}

MachineRecord read_record(const std::string& directory) {
  return machine_record_from_json(read_file(record_path(directory)));
}

std::string output_log(const std::string& directory) {
  return directory + "/qemu.log";
}

std::string read_output_tail(const std::string& directory) {
  constexpr off_t tail = 1024;
  std::string text(tail, '\0');
  try {
    const Fd fd = open_file(output_log(directory), O_RDONLY);
    const off_t size = ::lseek(fd.get(), 0, SEEK_END);
    const ssize_t n = ::pread(fd.get(), text.data(), text.size(), std::max<off_t>(0, size - tail));
    text.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
    // A cut first line tells nothing.
    if (size > tail) text.erase(0, text.find('\n') + 1);
  } catch (const Error&) {
    return {};
  }
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

}  // namespace virga::hypervisor
