#include "storage/iscsi/session.h"

#include <iscsi/iscsi.h>
#include <iscsi/scsi-lowlevel.h>

#include <charconv>

#include "base/error.h"
#include "storage/scsi.h"

namespace virga::storage {
namespace {

constexpr int max_inquiry = 255;  // bytes asked for; older units take no more
constexpr int max_report = 4096;  // 511 units of a target
constexpr int tries_after_attention = 5;
constexpr int connection_attempts = 2;  // of TCP, after the first: about 7 s in all

struct FreeTask {
  void operator()(scsi_task* task) const { scsi_free_scsi_task(task); }
};
using Task = std::unique_ptr<scsi_task, FreeTask>;

std::string_view data_of(const Task& task) {
  if (!task || task->status != SCSI_STATUS_GOOD || !task->datain.data) return {};
  return {reinterpret_cast<const char*>(task->datain.data),
          static_cast<std::size_t>(std::max(task->datain.size, 0))};
}

std::string subject_of(const IscsiLogin& login) {
  return login.target.empty() ? login.portal.text()
                              : fmt::format("{} at {}", login.target, login.portal.text());
}

// "10.0.0.5:3260,1" or "[fd00::5]:3260,1": the group's number is not needed.
std::optional<IscsiPortal> parse_portal(std::string_view text) {
  text = text.substr(0, text.find(','));
  const auto colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  IscsiPortal portal;
  std::string_view address = text.substr(0, colon), port = text.substr(colon + 1);
  if (address.starts_with('[') && address.ends_with(']'))
    address = address.substr(1, address.size() - 2);
  portal.address = address;
  if (std::from_chars(port.data(), port.data() + port.size(), portal.port).ec != std::errc())
    return std::nullopt;
  return portal;
}

}  // namespace

// libiscsi's context, connected and logged in.
struct IscsiSession::Context {
  Context(const IscsiLogin& login, bool with_chap);
  ~Context() {
    if (iscsi_is_logged_in(iscsi)) iscsi_logout_sync(iscsi);
    iscsi_destroy_context(iscsi);
  }
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  // The discouraged kind of CHAP is for targets that refuse us without.
  static std::unique_ptr<Context> log_in(const IscsiLogin& login);

  void prepare(const IscsiLogin& login, bool with_chap);
  Error failure() const;
  template <class Command>
  Task command(Command issue) const;
  IscsiUnit describe(int lun) const;

