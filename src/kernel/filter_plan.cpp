#include "kernel/filter_plan.h"

#include <algorithm>
#include <map>
#include <set>

#include "kernel/faults.h"

namespace virga::kernel {
namespace {

const model::ManagedInfo& known_type(const std::string& name) {
  const model::ManagedInfo* type = model::find_managed(name);
  if (type) return *type;
  vim::InvalidType detail;
  detail.argument = name;
  throw Fault(std::move(detail), fmt::format("'{}' is no type of managed object", name));
}

using Selectors = model::List<vim::SelectionSpec>;

// Turns the selectSets of a PropertyFilterSpec into traversals that point to each other. A
// traversal of a type that Virga has no objects of leads nowhere and is left out.
class SelectionCompiler {
 public:
  SelectionCompiler(SelectionPlan& plan, model::Version version) : plan_(plan), version_(version) {}

  void compile(const model::List<vim::ObjectSpec>& objects) {
    for (const auto& object : objects) declare(object->selectSet, own_names_[object.get()]);
    for (const auto& object : objects) {
      names_ = &own_names_[object.get()];
      plan_.roots.push_back({object->obj, object->skip.value_or(false), link(object->selectSet)});
    }
  }

 private:
  using Names = std::map<std::string, const vim::TraversalSpec*>;

  void declare(const Selectors& selectors, Names& names) {
    for (const auto& selector : selectors) {
      const auto* spec = selector.as<vim::TraversalSpec>();
      if (!spec) continue;
      const model::ManagedInfo& type = known_type(spec->type);
      if (!type.absent)
        traversals_[spec] = &plan_.traversals.emplace_back(Traversal{
            &type, RequestedProperty(type, spec->path, version_), spec->skip.value_or(false), {}});
      if (spec->name && !spec->name->empty()) {
        names.emplace(*spec->name, spec);
        all_names_.emplace(*spec->name, spec);
      }
      declare(spec->selectSet, names);
    }
  }

  std::vector<const Traversal*> link(const Selectors& selectors) {
    std::vector<const Traversal*> next;
    for (const auto& selector : selectors) {
      const auto* spec = selector.as<vim::TraversalSpec>();
      if (!spec) spec = named(selector->name.value_or(""));
      if (linked_.insert(spec).second) {
        auto onward = link(spec->selectSet);
        if (Traversal* traversal = find(spec)) traversal->next = std::move(onward);
      }
      if (const Traversal* traversal = find(spec)) next.push_back(traversal);
    }
    return next;
  }

  // A name means the traversal of the same object's set that has it, else another set's.
  const vim::TraversalSpec* named(const std::string& name) const {
    for (const Names* names : {names_, &all_names_}) {
      if (const auto found = names->find(name); found != names->end()) return found->second;
    }
    throw invalid_argument("selectSet", "no traversal is named '" + name + "'");
  }

  Traversal* find(const vim::TraversalSpec* spec) const {
    const auto found = traversals_.find(spec);
    return found == traversals_.end() ? nullptr : found->second;
  }

  SelectionPlan& plan_;
  const model::Version version_;
  std::map<const vim::ObjectSpec*, Names> own_names_;
  Names all_names_;
  const Names* names_ = nullptr;
  std::map<const vim::TraversalSpec*, Traversal*> traversals_;
  std::set<const vim::TraversalSpec*> linked_;
};

}  // namespace

FilterPlan::FilterPlan(const vim::PropertyFilterSpec& spec, model::Version version)
    : version_(version), report_missing_(spec.reportMissingObjectsInResults.value_or(false)) {
  for (const auto& properties : spec.propSet) add(*properties);
  SelectionPlan selection;
  SelectionCompiler(selection, version).compile(spec.objectSet);
  selection_ = std::make_shared<const SelectionPlan>(std::move(selection));
}

void FilterPlan::add(const vim::PropertySpec& spec) {
  const model::ManagedInfo& type = known_type(spec.type);
  if (type.absent) return;
  Requested requested{&type, spec.all.value_or(false), {}};
  for (const std::string& path : spec.pathSet)
    requested.properties.emplace_back(type, path, version_);
  requested_.push_back(std::move(requested));
}

const TypeRequest* FilterPlan::request(const model::ManagedInfo& type) {
  const auto [entry, fresh] = requests_.try_emplace(&type);
  if (fresh) entry->second = make_request(type);
  return entry->second ? &*entry->second : nullptr;
}

std::optional<TypeRequest> FilterPlan::make_request(const model::ManagedInfo& type) const {
  std::optional<TypeRequest> request;
  std::set<std::string> paths;
  const auto ask = [&](RequestedProperty property) {
    if (!paths.insert(property.path()).second) return;
    request->touched.set(property.bit());
    request->properties.push_back(std::move(property));
  };
  for (const Requested& requested : requested_) {
    if (!type.is_a(*requested.type)) continue;
    if (!request) request.emplace();
    for (const RequestedProperty& property : requested.properties) ask(property);
    if (!requested.all) continue;
    type.properties->for_each_field([&](const model::FieldInfo& field) {
      if (field.since <= version_) ask(RequestedProperty(type, field.name, version_));
    });
  }
  return request;
}

}  // namespace virga::kernel
