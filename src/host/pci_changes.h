// Which PCI devices of the host are being changed: no VM starts with one meanwhile, and nobody else
// changes it.
#pragma once

#include <set>
#include <string>

namespace virga::host {

class PciChanges {
 public:
  // Ends the change.
  class Guard {
   public:
    Guard(std::set<std::string>& all, std::set<std::string> own);
    ~Guard();
    Guard(const Guard&) = delete;
    Guard& operator=(const Guard&) = delete;

   private:
    std::set<std::string>& all_;
    const std::set<std::string> own_;
  };

  // Throws ErrorKind::busy naming one that is being changed already; then none of them is changed.
  Guard begin(std::set<std::string> addresses);
  bool contains(const std::string& address) const { return addresses_.contains(address); }

 private:
  std::set<std::string> addresses_;
};

}  // namespace virga::host
