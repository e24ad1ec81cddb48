// Internal to machine_config: the devices whose keys are all below one prefix, "serial0." or
// "sound.". One list of keys per kind serves reading, writing and is_described().
//
// `Keys` is what the list is walked with. Where a key is absent from a .vmx its member has the
// value `absent`; it is written when it has another, or always where there is no `absent`.
#pragma once

#include "vmx/machine_keys.h"

namespace virga::vmx {

template <class Keys>
void visit_keys(Keys& keys, SerialPort& it) {
  keys.template word<SerialBacking>("fileType", it.backing, serial_words, SerialBacking::device);
  keys.text("fileName", it.target);
  if (keys.covers(it.backing == SerialBacking::network)) {
    keys.template word<bool>("network.endPoint", it.is_server, end_words, true);
    keys.text("vspc", it.proxy, "");
  }
  if (keys.covers(it.backing == SerialBacking::pipe))
    keys.template word<bool>("pipe.endPoint", it.is_server, end_words, true);
  keys.flag("tryNoRxLoss", it.no_rx_loss, false);
  keys.flag("yieldOnMsrRead", it.yield_on_poll, false);
  keys.flag("startConnected", it.start_connected, true);
}

template <class Keys>
void visit_keys(Keys& keys, ParallelPort& it) {
  keys.template word<ParallelBacking>("fileType", it.backing, parallel_words,
                                      ParallelBacking::device);
  keys.text("fileName", it.target);
  keys.flag("startConnected", it.start_connected, true);
}

template <class Keys>
void visit_keys(Keys& keys, Floppy& it) {
  keys.template word<FloppyBacking>("fileType", it.backing, floppy_words, FloppyBacking::host);
  bool at_client = it.backing == FloppyBacking::client;
  keys.flag("clientDevice", at_client, false);
  keys.text("fileName", it.file);
  keys.flag_always("startConnected", it.start_connected, true);
  if (at_client) it = {it.number, FloppyBacking::client, "", it.start_connected};
}

template <class Keys>
void visit_keys(Keys& keys, SoundCard& it) {
  keys.template word<SoundModel>("virtualDev", it.model, sound_words, SoundModel::ensoniq1371);
  keys.text("fileName", it.device);
  keys.flag("startConnected", it.start_connected, true);
}

template <class Keys>
void visit_keys(Keys& keys, Watchdog& it) {
  keys.flag("runOnBoot", it.run_on_boot, false);
}

template <class Keys>
void visit_keys(Keys&, Tpm&) {}

// The physical function marks it: an adapter has one, if only "Automatic".
template <class Keys>
void visit_keys(Keys& keys, std::optional<SriovAdapter>& it) {
  SriovAdapter adapter = it.value_or(SriovAdapter{});
  keys.text("pfId", adapter.physical_function, "");
  if (!keys.covers(!adapter.physical_function.empty())) return;
  keys.text("networkName", adapter.network, "");
  keys.template word<AddressType>("MACAddressType", adapter.address_type, address_words,
                                  AddressType::generated);
  keys.text("MACAddress", adapter.mac, "");
  adapter.mac = normalise_mac(adapter.mac).value_or(adapter.mac);
  keys.flag("allowMTUChange", adapter.guest_may_change_mtu, false);
  it = adapter;
}

template <class Keys>
void visit_keys(Keys& keys, PassthroughDevice& it) {
  keys.text("id", it.id, "");
  keys.text("vendorId", it.vendor_id, "");
  keys.text("deviceId", it.device_id, "");
  keys.text("systemId", it.system_id, "");
  keys.text("allowedDevices", it.allowed, "");
  keys.text("customLabel", it.label, "");
  visit_keys(keys, it.sriov);
  keys.text("vgpu", it.vgpu, "");
  if (keys.covers(!it.vgpu.empty())) {
    std::string plugin = "vmiop";
    keys.text("virtualDev", plugin, "");
  }
}

// Calls visit(name, count, member) for each of these kinds: "serial", 32, their vector.
template <class Visit>
void for_each_kind(Visit&& visit) {
  visit("serial", max_serial_ports, &MachineConfig::serial_ports);
  visit("parallel", max_parallel_ports, &MachineConfig::parallel_ports);
  visit("floppy", max_floppies, &MachineConfig::floppies);
  visit("pciPassthru", max_passthrough_devices, &MachineConfig::passthrough);
  visit("sound", 1, &MachineConfig::sound_cards);
  visit("vwdt", 1, &MachineConfig::watchdogs);
  visit("vtpm", 1, &MachineConfig::tpms);
}

}  // namespace virga::vmx
