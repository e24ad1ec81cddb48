// The file a suspended VM's memory is kept in, beside its .vmx. The .vmx decides: a memory it names
// is the VM's, any other is worth nothing. What is under way between the two is noted in the
// database, so that a restarted daemon can finish it.
#pragma once

#include <optional>
#include <string>

#include "datastore/datastore.h"
#include "host/host.h"

namespace virga::host {

class VmMemory {
 public:
  // `vm`: its moId.
  VmMemory(Host& host, std::string vm, datastore::Location config_file);

  // The file's name, for the .vmx.
  std::string file() const;
  datastore::Location place() const { return config_file_.sibling(file()); }

  // Notes that the file is going to be written; one that is there is removed.
  Async<void> begin_saving();
  // The .vmx names the file, or the guest runs on.
  void end_saving();
  // The file that was being saved when the daemon died, if it got complete.
  std::optional<std::string> saved_unnoticed() const;

  // Notes that the .vmx is not going to name this file any more.
  void spend(const std::string& file);
  // Removes a spent file, unless the .vmx, which says `named`, was never changed.
  Async<void> remove_spent(std::string named);

 private:
  Host& host_;
  const std::string vm_;
  const datastore::Location config_file_;
};

}  // namespace virga::host
