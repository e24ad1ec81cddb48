// What the readers of SOAP and of JSON share: where in a message they are, and the rules that do
// not depend on the encoding. Refusals are Error(invalid_argument), whose message begins with the
// place:
//   spec.deviceChange[0].operation: "delete" is not a VirtualDeviceConfigSpecOperation; it is one
//   of add, remove, edit
#pragma once

#include <fmt/format.h>

#include <boost/container/small_vector.hpp>
#include <string>
#include <string_view>

#include "base/error.h"
#include "model/fault.h"
#include "model/metadata.h"

namespace virga::model {

// A position in a message: a field, or an array's element, of something further out. It lives on
// the stack of the reader, beside the call that reads what stands there.
struct Place {
  static constexpr std::size_t kNoIndex = static_cast<std::size_t>(-1);

  const Place* outer;            // nullptr for the outermost
  std::string_view name;         // empty for an element of what `outer` names
  std::size_t index = kNoIndex;  // in an array

  std::string path() const;
};

[[noreturn]] void refuse(const Place& place, std::string_view message);
template <class... Args>
[[noreturn]] void refuse(const Place& place, fmt::format_string<Args...> format, Args&&... args) {
  refuse(place, std::string_view(fmt::format(format, std::forward<Args>(args)...)));
}

// Reads the text of any type but references, arrays, data objects and anyType into its storage.
void read_text(const ValueType& type, std::string_view text, void* storage, const Place& place);

// The type a message names for a value declared as `declared`: refused when it is unknown, not
// derived from it, or one that has no objects of its own.
const TypeInfo& dynamic_type(std::string_view name, const TypeInfo& declared, const Place& place);
// The type of a value in an anyType; managed objects' names mean a reference.
const ValueType& any_type(std::string_view name, const Place& place);

// A new object of the type.
DataObject* create(const TypeInfo& type, const Place& place);

// How much a reader forgives. A request must be exact. What a server or an older or newer version
// of Virga wrote is read as far as this schema knows it: unknown fields are passed over, and
// missing ones keep their default.
enum class Tolerance : bool { exact, lenient };

// The fields of an object that is being read, by name.
class FieldSearch {
 public:
  FieldSearch(const TypeInfo& type, Tolerance tolerance);
  // Refuses a name that is no field (lenient: nullptr), and a second value for one that is no
  // array.
  const FieldInfo* find(std::string_view name, const Place& place);
  // Refuses when a required field was never found. An array without elements leaves no trace in a
  // message, so that none is missed.
  void require_all(const Place& place) const;

 private:
  struct Entry {
    const FieldInfo* field;
    bool found;
  };
  const TypeInfo& type_;
  const Tolerance tolerance_;
  boost::container::small_vector<Entry, 32> entries_;
  std::size_t next_ = 0;  // members mostly come in the schema's order
};

// Where a field of Holder::array keeps its elements.
void* array_storage(const FieldInfo& field, DataObject& object);

// The fault of that name with nothing but a message: "InvalidRequest", "NotSupported".
Fault plain_fault(std::string_view type, std::string message);

// Runs `read`, which refuses by Error, and refuses by Fault(InvalidRequest).
template <class Read>
auto refusing_by_fault(Read&& read) {
  try {
    return read();
  } catch (const Error& error) {
    throw plain_fault("InvalidRequest", error.what());
  }
}

}  // namespace virga::model
