// One property path of one type of managed object, worked out once against the schema and then read
// from the objects' snapshots as often as needed. Any thread.
#pragma once

#include <bitset>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "model/property_path.h"

namespace virga::kernel {

using model::Any;
using model::DataPtr;
using model::MoRef;

// The properties of a managed object as a set: bit i is the i-th in wire order, so that a property
// has the same bit in every derived type. A type with more properties than bits folds them, which
// only makes a set larger than it need be.
using PropertySet = std::bitset<128>;

// The properties that differ between two snapshots of an object.
PropertySet changed_properties(const DataPtr& before, const DataPtr& after);

class RequestedProperty {
 public:
  // Throws InvalidProperty when the type has no such path, or only in a newer version.
  RequestedProperty(const model::ManagedInfo& type, std::string_view path, model::Version version);

  const std::string& path() const { return path_; }
  const model::PropertyPath& steps() const { return steps_; }
  // The privilege that the object's own property, which the path starts with, asks of a reader.
  std::string_view privilege() const;
  // The bit of that property.
  std::size_t bit() const { return bit_; }

  // The value in a snapshot, sharing it; none when unset. An array of the object itself is never
  // unset, at most empty.
  Any read(const DataPtr& snapshot) const;
  // The references at the path, of one or of an array of them, as they stand in the snapshot.
  std::span<const MoRef> references(const DataPtr& snapshot) const;

 private:
  void find_chain(const model::TypeInfo& type, model::Version version);

  std::string path_;
  model::PropertyPath steps_;
  const model::FieldInfo* property_ = nullptr;
  std::size_t bit_ = 0;
  bool secret_ = false;
  // The field of each step, where the declared types name them all; empty where only the objects
  // can tell: elements of arrays, fields of derived types.
  std::vector<const model::FieldInfo*> chain_;
};

}  // namespace virga::kernel
