#include "host/guest_os.h"

#include <algorithm>
#include <iterator>

#include "host/vm_config.h"
#include "vmx/text.h"

namespace virga::host {
namespace {

constexpr GuestOs kGuests[] = {
    {"dosGuest", "dos", "Microsoft MS-DOS", GuestFamily::windows},
    {"win31Guest", "win31", "Microsoft Windows 3.1", GuestFamily::windows},
    {"win95Guest", "win95", "Microsoft Windows 95", GuestFamily::windows},
    {"win98Guest", "win98", "Microsoft Windows 98", GuestFamily::windows},
    {"winMeGuest", "winme", "Microsoft Windows Millennium Edition", GuestFamily::windows},
    {"winNTGuest", "winnt", "Microsoft Windows NT", GuestFamily::windows},
    {"win2000ProGuest", "win2000Pro", "Microsoft Windows 2000 Professional", GuestFamily::windows},
    {"win2000ServGuest", "win2000Serv", "Microsoft Windows 2000 Server", GuestFamily::windows},
    {"win2000AdvServGuest", "win2000AdvServ", "Microsoft Windows 2000", GuestFamily::windows},
    {"winXPHomeGuest", "winxphome", "Microsoft Windows XP Home Edition", GuestFamily::windows},
    {"winXPProGuest", "winxppro", "Microsoft Windows XP Professional (32-bit)",
     GuestFamily::windows},
    {"winXPPro64Guest", "winxppro-64", "Microsoft Windows XP Professional (64-bit)",
     GuestFamily::windows},
    {"winNetWebGuest", "winnetweb", "Microsoft Windows Server 2003 Web Edition (32-bit)",
     GuestFamily::windows},
    {"winNetStandardGuest", "winnetstandard", "Microsoft Windows Server 2003 Standard (32-bit)",
     GuestFamily::windows},
    {"winNetEnterpriseGuest", "winnetenterprise", "Microsoft Windows Server 2003 (32-bit)",
     GuestFamily::windows},
    {"winNetDatacenterGuest", "winnetdatacenter",
     "Microsoft Windows Server 2003 Datacenter (32-bit)", GuestFamily::windows},
    {"winNetBusinessGuest", "winnetbusiness",
     "Microsoft Windows Small Business Server 2003 (32-bit)", GuestFamily::windows},
    {"winNetStandard64Guest", "winnetstandard-64",
     "Microsoft Windows Server 2003 Standard (64-bit)", GuestFamily::windows},
    {"winNetEnterprise64Guest", "winnetenterprise-64", "Microsoft Windows Server 2003 (64-bit)",
     GuestFamily::windows},
    {"winLonghornGuest", "longhorn", "Microsoft Windows Server 2008 (32-bit)",
     GuestFamily::windows},
    {"winLonghorn64Guest", "longhorn-64", "Microsoft Windows Server 2008 (64-bit)",
     GuestFamily::windows},
    {"winNetDatacenter64Guest", "winnetdatacenter-64",
     "Microsoft Windows Server 2003 Datacenter (64-bit)", GuestFamily::windows},
    {"winVistaGuest", "winvista", "Microsoft Windows Vista (32-bit)", GuestFamily::windows},
    {"winVista64Guest", "winvista-64", "Microsoft Windows Vista (64-bit)", GuestFamily::windows},
    {"windows7Guest", "windows7", "Microsoft Windows 7 (32-bit)", GuestFamily::windows},
    {"windows7_64Guest", "windows7-64", "Microsoft Windows 7 (64-bit)", GuestFamily::windows},
    {"windows7Server64Guest", "windows7srv-64", "Microsoft Windows Server 2008 R2 (64-bit)",
     GuestFamily::windows},
    {"windows8Guest", "windows8", "Microsoft Windows 8.x (32-bit)", GuestFamily::windows},
    {"windows8_64Guest", "windows8-64", "Microsoft Windows 8.x (64-bit)", GuestFamily::windows},
    {"windows8Server64Guest", "windows8srv-64", "Microsoft Windows Server 2012 (64-bit)",
     GuestFamily::windows},
    {"windows9Guest", "windows9", "Microsoft Windows 10 (32-bit)", GuestFamily::windows},
    {"windows9_64Guest", "windows9-64", "Microsoft Windows 10 (64-bit)", GuestFamily::windows},
    {"windows9Server64Guest", "windows9srv-64", "Microsoft Windows Server 2016 (64-bit)",
     GuestFamily::windows},
    {"windowsHyperVGuest", "winhyperv", "Microsoft Windows Hyper-V", GuestFamily::windows},
    {"windows2019srv_64Guest", "windows2019srv-64", "Microsoft Windows Server 2019 (64-bit)",
     GuestFamily::windows},
    {"windows2019srvNext_64Guest", "windows2019srvNext-64",
     "Microsoft Windows Server 2022 (64-bit)", GuestFamily::windows},
    {"windows2022srvNext_64Guest", "windows2022srvNext-64",
     "Microsoft Windows Server 2025 (64-bit)", GuestFamily::windows},
    {"freebsdGuest", "freebsd", "FreeBSD Pre-11 versions (32-bit)", GuestFamily::other},
    {"freebsd64Guest", "freebsd-64", "FreeBSD Pre-11 versions (64-bit)", GuestFamily::other},
    {"freebsd11Guest", "freebsd11", "FreeBSD 11 (32-bit)", GuestFamily::other},
    {"freebsd11_64Guest", "freebsd11-64", "FreeBSD 11 (64-bit)", GuestFamily::other},
    {"freebsd12Guest", "freebsd12", "FreeBSD 12 (32-bit)", GuestFamily::other},
    {"freebsd12_64Guest", "freebsd12-64", "FreeBSD 12 (64-bit)", GuestFamily::other},
    {"freebsd13Guest", "freebsd13", "FreeBSD 13 or later versions (32-bit)", GuestFamily::other},
    {"freebsd13_64Guest", "freebsd13-64", "FreeBSD 13 or later versions (64-bit)",
     GuestFamily::other},
    {"redhatGuest", "redhat", "Red Hat Linux", GuestFamily::linux},
    {"rhel2Guest", "rhel2", "Red Hat Enterprise Linux 2 (32-bit)", GuestFamily::linux},
    {"rhel3Guest", "rhel3", "Red Hat Enterprise Linux 3 (32-bit)", GuestFamily::linux},
    {"rhel3_64Guest", "rhel3-64", "Red Hat Enterprise Linux 3 (64-bit)", GuestFamily::linux},
    {"rhel4Guest", "rhel4", "Red Hat Enterprise Linux 4 (32-bit)", GuestFamily::linux},
    {"rhel4_64Guest", "rhel4-64", "Red Hat Enterprise Linux 4 (64-bit)", GuestFamily::linux},
    {"rhel5Guest", "rhel5", "Red Hat Enterprise Linux 5 (32-bit)", GuestFamily::linux},
    {"rhel5_64Guest", "rhel5-64", "Red Hat Enterprise Linux 5 (64-bit)", GuestFamily::linux},
    {"rhel6Guest", "rhel6", "Red Hat Enterprise Linux 6 (32-bit)", GuestFamily::linux},
    {"rhel6_64Guest", "rhel6-64", "Red Hat Enterprise Linux 6 (64-bit)", GuestFamily::linux},
    {"rhel7Guest", "rhel7", "Red Hat Enterprise Linux 7 (32-bit)", GuestFamily::linux},
    {"rhel7_64Guest", "rhel7-64", "Red Hat Enterprise Linux 7 (64-bit)", GuestFamily::linux},
    {"rhel8_64Guest", "rhel8-64", "Red Hat Enterprise Linux 8 (64-bit)", GuestFamily::linux},
    {"rhel9_64Guest", "rhel9-64", "Red Hat Enterprise Linux 9 (64-bit)", GuestFamily::linux},
    {"centosGuest", "centos", "CentOS 4/5 (32-bit)", GuestFamily::linux},
    {"centos64Guest", "centos-64", "CentOS 4/5 (64-bit)", GuestFamily::linux},
    {"centos6Guest", "centos6", "CentOS 6 (32-bit)", GuestFamily::linux},
    {"centos6_64Guest", "centos6-64", "CentOS 6 (64-bit)", GuestFamily::linux},
    {"centos7Guest", "centos7", "CentOS 7 (32-bit)", GuestFamily::linux},
    {"centos7_64Guest", "centos7-64", "CentOS 7 (64-bit)", GuestFamily::linux},
    {"centos8_64Guest", "centos8-64", "CentOS 8 (64-bit)", GuestFamily::linux},
    {"centos9_64Guest", "centos9-64", "CentOS 9 (64-bit)", GuestFamily::linux},
    {"oracleLinuxGuest", "oraclelinux", "Oracle Linux 4/5 (32-bit)", GuestFamily::linux},
    {"oracleLinux64Guest", "oraclelinux-64", "Oracle Linux 4/5 (64-bit)", GuestFamily::linux},
    {"oracleLinux6Guest", "oraclelinux6", "Oracle Linux 6 (32-bit)", GuestFamily::linux},
    {"oracleLinux6_64Guest", "oraclelinux6-64", "Oracle Linux 6 (64-bit)", GuestFamily::linux},
    {"oracleLinux7Guest", "oraclelinux7", "Oracle Linux 7 (32-bit)", GuestFamily::linux},
    {"oracleLinux7_64Guest", "oraclelinux7-64", "Oracle Linux 7 (64-bit)", GuestFamily::linux},
    {"oracleLinux8_64Guest", "oraclelinux8-64", "Oracle Linux 8 (64-bit)", GuestFamily::linux},
    {"oracleLinux9_64Guest", "oraclelinux9-64", "Oracle Linux 9 (64-bit)", GuestFamily::linux},
    {"suseGuest", "suse", "SUSE Linux (32-bit)", GuestFamily::linux},
    {"suse64Guest", "suse-64", "SUSE Linux (64-bit)", GuestFamily::linux},
    {"slesGuest", "sles", "SUSE Linux Enterprise 8/9 (32-bit)", GuestFamily::linux},
    {"sles64Guest", "sles-64", "SUSE Linux Enterprise 8/9 (64-bit)", GuestFamily::linux},
    {"sles10Guest", "sles10", "SUSE Linux Enterprise 10 (32-bit)", GuestFamily::linux},
    {"sles10_64Guest", "sles10-64", "SUSE Linux Enterprise 10 (64-bit)", GuestFamily::linux},
    {"sles11Guest", "sles11", "SUSE Linux Enterprise 11 (32-bit)", GuestFamily::linux},
    {"sles11_64Guest", "sles11-64", "SUSE Linux Enterprise 11 (64-bit)", GuestFamily::linux},
    {"sles12Guest", "sles12", "SUSE Linux Enterprise 12 (32-bit)", GuestFamily::linux},
    {"sles12_64Guest", "sles12-64", "SUSE Linux Enterprise 12 (64-bit)", GuestFamily::linux},
    {"sles15_64Guest", "sles15-64", "SUSE Linux Enterprise 15 (64-bit)", GuestFamily::linux},
    {"sles16_64Guest", "sles16-64", "SUSE Linux Enterprise 16 (64-bit)", GuestFamily::linux},
    {"nld9Guest", "nld9", "Novell Linux Desktop 9", GuestFamily::linux},
    {"oesGuest", "oes", "Novell Open Enterprise Server", GuestFamily::linux},
    {"sjdsGuest", "sjds", "Sun Java Desktop System", GuestFamily::linux},
    {"mandrakeGuest", "mandrake", "Mandrake Linux", GuestFamily::linux},
    {"mandrivaGuest", "mandriva", "Mandriva Linux (32-bit)", GuestFamily::linux},
    {"mandriva64Guest", "mandriva-64", "Mandriva Linux (64-bit)", GuestFamily::linux},
    {"turboLinuxGuest", "turbolinux", "Turbolinux (32-bit)", GuestFamily::linux},
    {"turboLinux64Guest", "turbolinux-64", "Turbolinux (64-bit)", GuestFamily::linux},
    {"ubuntuGuest", "ubuntu", "Ubuntu Linux (32-bit)", GuestFamily::linux},
    {"ubuntu64Guest", "ubuntu-64", "Ubuntu Linux (64-bit)", GuestFamily::linux},
    {"debian4Guest", "debian4", "Debian GNU/Linux 4 (32-bit)", GuestFamily::linux},
    {"debian4_64Guest", "debian4-64", "Debian GNU/Linux 4 (64-bit)", GuestFamily::linux},
    {"debian5Guest", "debian5", "Debian GNU/Linux 5 (32-bit)", GuestFamily::linux},
    {"debian5_64Guest", "debian5-64", "Debian GNU/Linux 5 (64-bit)", GuestFamily::linux},
    {"debian6Guest", "debian6", "Debian GNU/Linux 6 (32-bit)", GuestFamily::linux},
    {"debian6_64Guest", "debian6-64", "Debian GNU/Linux 6 (64-bit)", GuestFamily::linux},
    {"debian7Guest", "debian7", "Debian GNU/Linux 7 (32-bit)", GuestFamily::linux},
    {"debian7_64Guest", "debian7-64", "Debian GNU/Linux 7 (64-bit)", GuestFamily::linux},
    {"debian8Guest", "debian8", "Debian GNU/Linux 8 (32-bit)", GuestFamily::linux},
    {"debian8_64Guest", "debian8-64", "Debian GNU/Linux 8 (64-bit)", GuestFamily::linux},
    {"debian9Guest", "debian9", "Debian GNU/Linux 9 (32-bit)", GuestFamily::linux},
    {"debian9_64Guest", "debian9-64", "Debian GNU/Linux 9 (64-bit)", GuestFamily::linux},
    {"debian10Guest", "debian10", "Debian GNU/Linux 10 (32-bit)", GuestFamily::linux},
    {"debian10_64Guest", "debian10-64", "Debian GNU/Linux 10 (64-bit)", GuestFamily::linux},
    {"debian11Guest", "debian11", "Debian GNU/Linux 11 (32-bit)", GuestFamily::linux},
    {"debian11_64Guest", "debian11-64", "Debian GNU/Linux 11 (64-bit)", GuestFamily::linux},
    {"asianux3Guest", "asianux3", "Asianux 3 (32-bit)", GuestFamily::linux},
    {"asianux3_64Guest", "asianux3-64", "Asianux 3 (64-bit)", GuestFamily::linux},
    {"asianux4Guest", "asianux4", "Asianux 4 (32-bit)", GuestFamily::linux},
    {"asianux4_64Guest", "asianux4-64", "Asianux 4 (64-bit)", GuestFamily::linux},
    {"asianux5_64Guest", "asianux5-64", "Asianux 5 (64-bit)", GuestFamily::linux},
    {"asianux7_64Guest", "asianux7-64", "Asianux 7 (64-bit)", GuestFamily::linux},
    {"asianux8_64Guest", "asianux8-64", "Asianux 8 (64-bit)", GuestFamily::linux},
    {"asianux9_64Guest", "asianux9-64", "Asianux 9 (64-bit)", GuestFamily::linux},
    {"opensuseGuest", "opensuse", "SUSE openSUSE (32-bit)", GuestFamily::linux},
    {"opensuse64Guest", "opensuse-64", "SUSE openSUSE (64-bit)", GuestFamily::linux},
    {"fedoraGuest", "fedora", "Red Hat Fedora (32-bit)", GuestFamily::linux},
    {"fedora64Guest", "fedora-64", "Red Hat Fedora (64-bit)", GuestFamily::linux},
    {"coreos64Guest", "coreos-64", "CoreOS Linux (64-bit)", GuestFamily::linux},
    {"vmwarePhoton64Guest", "vmware-photon-64", "VMware Photon OS (64-bit)", GuestFamily::linux},
    {"other24xLinuxGuest", "other24xlinux", "Other 2.4.x Linux (32-bit)", GuestFamily::linux},
    {"other26xLinuxGuest", "other26xlinux", "Other 2.6.x Linux (32-bit)", GuestFamily::linux},
    {"otherLinuxGuest", "otherlinux", "Other Linux (32-bit)", GuestFamily::linux},
    {"other3xLinuxGuest", "other3xlinux", "Other 3.x Linux (32-bit)", GuestFamily::linux},
    {"other4xLinuxGuest", "other4xlinux", "Other 4.x Linux (32-bit)", GuestFamily::linux},
    {"other5xLinuxGuest", "other5xlinux", "Other 5.x or later Linux (32-bit)", GuestFamily::linux},
    {"genericLinuxGuest", "genericlinux", "Other Linux (32-bit)", GuestFamily::linux},
    {"other24xLinux64Guest", "other24xlinux-64", "Other 2.4.x Linux (64-bit)", GuestFamily::linux},
    {"other26xLinux64Guest", "other26xlinux-64", "Other 2.6.x Linux (64-bit)", GuestFamily::linux},
    {"other3xLinux64Guest", "other3xlinux-64", "Other 3.x Linux (64-bit)", GuestFamily::linux},
    {"other4xLinux64Guest", "other4xlinux-64", "Other 4.x Linux (64-bit)", GuestFamily::linux},
    {"other5xLinux64Guest", "other5xlinux-64", "Other 5.x or later Linux (64-bit)",
     GuestFamily::linux},
    {"otherLinux64Guest", "otherlinux-64", "Other Linux (64-bit)", GuestFamily::linux},
    {"solaris6Guest", "solaris6", "Sun Microsystems Solaris 6", GuestFamily::solaris},
    {"solaris7Guest", "solaris7", "Sun Microsystems Solaris 7", GuestFamily::solaris},
    {"solaris8Guest", "solaris8", "Sun Microsystems Solaris 8", GuestFamily::solaris},
    {"solaris9Guest", "solaris9", "Sun Microsystems Solaris 9", GuestFamily::solaris},
    {"solaris10Guest", "solaris10", "Oracle Solaris 10 (32-bit)", GuestFamily::solaris},
    {"solaris10_64Guest", "solaris10-64", "Oracle Solaris 10 (64-bit)", GuestFamily::solaris},
    {"solaris11_64Guest", "solaris11-64", "Oracle Solaris 11 (64-bit)", GuestFamily::solaris},
    {"os2Guest", "os2", "IBM OS/2", GuestFamily::other},
    {"eComStationGuest", "ecomstation", "Serenity Systems eComStation 1", GuestFamily::other},
    {"eComStation2Guest", "ecomstation2", "Serenity Systems eComStation 2", GuestFamily::other},
    {"netware4Guest", "netware4", "Novell NetWare 4", GuestFamily::netware},
    {"netware5Guest", "netware5", "Novell NetWare 5.1", GuestFamily::netware},
    {"netware6Guest", "netware6", "Novell NetWare 6.x", GuestFamily::netware},
    {"openServer5Guest", "openserver5", "SCO OpenServer 5", GuestFamily::other},
    {"openServer6Guest", "openserver6", "SCO OpenServer 6", GuestFamily::other},
    {"unixWare7Guest", "unixware7", "SCO UnixWare 7", GuestFamily::other},
    {"darwinGuest", "darwin", "Apple Mac OS X 10.5 (32-bit)", GuestFamily::darwin},
    {"darwin64Guest", "darwin-64", "Apple Mac OS X 10.5 (64-bit)", GuestFamily::darwin},
    {"darwin10Guest", "darwin10", "Apple Mac OS X 10.6 (32-bit)", GuestFamily::darwin},
    {"darwin10_64Guest", "darwin10-64", "Apple Mac OS X 10.6 (64-bit)", GuestFamily::darwin},
    {"darwin11Guest", "darwin11", "Apple Mac OS X 10.7 (32-bit)", GuestFamily::darwin},
    {"darwin11_64Guest", "darwin11-64", "Apple Mac OS X 10.7 (64-bit)", GuestFamily::darwin},
    {"darwin12_64Guest", "darwin12-64", "Apple Mac OS X 10.8 (64-bit)", GuestFamily::darwin},
    {"darwin13_64Guest", "darwin13-64", "Apple Mac OS X 10.9 (64-bit)", GuestFamily::darwin},
    {"darwin14_64Guest", "darwin14-64", "Apple macOS 10.10 (64-bit)", GuestFamily::darwin},
    {"darwin15_64Guest", "darwin15-64", "Apple macOS 10.11 (64-bit)", GuestFamily::darwin},
    {"darwin16_64Guest", "darwin16-64", "Apple macOS 10.12 (64-bit)", GuestFamily::darwin},
    {"darwin17_64Guest", "darwin17-64", "Apple macOS 10.13 (64-bit)", GuestFamily::darwin},
    {"darwin18_64Guest", "darwin18-64", "Apple macOS 10.14 (64-bit)", GuestFamily::darwin},
    {"darwin19_64Guest", "darwin19-64", "Apple macOS 10.15 (64-bit)", GuestFamily::darwin},
    {"darwin20_64Guest", "darwin20-64", "Apple macOS 11 (64-bit)", GuestFamily::darwin},
    {"darwin21_64Guest", "darwin21-64", "Apple macOS 12 (64-bit)", GuestFamily::darwin},
    {"darwin22_64Guest", "darwin22-64", "Apple macOS 13 (64-bit)", GuestFamily::darwin},
    {"vmkernelGuest", "vmkernel", "VMware ESX 4.x", GuestFamily::other},
    {"vmkernel5Guest", "vmkernel5", "VMware ESXi 5.x", GuestFamily::other},
    {"vmkernel6Guest", "vmkernel6", "VMware ESXi 6.0", GuestFamily::other},
    {"vmkernel65Guest", "vmkernel65", "VMware ESXi 6.5 or later", GuestFamily::other},
    {"vmkernel7Guest", "vmkernel7", "VMware ESXi 7.0 or later", GuestFamily::other},
    {"amazonlinux2_64Guest", "amazonlinux2-64", "Amazon Linux 2 (64-bit)", GuestFamily::linux},
    {"amazonlinux3_64Guest", "amazonlinux3-64", "Amazon Linux 3 (64-bit)", GuestFamily::linux},
    {"crxPod1Guest", "crxpod1", "VMware CRX Pod 1", GuestFamily::linux},
    {"otherGuest", "other", "Other (32-bit)", GuestFamily::other},
    {"otherGuest64", "other-64", "Other (64-bit)", GuestFamily::other},
};

constexpr std::string_view kSuffix = "Guest";

}  // namespace

std::string_view to_string(GuestFamily family) {
  switch (family) {
    case GuestFamily::windows:
      return "windowsGuest";
    case GuestFamily::linux:
      return "linuxGuest";
    case GuestFamily::netware:
      return "netwareGuest";
    case GuestFamily::solaris:
      return "solarisGuest";
    case GuestFamily::darwin:
      return "darwinGuestFamily";
    case GuestFamily::other:
      break;
  }
  return "otherGuestFamily";
}

namespace {

// Of Linux 2.6 on.
bool is_recent_linux(const GuestOs& guest) {
  constexpr std::string_view older[] = {"rhel3-64", "rhel4-64", "sles-64", "other24xlinux-64"};
  return guest.family == GuestFamily::linux && guest.is_64_bit() &&
         std::ranges::find(older, guest.short_name) == std::end(older);
}

bool is_windows_server_2008_or_later(const GuestOs& guest) {
  return guest.family == GuestFamily::windows && guest.is_64_bit() &&
         (guest.short_name.starts_with("longhorn") ||
          guest.short_name.find("srv") != std::string_view::npos);
}

// Windows Server took memory before it took processors, and as a 32-bit system.
bool is_older_windows_server(const GuestOs& guest) {
  return guest.short_name == "longhorn" || guest.short_name.starts_with("winnetenterprise") ||
         guest.short_name.starts_with("winnetdatacenter");
}

}  // namespace

bool supports_cpu_hot_add(const GuestOs& guest) {
  return is_recent_linux(guest) || is_windows_server_2008_or_later(guest);
}

bool supports_memory_hot_add(const GuestOs& guest) {
  return supports_cpu_hot_add(guest) || is_older_windows_server(guest);
}

std::span<const GuestOs> guest_operating_systems() {
  return kGuests;
}

const GuestOs* find_guest_os(std::string_view id) {
  const auto found = std::ranges::find(kGuests, id, &GuestOs::id);
  return found == std::end(kGuests) ? nullptr : found;
}

const GuestOs* find_guest_os_by_short_name(std::string_view short_name) {
  const auto found = std::ranges::find_if(kGuests, [&](const GuestOs& guest) {
    return vmx::equal_ignoring_case(guest.short_name, short_name);
  });
  return found == std::end(kGuests) ? nullptr : found;
}

std::optional<std::string> guest_os_of_id(const std::string& guest_id) {
  const GuestOs* guest = find_guest_os(guest_id);
  return guest ? std::optional(std::string(guest->short_name)) : std::nullopt;
}

std::string guest_id_of_os(const std::string& guest_os) {
  if (guest_os.empty()) return "otherGuest";
  if (const GuestOs* guest = find_guest_os_by_short_name(guest_os)) return std::string(guest->id);
  // Newer than our table: by the rule most identifiers follow.
  std::string id = guest_os;
  std::ranges::replace(id, '-', '_');
  return id + std::string(kSuffix);
}

std::string guest_full_name(const std::string& guest_id) {
  if (const GuestOs* guest = find_guest_os(guest_id)) return std::string(guest->full_name);
  return guest_id.ends_with(kSuffix) ? guest_id.substr(0, guest_id.size() - kSuffix.size())
                                     : guest_id;
}

}  // namespace virga::host