  const std::string subject;
  iscsi_context* iscsi = nullptr;
};

IscsiSession::Context::Context(const IscsiLogin& login, bool with_chap)
    : subject(subject_of(login)), iscsi(iscsi_create_context(login.initiator.c_str())) {
  if (!iscsi) throw error(ErrorKind::io, subject, "cannot make an iSCSI session to {}", subject);
  prepare(login, with_chap);
  if (iscsi_connect_sync(iscsi, login.portal.text().c_str()) != 0 || iscsi_login_sync(iscsi) != 0) {
    const Error reason = failure();
    iscsi_destroy_context(iscsi);
    throw reason;
  }
}

void IscsiSession::Context::prepare(const IscsiLogin& login, bool with_chap) {
  iscsi_set_session_type(iscsi,
                         login.target.empty() ? ISCSI_SESSION_DISCOVERY : ISCSI_SESSION_NORMAL);
  if (!login.target.empty()) iscsi_set_targetname(iscsi, login.target.c_str());
  if (!login.alias.empty()) iscsi_set_alias(iscsi, login.alias.c_str());
  iscsi_set_header_digest(iscsi, login.header_digest ? ISCSI_HEADER_DIGEST_CRC32C_NONE
                                                     : ISCSI_HEADER_DIGEST_NONE_CRC32C);
  iscsi_set_timeout(iscsi, login.timeout);
  iscsi_set_tcp_syncnt(iscsi, connection_attempts);
  iscsi_set_noautoreconnect(iscsi, 1);
  if (!with_chap) return;
  const auto& [initiator, target] = login.authentication;
  iscsi_set_initiator_username_pwd(iscsi, initiator.name.c_str(), initiator.secret.c_str());
  if (target.use != Chap::prohibited)
    iscsi_set_target_username_pwd(iscsi, target.name.c_str(), target.secret.c_str());
}

std::unique_ptr<IscsiSession::Context> IscsiSession::Context::log_in(const IscsiLogin& login) {
  const Chap chap = login.authentication.initiator.use;
  const bool mutual = login.authentication.target.use != Chap::prohibited;
  if (chap != Chap::discouraged || mutual)
    return std::make_unique<Context>(login, chap != Chap::prohibited);
  try {
    return std::make_unique<Context>(login, false);
  } catch (const Error& refused) {
    if (refused.kind() != ErrorKind::access_denied) throw;
    return std::make_unique<Context>(login, true);
  }
}

// libiscsi tells what failed by text alone.
Error IscsiSession::Context::failure() const {
  const std::string text = iscsi_get_error(iscsi);
  const auto has = [&](const char* part) { return text.find(part) != std::string::npos; };
  const bool denied = has("Authentication") || has("CHAP") || has("Authorization");
  const bool lost = has("connect") || has("Connection") || has("socket") || has("Hangup");
  const ErrorKind kind = denied                          ? ErrorKind::access_denied
                         : has("imeout") || has("imed ") ? ErrorKind::timed_out
                         : lost                          ? ErrorKind::gone
                                                         : ErrorKind::io;
  return error(kind, subject, "iSCSI target {}: {}", subject, text);
}

// A unit first reports what happened to it (resets, changed capacity): then it is asked again.
template <class Command>
Task IscsiSession::Context::command(Command issue) const {
  for (int attempt = 0;; ++attempt) {
    Task task(issue());
    if (!task || task->status == SCSI_STATUS_TIMEOUT || task->status == SCSI_STATUS_ERROR ||
        task->status == SCSI_STATUS_CANCELLED)
      throw failure();
    const bool attention =
        task->status == SCSI_STATUS_CHECK_CONDITION && task->sense.key == SCSI_SENSE_UNIT_ATTENTION;
    if (!attention || attempt == tries_after_attention) return task;
  }
}

IscsiUnit IscsiSession::Context::describe(int lun) const {
  const auto inquire = [&](bool vital, int page) {
    return command([&] { return iscsi_inquiry_sync(iscsi, lun, vital, page, max_inquiry); });
  };
  IscsiUnit unit;
  unit.lun = lun;
  unit.inquiry = data_of(inquire(false, 0));
  unit.serial = parse_serial_number(data_of(inquire(true, 0x80)));
  unit.name = parse_unit_name(data_of(inquire(true, 0x83)));
  const Task characteristics = inquire(true, 0xb1);
  const std::string_view page = data_of(characteristics);
  // SBC-3: medium rotation rate 1 says there is none.
  if (page.size() > 5 && page[4] == 0 && page[5] == 1) unit.rotational = false;
  if (parse_inquiry(unit.inquiry).type != 0) return unit;
  const Task read = command([&] { return iscsi_readcapacity16_sync(iscsi, lun); });
  if (const auto capacity = parse_read_capacity_16(data_of(read))) {
    unit.bytes = capacity->blocks * capacity->block_bytes;
    unit.block_bytes = capacity->block_bytes;
    unit.physical_block_bytes = capacity->physical_block_bytes;
  }
  return unit;
}

IscsiSession::IscsiSession(const IscsiLogin& login) : context_(Context::log_in(login)) {}
IscsiSession::~IscsiSession() = default;

std::vector<DiscoveredTarget> IscsiSession::targets() {
  std::vector<DiscoveredTarget> found;
  iscsi_discovery_address* all = iscsi_discovery_sync(context_->iscsi);
  for (const iscsi_discovery_address* each = all; each; each = each->next) {
    DiscoveredTarget target{each->target_name, {}};
    for (const iscsi_target_portal* at = each->portals; at; at = at->next)
      if (auto portal = parse_portal(at->portal)) target.portals.push_back(*std::move(portal));
    found.push_back(std::move(target));
  }
  iscsi_free_discovery_data(context_->iscsi, all);
  return found;
}

std::vector<IscsiUnit> IscsiSession::units() {
  const Task report =
      context_->command([&] { return iscsi_reportluns_sync(context_->iscsi, 0, max_report); });
  std::vector<IscsiUnit> all;
  for (const int lun : parse_report_luns(data_of(report))) {
    IscsiUnit unit = context_->describe(lun);
    if (parse_inquiry(unit.inquiry).connected) all.push_back(std::move(unit));
  }
  return all;
}

bool IscsiSession::is_alive() {
  try {
    context_->command([&] { return iscsi_reportluns_sync(context_->iscsi, 0, max_report); });
    return true;
  } catch (const Error&) {
    return false;
  }
}

}  // namespace virga::storage
