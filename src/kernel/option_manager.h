// OptionManager: settings by dotted names, of declared types, kept in the database.
#pragma once

#include "kernel/kernel.h"
#include "vim/interfaces.h"

namespace virga::kernel {

// A setting that exists; its type is the default's.
struct OptionDeclaration {
  std::string key;
  std::string label;
  Any default_value;                        // a string, an int, a long or a boolean
  std::int64_t min = 0, max = 0;            // of numbers
  std::function<void(const Any&)> changed;  // told the value at start and when it changes
};

class OptionManager final : public Implements<vim::OptionManager> {
 public:
  // `table`: where in the database the settings are.
  OptionManager(Kernel& kernel, MoRef self, std::string table,
                std::vector<OptionDeclaration> declarations);

  Async<model::List<vim::OptionValue>> QueryOptions(model::Call&,
                                                    const vim::QueryOptionsRequestType&) override;
  Async<void> UpdateOptions(model::Call&, const vim::UpdateOptionsRequestType&) override;

 private:
  const OptionDeclaration& declaration(const std::string& key) const;

  Kernel& kernel_;
  const std::string table_;
  const std::vector<OptionDeclaration> declarations_;
};

}  // namespace virga::kernel
