// Internal to machine_config: the words and keys of a .vmx, in one place for reading and writing.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "vmx/machine_config.h"
#include "vmx/text.h"

namespace virga::vmx {

template <class Value>
struct Word {
  Value value;
  std::string_view text;
};

// The first word of a value is the one that is written; more may be read.
inline constexpr Word<Bus> bus_words[] = {
    {Bus::ide, "ide"}, {Bus::scsi, "scsi"}, {Bus::sata, "sata"}, {Bus::nvme, "nvme"}};
inline constexpr Word<ControllerModel> scsi_words[] = {{ControllerModel::pvscsi, "pvscsi"},
                                                       {ControllerModel::lsi_logic, "lsilogic"},
                                                       {ControllerModel::lsi_sas, "lsisas1068"},
                                                       {ControllerModel::bus_logic, "buslogic"}};
inline constexpr Word<BusSharing> sharing_words[] = {{BusSharing::none, "none"},
                                                     {BusSharing::within_host, "virtual"},
                                                     {BusSharing::across_hosts, "physical"}};
inline constexpr Word<DiskMode> disk_mode_words[] = {
    {DiskMode::persistent, "persistent"},
    {DiskMode::nonpersistent, "nonpersistent"},
    {DiskMode::undoable, "undoable"},
    {DiskMode::append, "append"},
    {DiskMode::independent_persistent, "independent-persistent"},
    {DiskMode::independent_nonpersistent, "independent-nonpersistent"}};
inline constexpr Word<AdapterModel> adapter_words[] = {
    {AdapterModel::vlance, "vlance"},   {AdapterModel::vmxnet, "vmxnet"},
    {AdapterModel::vmxnet2, "vmxnet"},  {AdapterModel::vmxnet2, "vmxnet2"},
    {AdapterModel::vmxnet3, "vmxnet3"}, {AdapterModel::e1000, "e1000"},
    {AdapterModel::e1000e, "e1000e"},   {AdapterModel::vrdma, "vrdma"}};
// What makes a VMXNET the enhanced one, VMXNET 2: "features".
inline constexpr std::string_view enhanced_vmxnet = "15";
inline constexpr Word<RdmaProtocol> rdma_words[] = {{RdmaProtocol::rocev2, "rocev2"},
                                                    {RdmaProtocol::rocev1, "rocev1"}};
inline constexpr Word<Renderer> renderer_words[] = {{Renderer::automatic, "automatic"},
                                                    {Renderer::software, "software"},
                                                    {Renderer::hardware, "hardware"}};
inline constexpr Word<AddressType> address_words[] = {{AddressType::generated, "generated"},
                                                      {AddressType::assigned, "vpx"},
                                                      {AddressType::manual, "static"}};
inline constexpr Word<SerialBacking> serial_words[] = {{SerialBacking::file, "file"},
                                                       {SerialBacking::pipe, "pipe"},
                                                       {SerialBacking::device, "device"},
                                                       {SerialBacking::network, "network"},
                                                       {SerialBacking::print, "thinprint"}};
inline constexpr Word<ParallelBacking> parallel_words[] = {{ParallelBacking::file, "file"},
                                                           {ParallelBacking::device, "device"}};
// What is at the user's end is a "device" too, marked by clientDevice.
inline constexpr Word<FloppyBacking> floppy_words[] = {{FloppyBacking::image, "file"},
                                                       {FloppyBacking::host, "device"},
                                                       {FloppyBacking::client, "device"}};
inline constexpr Word<SoundModel> sound_words[] = {{SoundModel::ensoniq1371, "es1371"},
                                                   {SoundModel::hd_audio, "hdaudio"},
                                                   {SoundModel::sound_blaster16, "sb16"}};
inline constexpr Word<bool> end_words[] = {{true, "server"}, {false, "client"}};
inline constexpr Word<Firmware> firmware_words[] = {{Firmware::bios, "bios"},
                                                    {Firmware::efi, "efi"}};
inline constexpr Word<PowerOption> power_words[] = {
    {PowerOption::preset, "default"}, {PowerOption::preset, "preset"}, {PowerOption::soft, "soft"},
    {PowerOption::hard, "hard"},      {PowerOption::hard, "powerOff"}, {PowerOption::hard, "reset"},
    {PowerOption::hard, "suspend"}};
inline constexpr Word<SharesLevel> shares_words[] = {
    {SharesLevel::low, "low"}, {SharesLevel::normal, "normal"}, {SharesLevel::high, "high"}};

template <class Value>
std::string_view word_of(std::span<const Word<Value>> words, Value value) {
  for (const Word<Value>& word : words)
    if (word.value == value) return word.text;
  return {};
}

template <class Value>
std::optional<Value> value_of(std::span<const Word<Value>> words, std::string_view text) {
  for (const Word<Value>& word : words)
    if (equal_ignoring_case(word.text, text)) return word.value;
  return std::nullopt;
}

// "scsi0:1" and "scsi0", with numbers spelt the one way VMware spells them and within the limits of
// any controller.
std::optional<Slot> parse_slot(std::string_view text);
struct ControllerKey {
  Bus bus;
  int number;
};
std::optional<ControllerKey> parse_controller(std::string_view text);
// "usb.autoConnect.deviceN"
inline constexpr std::string_view usb_device_prefix = "usb.autoConnect.device";

// N of "ethernetN", below `count`; where `count` is 1 the name itself, without a number, is 0.
std::optional<int> parse_numbered(std::string_view text, std::string_view name, int count);
std::string device_name(std::string_view name, int count, int number);

}  // namespace virga::vmx
