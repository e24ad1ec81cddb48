#include "kernel/option_manager.h"

#include <algorithm>

#include "kernel/database.h"
#include "kernel/faults.h"
#include "model/json.h"

namespace virga::kernel {
namespace {

std::optional<std::int64_t> number(const Any& value) {
  if (const auto* i = value.get<std::int32_t>()) return *i;
  if (const auto* l = value.get<std::int64_t>()) return *l;
  return std::nullopt;
}

vim::OptionDef describe(const OptionDeclaration& declaration) {
  vim::OptionDef described;
  described.key = declaration.key;
  described.label = described.summary = declaration.label;
  if (const auto* text = declaration.default_value.get<std::string>()) {
    vim::StringOption type;
    type.valueIsReadonly = false;
    type.defaultValue = *text;
    described.optionType = model::share(std::move(type));
  } else if (const auto* flag = declaration.default_value.get<bool>()) {
    vim::BoolOption type;
    type.supported = true;
    type.defaultValue = *flag;
    described.optionType = model::share(std::move(type));
  } else {
    vim::LongOption type;
    type.min = declaration.min;
    type.max = declaration.max;
    type.defaultValue = number(declaration.default_value).value_or(0);
    described.optionType = model::share(std::move(type));
  }
  return described;
}

vim::OptionValue option(const std::string& key, const Any& value) {
  vim::OptionValue option;
  option.key = key;
  option.value = value;
  return option;
}

// A client may send a long where an int is meant and the other way round.
Any fitted(const OptionDeclaration& declaration, const Any& value) {
  const auto asked = number(value);
  if (number(declaration.default_value) && asked) {
    if (*asked < declaration.min || *asked > declaration.max)
      throw invalid_argument(declaration.key, fmt::format("{} is not {} to {}", *asked,
                                                          declaration.min, declaration.max));
    return model::any(*asked);
  }
  if (!value || value.type() != declaration.default_value.type())
    throw invalid_argument(declaration.key, "the value is of the wrong type");
  return value;
}

}  // namespace

OptionManager::OptionManager(Kernel& kernel, MoRef self, std::string table,
                             std::vector<OptionDeclaration> declarations)
    : Implements(kernel.inventory, std::move(self)),
      kernel_(kernel),
      table_(std::move(table)),
      declarations_(std::move(declarations)) {
  const auto stored = kernel_.database->all(table_);
  update([&](Properties& p) {
    for (const auto& each : declarations_) {
      p.supportedOption.push_back(describe(each));
      const auto found = stored.find(each.key);
      if (found == stored.end()) {
        p.setting.push_back(option(each.key, each.default_value));
      } else {
        p.setting.push_back(model::Ptr<vim::OptionValue>(
            model::json_binding::read_object(found->second)));
      }
      if (each.changed) each.changed(p.setting.back()->value);
    }
  });
}

const OptionDeclaration& OptionManager::declaration(const std::string& key) const {
  const auto found = std::find_if(declarations_.begin(), declarations_.end(),
                                  [&](const auto& each) { return each.key == key; });
  if (found == declarations_.end()) throw invalid_name(key, "there is no such option");
  return *found;
}

Async<model::List<vim::OptionValue>> OptionManager::QueryOptions(
    model::Call&, const vim::QueryOptionsRequestType& r) {
  const std::string name = r.name.value_or("");
  const bool below = name.empty() || name.ends_with('.');
  model::List<vim::OptionValue> found;
  for (const auto& setting : properties().setting) {
    if (below ? setting->key.starts_with(name) : setting->key == name) found.push_back(setting);
  }
  if (found.empty() && !name.empty()) throw invalid_name(name, "there is no such option");
  co_return found;
}

Async<void> OptionManager::UpdateOptions(model::Call& c, const vim::UpdateOptionsRequestType& r) {
  kernel_.authorization.check(inventory(), context(c).user(), *this, "Host.Config.AdvancedConfig");
  std::vector<std::pair<const OptionDeclaration*, Any>> changes;
  for (const auto& change : r.changedValue) {
    const auto& each = declaration(change->key);
    changes.emplace_back(&each, fitted(each, change->value));
  }
  for (const auto& [each, value] : changes)
    kernel_.database->put(table_, each->key,
                          model::json_binding::write_object(option(each->key, value)));
  update([&](Properties& p) {
    for (std::size_t i = 0; i < p.setting.size(); ++i) {
      for (const auto& [each, value] : changes)
        if (p.setting[i]->key == each->key)
          p.setting.replace(i, model::share(option(each->key, value)));
    }
  });
  for (const auto& [each, value] : changes)
    if (each->changed) each->changed(value);
  co_return;
}

}  // namespace virga::kernel
