#include "sample.h"

#include "model/value_ops.h"

namespace virga::model::sample {
namespace {

constexpr int kMaxDepth = 4;

class Filler {
 public:
  explicit Filler(Secrets secrets) : secrets_(secrets) {}

  DataPtr object(const TypeInfo& type, int depth) {
    const TypeInfo& actual = concrete(type);
    DataObject* made = actual.create();
    DataPtr owner(made);
    fill(*made, depth);
    return owner;
  }

 private:
  static const TypeInfo& concrete(const TypeInfo& type) {
    if (type.create) return type;
    for (const TypeInfo* candidate : all_types()) {
      if (candidate->create && is_a(*candidate, type)) return *candidate;
    }
    throw std::logic_error(std::string(type.name) + " has no type with objects");
  }

  void fill(DataObject& object, int depth) {
    object.type_info().for_each_field([&](const FieldInfo& field) {
      if (field.secret && secrets_ == Secrets::leave_out) return;
      const bool deep = depth >= kMaxDepth;
      switch (field.holder) {
        case Holder::pointer:
          if (!deep || field.required)
            field.set_data(object, this->object(*field.type->data, depth + 1));
          return;
        case Holder::embedded:
          return fill(*static_cast<DataObject*>(field.emplace(object)), depth + 1);
        case Holder::array:
          if (!deep) fill_array(*field.type, field.emplace(object), depth);
          return;
        case Holder::plain:
        case Holder::optional:
          return value(*field.type, field.emplace(object), depth);
      }
    });
  }

  void fill_array(const ValueType& type, void* storage, int depth) {
    for (int i = 0; i < 2; ++i) {
      if (type.append_data) {
        type.append_data(storage, object(*type.data, depth + 1));
      } else {
        value(*type.element, type.append(storage), depth);
      }
    }
  }

  void value(const ValueType& type, void* storage, int depth) {
    const int n = ++counter_;
    switch (type.kind) {
      case Kind::boolean:
        *static_cast<bool*>(storage) = n % 2 != 0;
        return;
      case Kind::byte:
        *static_cast<std::int8_t*>(storage) = static_cast<std::int8_t>(n);
        return;
      case Kind::short_:
        *static_cast<std::int16_t*>(storage) = static_cast<std::int16_t>(-n);
        return;
      case Kind::int_:
        *static_cast<std::int32_t*>(storage) = n * 1000;
        return;
      case Kind::long_:
        *static_cast<std::int64_t*>(storage) = n * 10'000'000'000;
        return;
      case Kind::float_:
        *static_cast<float*>(storage) = static_cast<float>(n) / 3;
        return;
      case Kind::double_:
        *static_cast<double*>(storage) = n / 7.0;
        return;
      case Kind::string:
      case Kind::any_uri:
      case Kind::type_name:
      case Kind::property_path:
      case Kind::method_name:
        *static_cast<std::string*>(storage) = "<" + std::to_string(n) + "> \"\\& über\n";
        return;
      case Kind::date_time:
        *static_cast<Time*>(storage) = Time(std::chrono::microseconds(1'700'000'000'000'000 + n));
        return;
      case Kind::binary:
        static_cast<Binary*>(storage)->bytes = std::string("\0\xff", 2) + std::to_string(n);
        return;
      case Kind::reference:
        *static_cast<MoRef*>(storage) = {"VirtualMachine", "vm-" + std::to_string(n)};
        return;
      case Kind::any:
        *static_cast<Any*>(storage) = any_value(n, depth);
        return;
      case Kind::enumeration:
        return type.set_index(storage, n % static_cast<int>(type.enumeration->values.size()));
      case Kind::data:
      case Kind::array:
        throw std::logic_error("not a plain value");
    }
  }

  // Every kind of value takes its turn.
  Any any_value(int n, int depth) {
    static const std::vector<const ValueType*> kTypes = {
        &builtin::boolean,
        &builtin::byte,
        &builtin::short_,
        &builtin::int_,
        &builtin::long_,
        &builtin::float_,
        &builtin::double_,
        &builtin::string,
        &builtin::any_uri,
        &builtin::date_time,
        &builtin::binary,
        &builtin::reference,
        &builtin::array_of_boolean,
        &builtin::array_of_int,
        &builtin::array_of_string,
        &builtin::array_of_reference,
        find_value_type("VirtualMachinePowerState"),
        find_value_type("ArrayOfManagedEntityStatus"),
        find_value_type("ArrayOfOptionValue"),
        find_value_type("Description")};
    const ValueType& type = *kTypes[static_cast<std::size_t>(n) % kTypes.size()];
    if (type.kind == Kind::data) return any(object(*type.data, depth + 1));
    Any made = type.copy(type, nullptr);
    void* storage = const_cast<void*>(made.value());
    if (type.kind != Kind::array) {
      value(type, storage, depth + 1);
    } else if (depth < kMaxDepth || !type.data) {
      fill_array(type, storage, depth + 1);
    }
    return made;
  }

  const Secrets secrets_;
  int counter_ = 0;
};

}  // namespace

DataPtr object(const TypeInfo& type, Secrets secrets) {
  return Filler(secrets).object(type, 0);
}

}  // namespace virga::model::sample
