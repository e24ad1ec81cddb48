// Sound cards. The guest's ES1371 is QEMU's ES1370, an older sister with drivers of its own.
#include "host/device_option_list.h"
#include "host/vm_device_kind.h"
#include "host/vm_machine_build.h"

namespace virga::host {
namespace {

struct Model {
  std::string_view api_type;
  vmx::SoundModel configured;
  hypervisor::SoundModel emulated;
};
constexpr Model kModels[] = {
    {"VirtualEnsoniq1371", vmx::SoundModel::ensoniq1371, hypervisor::SoundModel::ensoniq1370},
    {"VirtualHdAudioCard", vmx::SoundModel::hd_audio, hypervisor::SoundModel::hd_audio},
    {"VirtualSoundBlaster16", vmx::SoundModel::sound_blaster16,
     hypervisor::SoundModel::sound_blaster16}};

const Model& model_of(const vmx::SoundCard& card) {
  return *std::ranges::find(kModels, card.model, &Model::configured);
}

class SoundCards final : public NumberedKind<vmx::SoundCard> {
 public:
  SoundCards()
      : NumberedKind({.devices = &vmx::MachineConfig::sound_cards,
                      .plural = "sound card",
                      .most = 1,
                      .controller_key = keys::pci,
                      .first_unit = pci_units::sound,
                      .served = {"backing.useAutoDetect", "connectable.allowGuestControl"}}) {}

  bool covers(std::string_view api_type) const override {
    return std::ranges::find(kModels, api_type, &Model::api_type) != std::end(kModels);
  }
  void offer(DeviceOptionList& options) const override;
  void build(MachineBuild& machine) const override;

 protected:
  Ptr<vim::VirtualDevice> to_api(const DeviceList& list, const vmx::SoundCard& card) const override;
  void from_api(DevicePlanner& planner, const DeviceChange& change,
                vmx::SoundCard& card) const override;
};

void SoundCards::offer(DeviceOptionList& options) const {
  const auto add = [&](auto option, std::string_view type) {
    option.type = type;
    option.controllerType = "VirtualPCIController";
    add_backing<vim::VirtualSoundCardDeviceBackingOption>(option,
                                                          "VirtualSoundCardDeviceBackingInfo");
    options.add(std::move(option));
  };
  add(vim::VirtualEnsoniq1371Option{}, "VirtualEnsoniq1371");
  add(vim::VirtualHdAudioCardOption{}, "VirtualHdAudioCard");
  add(vim::VirtualSoundBlaster16Option{}, "VirtualSoundBlaster16");
}

Ptr<vim::VirtualDevice> SoundCards::to_api(const DeviceList& list,
                                           const vmx::SoundCard& card) const {
  auto device = make_device<vim::VirtualDevice>(model_of(card).api_type);
  vim::VirtualDevice& shown = device.edit();
  shown.deviceInfo = description(label(card), "Sound card");
  shown.backing = device_backing<vim::VirtualSoundCardDeviceBackingInfo>(card.device);
  shown.connectable = list.connectable(device_key(card), card.start_connected, true, true);
  return device;
}

void SoundCards::from_api(DevicePlanner&, const DeviceChange& change, vmx::SoundCard& card) const {
  const auto& asked = *std::ranges::find(kModels, change.type(), &Model::api_type);
  const bool is_new = change.operation() == vim::VirtualDeviceConfigSpecOperation::add;
  if (!is_new && asked.configured != card.model)
    throw change.invalid("device", "the sound card is a " + std::string(model_of(card).api_type));
  card.model = asked.configured;
  if (const auto* backing = change.device().backing.as<vim::VirtualSoundCardDeviceBackingInfo>())
    card.device = backing->deviceName;
  else if (change.device().backing)
    throw change.not_supported(
        fmt::format("a sound card with a {}", change.device().backing->type_info().name));
  if (const auto& connectable = change.device().connectable)
    card.start_connected = connectable->startConnected;
}

void SoundCards::build(MachineBuild& machine) const {
  for (const vmx::SoundCard& card : machine.config.sound_cards)
    machine.spec.sound = hypervisor::SoundCard{device_key(card), model_of(card).emulated};
}

}  // namespace

const DeviceKind& sound_cards() {
  static const SoundCards kind;
  return kind;
}

}  // namespace virga::host
