// The software iSCSI adapter: keeps one session to every portal of every target it knows, and tells
// the units and paths that gives. Guests reach a unit by a session of their own, which login_to()
// describes.
//
// One executor. What blocks runs on threads of its own: targets that do not answer hold up no other
// work.
#pragma once

#include <functional>
#include <map>
#include <memory>

#include "base/async.h"
#include "storage/devices.h"
#include "storage/iscsi/session.h"
#include "storage/iscsi/settings.h"

namespace virga::storage {

class IscsiAdapter {
 public:
  static constexpr const char* name = "vmhba64";  // vSphere's first number for software adapters

  IscsiAdapter(asio::any_io_executor executor, IscsiSettings settings);

  const IscsiSettings& settings() const { return settings_; }
  // Takes effect with the next rescan(). Throws invalid_argument (check()).
  void set_settings(IscsiSettings settings);

  // Discovers, logs in where no session is, ends those no longer wanted, looks at every unit.
  // Targets that do not answer are logged and have dead paths; nothing is thrown for them.
  Async<void> rescan();

  // Looks at sessions every settings().check_interval and logs in again where one was lost.
  // `changed` is called when a path came or went. Never returns; cancel it before this is gone.
  Async<void> watch(std::function<void()> changed);

  // Waits for what blocks and begins nothing new: whoever waits for that waits for good.
  void stop();

  // The adapter with its units and paths; empty while it is disabled.
  Devices devices() const;
  // What SendTargets found besides settings().targets, and through which portal.
  struct Discovered {
    StaticTarget target;
    IscsiPortal parent;
  };
  const std::vector<Discovered>& discovered() const { return discovered_; }

  // How a guest reaches a unit: by the first active path. Throws not_found, gone (no active path).
  struct UnitAccess {
    IscsiLogin login;
    int lun = 0;
  };
  UnitAccess login_to(const std::string& unit) const;

 private:
  // What a look at a portal of a target gave.
  struct View {
    std::shared_ptr<IscsiSession> session;  // none: it could not be had
    std::vector<IscsiUnit> units;           // as last seen; kept while there is no session
    std::string problem;                    // why there is no session
  };
  struct Link {
    IscsiLogin login;
    int channel = 0, target = 0;
    bool disabled = false;
    View view;
    std::string key() const { return login.target + " " + login.portal.text(); }
  };

  Async<void> discover();
  void arrange_links();
  static View look(const IscsiLogin& login, View before, bool at_units);
  Async<bool> refresh(std::shared_ptr<Link> link, bool at_units);
  Async<bool> refresh_all(bool at_units);
  void add_unit(Devices& devices, const Link& link, const IscsiUnit& unit) const;

  asio::any_io_executor executor_;
  IscsiSettings settings_;
  std::vector<Discovered> discovered_;
  std::vector<std::shared_ptr<Link>> links_;
  AsyncMutex busy_;
  asio::thread_pool workers_{4};
};

}  // namespace virga::storage
