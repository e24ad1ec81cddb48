#include "kernel/requested_property.h"

#include "kernel/faults.h"

namespace virga::kernel {
namespace {

std::size_t bit_of(const model::TypeInfo& type, const model::FieldInfo& wanted) {
  std::size_t bit = 0, at = 0;
  type.for_each_field([&](const model::FieldInfo& field) {
    if (&field == &wanted) bit = at;
    ++at;
  });
  return bit % PropertySet().size();
}

PropertySet compare(const DataPtr& before, const DataPtr& after) {
  PropertySet changed;
  std::size_t at = 0;
  after->type_info().for_each_field([&](const model::FieldInfo& field) {
    const void* was = field.get(*before);
    const void* is = field.get(*after);
    const bool same = was == is || (was && is && field.type->equal(was, is));
    if (!same) changed.set(at % changed.size());
    ++at;
  });
  return changed;
}

}  // namespace

PropertySet changed_properties(const DataPtr& before, const DataPtr& after) {
  // All who watch an object ask this of the same change, one after the other.
  thread_local struct {
    DataPtr before, after;
    PropertySet changed;
  } last;
  if (last.before.get() != before.get() || last.after.get() != after.get())
    last = {before, after, compare(before, after)};
  return last.changed;
}

RequestedProperty::RequestedProperty(const model::ManagedInfo& type, std::string_view path,
                                     model::Version version)
    : path_(path) {
  auto steps = model::parse_path(path);
  if (steps) property_ = type.properties->field(steps->front().name);
  if (!property_ || !model::path_exists(*type.properties, *steps))
    throw invalid_property(path_, std::string(type.name));
  steps_ = std::move(*steps);
  bit_ = bit_of(*type.properties, *property_);
  find_chain(*type.properties, version);
}

void RequestedProperty::find_chain(const model::TypeInfo& root, model::Version version) {
  const model::TypeInfo* type = &root;
  bool keyed = false;
  for (const model::PathStep& step : steps_) {
    const model::FieldInfo* field = type ? type->field(step.name) : nullptr;
    if (!field) break;
    if (field->since > version) throw invalid_property(path_, std::string(root.name));
    secret_ = secret_ || field->secret;
    keyed = keyed || step.key;
    chain_.push_back(field);
    type = field->type->data;
  }
  if (keyed || chain_.size() < steps_.size()) chain_.clear();
}

std::string_view RequestedProperty::privilege() const {
  return property_->privilege.empty() ? "System.Read" : property_->privilege;
}

Any RequestedProperty::read(const DataPtr& snapshot) const {
  if (secret_) return {};
  if (chain_.empty()) return model::resolve(snapshot, steps_);
  const model::DataObject* at = snapshot.get();
  for (std::size_t i = 0; i + 1 < chain_.size(); ++i) {
    at = static_cast<const model::DataObject*>(chain_[i]->get(*at));
    if (!at) return {};
  }
  const model::FieldInfo& field = *chain_.back();
  const model::Counted<model::RefCounted> owner(snapshot.get());
  if (chain_.size() == 1 && field.holder == model::Holder::array)
    return Any(*field.type, owner, reinterpret_cast<const std::byte*>(at) + field.offset);
  return field.any(owner, *at);
}

std::span<const MoRef> RequestedProperty::references(const DataPtr& snapshot) const {
  const Any value = read(snapshot);
  if (!value) return {};
  if (value.type()->kind == model::Kind::reference) {
    const auto* ref = static_cast<const MoRef*>(value.value());
    return {ref, ref->value.empty() ? std::size_t{0} : std::size_t{1}};
  }
  if (value.type()->kind != model::Kind::array ||
      value.type()->element->kind != model::Kind::reference)
    return {};
  return *static_cast<const model::Array<MoRef>*>(value.value());
}

}  // namespace virga::kernel
