#include "host/guest_devices.h"

#include <algorithm>
#include <iterator>

namespace virga::host {
namespace {

constexpr std::string_view kPvscsi = "ParaVirtualSCSIController";
constexpr std::string_view kLsiLogic = "VirtualLsiLogicController";
constexpr std::string_view kLsiSas = "VirtualLsiLogicSASController";
constexpr std::string_view kNvme = "VirtualNVMEController";
constexpr std::string_view kSata = "VirtualAHCIController";
constexpr std::string_view kIde = "VirtualIDEController";
constexpr std::string_view kVmxnet3 = "VirtualVmxnet3";
constexpr std::string_view kE1000e = "VirtualE1000e";
constexpr std::string_view kE1000 = "VirtualE1000";
constexpr std::string_view kVlance = "VirtualPCNet32";

constexpr std::string_view kDiskControllers[] = {kPvscsi, kLsiSas, kLsiLogic, kNvme, kSata, kIde};
constexpr std::string_view kAdapters[] = {kVmxnet3, kE1000e, kE1000, kVlance};

struct Rule {
  std::string_view id_prefix;
  std::string_view disk_controller, adapter;
  std::int32_t memory_mib, disk_mib;
  bool efi = false;
};

// The first that fits decides. Linux has had PVSCSI's and VMXNET3's drivers since 2.6.33, FreeBSD
// since 12; Windows comes with those of LSI SAS from Vista on and of E1000E from 8 on. What is
// older than SCSI here (BusLogic is not served) starts from IDE.
constexpr Rule kRules[] = {
    {"dosGuest", kIde, kVlance, 32, 2048},
    {"win31", kIde, kVlance, 32, 2048},
    {"win9", kIde, kVlance, 64, 2048},
    {"winMe", kIde, kVlance, 128, 4096},
    {"winNT", kIde, kVlance, 64, 4096},
    {"win2000", kIde, kVlance, 256, 8192},
    {"winXPPro64", kLsiLogic, kE1000, 512, 16'384},
    {"winXP", kIde, kVlance, 256, 8192},
    {"winNet", kLsiLogic, kE1000, 512, 16'384},
    {"winLonghorn", kLsiSas, kE1000, 2048, 40'960},
    {"winVista", kLsiSas, kE1000, 2048, 40'960},
    {"windows7Server", kLsiSas, kE1000, 4096, 40'960},
    {"windows7", kLsiSas, kE1000, 2048, 32'768},
    {"windows8", kLsiSas, kE1000e, 4096, 40'960},
    {"windows", kLsiSas, kE1000e, 4096, 49'152, true},
    {"redhatGuest", kLsiLogic, kE1000, 256, 8192},
    {"rhel2", kLsiLogic, kVlance, 256, 8192},
    {"rhel3", kLsiLogic, kE1000, 512, 8192},
    {"rhel4", kLsiLogic, kE1000, 512, 8192},
    {"rhel5", kLsiLogic, kE1000, 1024, 16'384},
    {"centosGuest", kLsiLogic, kE1000, 1024, 16'384},
    {"centos64Guest", kLsiLogic, kE1000, 1024, 16'384},
    {"oracleLinuxGuest", kLsiLogic, kE1000, 1024, 16'384},
    {"oracleLinux64Guest", kLsiLogic, kE1000, 1024, 16'384},
    {"slesGuest", kLsiLogic, kE1000, 512, 8192},
    {"sles64Guest", kLsiLogic, kE1000, 512, 8192},
    {"sles10", kLsiLogic, kE1000, 512, 8192},
    {"suse", kLsiLogic, kE1000, 512, 8192},
    {"nld9", kLsiLogic, kE1000, 512, 8192},
    {"oesGuest", kLsiLogic, kE1000, 512, 8192},
    {"sjdsGuest", kLsiLogic, kE1000, 512, 8192},
    {"mandr", kLsiLogic, kE1000, 512, 8192},
    {"turboLinux", kLsiLogic, kE1000, 512, 8192},
    {"debian4", kLsiLogic, kE1000, 512, 8192},
    {"debian5", kLsiLogic, kE1000, 512, 8192},
    {"other24x", kLsiLogic, kVlance, 256, 8192},
    {"other26x", kLsiLogic, kE1000, 512, 8192},
    {"freebsd12", kPvscsi, kVmxnet3, 1024, 16'384},
    {"freebsd13", kPvscsi, kVmxnet3, 1024, 16'384},
    {"freebsd", kLsiLogic, kE1000, 1024, 16'384},
    {"darwin", kSata, kE1000e, 4096, 40'960, true},
    {"solaris", kLsiLogic, kE1000, 2048, 16'384},
    {"netware", kLsiLogic, kE1000, 512, 4096},
    {"os2", kIde, kVlance, 64, 2048},
    {"eComStation", kIde, kVlance, 128, 2048},
    {"openServer", kIde, kVlance, 128, 4096},
    {"unixWare", kIde, kVlance, 128, 4096},
    {"vmkernel65", kPvscsi, kVmxnet3, 4096, 40'960, true},
    {"vmkernel7", kPvscsi, kVmxnet3, 4096, 40'960, true},
    {"vmkernel", kLsiLogic, kE1000e, 4096, 40'960},
    {"otherGuest64", kLsiLogic, kE1000, 1024, 8192},
    {"otherGuest", kLsiLogic, kE1000, 256, 8192},
};
constexpr Rule kModernLinux = {"", kPvscsi, kVmxnet3, 2048, 16'384};

std::string_view best(std::initializer_list<std::string_view> wishes,
                      const HardwareVersion& version) {
  return *std::ranges::find_if(
      wishes, [&](std::string_view type) { return first_version_with(type) <= version.number; });
}

template <std::size_t N>
std::vector<std::string_view> of_version(const std::string_view (&types)[N],
                                         const HardwareVersion& version) {
  std::vector<std::string_view> present;
  std::ranges::copy_if(types, std::back_inserter(present), [&](std::string_view type) {
    return first_version_with(type) <= version.number;
  });
  return present;
}

}  // namespace

RecommendedDevices recommended_devices(const GuestOs& guest, const HardwareVersion& version) {
  const auto found = std::ranges::find_if(
      kRules, [&](const Rule& rule) { return guest.id.starts_with(rule.id_prefix); });
  const Rule& rule = found == std::end(kRules) ? kModernLinux : *found;
  const std::string_view lesser = rule.disk_controller == kSata ? kIde : kLsiLogic;
  return {.disk_controller = best({rule.disk_controller, lesser}, version),
          .cdrom_controller = rule.efi ? best({kSata, kIde}, version) : kIde,
          .adapter = best({rule.adapter, kE1000}, version),
          .memory_mib = rule.memory_mib,
          .disk_mib = rule.disk_mib,
          .efi = rule.efi && first_version_with(features::efi) <= version.number};
}

std::vector<std::string_view> disk_controllers(const HardwareVersion& version) {
  return of_version(kDiskControllers, version);
}

std::vector<std::string_view> network_adapters(const HardwareVersion& version) {
  return of_version(kAdapters, version);
}

}  // namespace virga::host
